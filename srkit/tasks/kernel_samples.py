"""Kernels of a map that stand for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srkit.io.kernel_map import KernelMap
from srkit.tasks.kernel_summary import kernel_widths


@dataclass(frozen=True)
class Sample:
    """A kernel that is shown for itself."""

    label: str
    kernel: NDArray[np.float32]
    covariance: tuple[float, float, float]
    place: tuple[int, int] | None = None
    """Row and column of its LR pixel; None: the mean of all."""


def sample_kernels(kernels: KernelMap, most: int) -> list[Sample]:
    """The mean kernel, and at most so many from the sharpest to the most blurred, each from where it is best known."""
    weight = kernels.confidence if kernels.confidence.any() else np.ones_like(kernels.confidence)
    total = float(weight.sum(dtype=np.float64))
    mean = np.einsum("khw,hw->k", kernels.codes, weight) / total
    xx, xy, yy = (float(v) / total for v in np.einsum("khw,hw->k", kernels.covariance, weight))
    samples = [Sample("mean", _kernel(kernels, mean.astype(np.float32)), (xx, xy, yy))]
    for number, (row, column) in enumerate(_places(kernels, most), start=1):
        covariance = tuple(float(v) for v in kernels.covariance[:, row, column])
        kernel = _kernel(kernels, kernels.codes[:, row, column])
        samples.append(
            Sample(str(number), kernel, (covariance[0], covariance[1], covariance[2]), (row, column))
        )
    return samples


def _kernel(kernels: KernelMap, code: NDArray[np.float32]) -> NDArray[np.float32]:
    kernel = np.einsum("k,kuv->uv", code, kernels.basis)
    total = float(kernel.sum())
    return np.asarray(kernel / total if abs(total) > 1e-6 else kernel, np.float32)


def _places(kernels: KernelMap, most: int) -> list[tuple[int, int]]:
    """Rows and columns of the best known pixel in each of some cells that span the range of widths."""
    height, width = kernels.height, kernels.width
    cells: list[tuple[int, int]] = []
    for rows in np.array_split(np.arange(height), min(6, height)):
        for columns in np.array_split(np.arange(width), min(6, width)):
            part = kernels.confidence[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            row, column = np.unravel_index(int(part.argmax()), part.shape)
            cells.append((int(rows[0] + row), int(columns[0] + column)))
    known = np.array([kernels.confidence[cell] for cell in cells])
    kept = [cell for cell, value in zip(cells, known, strict=True) if value >= np.median(known)]
    widths = kernel_widths(kernels)
    kept.sort(key=lambda cell: float(widths[cell]))
    chosen = np.linspace(0, len(kept) - 1, min(most, len(kept))).round()
    return [kept[int(i)] for i in chosen]

"""Representative kernels of a kernel map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srkit.inference.kernel_summary import kernel_widths
from srkit.io.kernel_map import KernelMap

_APART = 0.12
"""Minimal distance of samples as a fraction of the shorter side, if their classes allow it."""


@dataclass(frozen=True)
class Sample:
    """A kernel that is shown individually."""

    label: str
    kernel: NDArray[np.float32]
    covariance: tuple[float, float, float]
    place: tuple[int, int] | None = None
    """Row and column of its LR pixel; None: the mean of all kernels."""


def sample_kernels(kernels: KernelMap, max_count: int) -> list[Sample]:
    """The mean kernel, and up to `max_count` kernels from sharp to blurred, each at its highest confidence."""
    weight = kernels.confidence if kernels.confidence.any() else np.ones_like(kernels.confidence)
    total = float(weight.sum(dtype=np.float64))
    mean = np.einsum("khw,hw->k", kernels.codes, weight) / total
    xx, xy, yy = (float(v) / total for v in np.einsum("khw,hw->k", kernels.covariance, weight))
    samples = [Sample("mean", _kernel(kernels, mean.astype(np.float32)), (xx, xy, yy))]
    for number, (row, column) in enumerate(_places(kernels, max_count), start=1):
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


def _places(kernels: KernelMap, max_count: int) -> list[tuple[int, int]]:
    """Rows and columns of the pixel of highest confidence in each class of width; classes have equal confidence."""
    known = kernels.confidence.ravel() if kernels.confidence.any() else np.ones(kernels.confidence.size)
    order = kernel_widths(kernels).argsort(axis=None, kind="stable")
    reached = known[order].cumsum(dtype=np.float64)
    middle = reached - known[order] / 2
    classes = np.minimum(middle / reached[-1] * max_count, max_count - 1).astype(int)
    rows, columns = np.divmod(np.arange(known.size), kernels.width)
    taken = np.zeros(known.size, bool)
    places: list[tuple[int, int]] = []
    for number in range(max_count):
        own = order[classes == number]
        if not own.size:
            continue
        free = own[~taken[own]]
        candidates = free if free.size else own
        row, column = divmod(int(candidates[known[candidates].argmax()]), kernels.width)
        places.append((row, column))
        taken |= np.hypot(rows - row, columns - column) < _APART * min(kernels.height, kernels.width)
    return places

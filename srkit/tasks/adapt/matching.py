"""Search for degradations that make clean images similar to a folder's: random draws, of which the best are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.archs.reconstructor import MIN_SIDE
from srkit.degradation.second_order import Draw, degrade, draw
from srkit.inference.degrader import Degrader
from srkit.metrics.traces import of_patch
from srkit.ops.layout import RGB, as_tensor
from srkit.progress import Progress
from srkit.recipes.degradation import SecondOrderPart

SIDE = 64
"""Side of the compared patches in LR pixels; smaller for smaller images."""
_FOLDER = 48  # maximal number of the folder's patches
_FIRST, _THEN = 2, 8  # numbers of clean patches on which all settings, and then the best of them, are tried
_TRIED = 6  # number of settings in the second trial, as a multiple of those kept
_CHUNK = 32  # patches that are degraded at a time
_TRACES, _BANDS = 4, 8  # numbers of values of `of_patch`, and of bands of the spectrum


@dataclass(frozen=True)
class Matched:
    """Settings that were kept."""

    settings: Draw
    distance: float
    """Mean distance of the kept settings to the folder; each compared value is divided by its deviation."""
    usual: float
    """Mean distance of all drawn settings."""


def match(
    clean: Sequence[RGB],
    lr_images: Sequence[RGB],
    degrader: Degrader,
    part: SecondOrderPart,
    counts: tuple[int, int],
    rng: torch.Generator,
    progress: Progress,
) -> Matched:
    """Find the settings whose images are most similar to the folder's.

    The comparison uses means over patches of three groups of values with equal weight: traces of degradations
    (`srkit.metrics.traces.of_patch`), the power spectrum, and the reconstructor's embeddings. Each value is divided by
    its deviation over all settings and by content. All settings are tried on two patches, the best of them on eight.

    Args:
        clean: HR images with sides of at least 22 LR pixels.
        lr_images: the folder's LR images, of at least this size.
        part: distribution from which settings are drawn.
        counts: numbers of drawn and of kept settings.
    """
    scale, (drawn, kept) = degrader.model.info.scale, counts
    side = min(
        SIDE, *(min(one.shape[:2]) for one in lr_images), *(min(one.shape[:2]) // scale for one in clean)
    )
    side = max(MIN_SIDE, side)
    of_folder = np.stack([_numbers(one, degrader) for one in _patches(lr_images, side, _FOLDER)])
    wanted = of_folder.mean(0)
    patches = _patches(clean, side * scale, _THEN)
    every = draw(part, drawn, rng)
    progress.start("matching degradations", drawn + _TRIED * kept)

    def tried(which: Tensor, count: int) -> NDArray[np.float64]:
        """Values (B, D) of settings (B,), means over the patches."""
        rows = []
        for some in torch.split(which, max(1, _CHUNK // count)):
            rows.append(_of_settings(every.take(some), patches[:count], scale, degrader))
            progress.advance(len(some))
        return np.concatenate(rows)

    first = tried(torch.arange(drawn), min(_FIRST, len(patches)))
    # Values that depend on the patches' content have less weight.
    deviation = np.sqrt(first.var(0) + of_folder.var(0) / min(_FIRST, len(patches))) + 1e-6
    apart = _distances(first, wanted, deviation)
    best = torch.from_numpy(np.argsort(apart, kind="stable")[: _TRIED * kept].copy())
    then = _distances(tried(best, len(patches)), wanted, deviation)
    order = np.argsort(then, kind="stable")[:kept]
    progress.finish()
    return Matched(
        every.take(best[torch.from_numpy(order.copy())]), float(then[order].mean()), float(apart.mean())
    )


def _distances(
    found: NDArray[np.float64], wanted: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distances (B,) of values (B, D) from those of the folder."""
    squares = ((found - wanted) / deviation) ** 2
    groups = np.split(squares, [_TRACES, _TRACES + _BANDS], axis=1)
    return np.asarray(np.sqrt(np.mean([group.mean(1) for group in groups], axis=0)))


@torch.no_grad()
def _of_settings(
    settings: Draw, patches: Sequence[RGB], scale: int, degrader: Degrader
) -> NDArray[np.float64]:
    """Values (B, D) of settings, means over the patches."""
    count, device = len(settings.seed), next(degrader.network.parameters()).device
    hr = torch.cat([as_tensor(one, device) for one in patches]).repeat_interleave(count, 0)
    lr, _ = degrade(hr, scale, settings.take(torch.arange(count).repeat(len(patches))), sharpen=False)
    lr_images = (lr.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()
    seen = np.stack([_seen(one) for one in lr_images])
    rows = np.concatenate([seen, degrader.estimate(lr).embedding.cpu().numpy()], 1)
    return np.asarray(rows.reshape(len(patches), count, -1).mean(0), np.float64)


@torch.no_grad()
def _numbers(lr: RGB, degrader: Degrader) -> NDArray[np.float64]:
    device = next(degrader.network.parameters()).device
    return np.concatenate([_seen(lr), degrader.estimate(as_tensor(lr, device)).embedding[0].cpu().numpy()])


def _seen(lr: RGB) -> NDArray[np.float64]:
    """Traces and spectrum of a patch."""
    return np.concatenate([of_patch(lr), _spectrum(lr)])


def _spectrum(lr: RGB) -> NDArray[np.float64]:
    """Logarithms of the mean power of the luma in rings of equal width up to half a cycle per pixel, (8,).

    Blur, resampling and sharpening change its high frequencies, noise fills them; the image's content hardly matters.
    """
    light = lr.astype(np.float64).mean(2)
    rows, columns = (np.hanning(length) for length in light.shape)
    power = np.abs(np.fft.fft2((light - light.mean()) * rows[:, None] * columns)) ** 2
    down, across = (np.fft.fftfreq(length) for length in light.shape)
    ring = (np.hypot(down[:, None], across) * 2 * _BANDS).astype(int)
    sums, sizes = (np.bincount(ring.ravel(), weight, _BANDS)[:_BANDS] for weight in (power.ravel(), None))
    return np.asarray(np.log(sums / np.maximum(sizes, 1) + 1.0))


def _patches(images: Sequence[RGB], side: int, count: int) -> list[RGB]:
    """Centre crops of at most `count` images, evenly chosen; from fewer images, also crops towards the corners."""
    chosen = [images[i * len(images) // count] for i in range(count)] if len(images) > count else list(images)
    found: list[RGB] = []
    for down, right in ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75), (0.25, 0.75), (0.75, 0.25)):
        for image in chosen[: count - len(found)]:
            top, left = int((image.shape[0] - side) * down), int((image.shape[1] - side) * right)
            found.append(np.ascontiguousarray(image[top : top + side, left : left + side]))
    return found

"""Multiple samples per image: the works that make them, and their combination with a map of the spread."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from srkit.conditioning.makers import CODES, NOISE
from srkit.errors import UsageError
from srkit.inference.chain import Models
from srkit.inference.work import Done, Work
from srkit.io.image import DecodedImage, Pixels
from srkit.recipes.upscale import UpscaleRecipe

T = TypeVar("T")

SPREAD = "spread"
SPREAD_GAIN = 8
"""Levels of 8 bit in the spread image per level of standard deviation."""


def check_sampling(recipe: UpscaleRecipe, models: Models) -> None:
    """Check that the sampling options suit a network.

    Raises:
        UsageError: steps or samples of a deterministic network; self-ensemble of a sampling or kernel-conditioned one.
    """
    known, name = models.own_conditions, models.name_of(models.own_scale)
    if NOISE not in known:
        for flag, given in (("`steps`", recipe.steps is not None), ("`samples`", recipe.samples > 1)):
            if given:
                raise UsageError(
                    f"{flag} is for diffusion models, and '{name}' is none; leave it out, or choose one with -m."
                )
    if recipe.tta and (NOISE in known or CODES in known):
        why = "a mean of samples is none" if NOISE in known else "the kernels do not turn with the image"
        raise UsageError(f"`tta` does not go with '{name}': {why}; leave it out.")


def part_names(count: int) -> tuple[str, ...]:
    """Names of the parts of a result with `count` samples: `2`, `3`, ..., `spread`."""
    return (*map(str, range(2, count + 1)), SPREAD)


def repeated(stream: Iterable[Work[T] | None], count: int) -> Iterator[Work[T] | None]:
    """Repeat each work `count` times, with different seeds."""
    for work in stream:
        if work is None:
            yield None
            continue
        for number in range(count):
            yield replace(work, extras=replace(work.extras, seed=work.extras.seed + number))


def gathered(results: Iterable[Done[T]], count: int) -> Iterator[Done[T]]:
    """Combine every `count` results: the first, the others as its parts, and the spread."""
    results = iter(results)
    while group := list(itertools.islice(results, count)):
        yield _together(group)


def spread(samples: list[Pixels]) -> Pixels:
    """Spread image (H, W, 1) uint8: standard deviation per pixel, mean over colours, `SPREAD_GAIN` per 8-bit level.

    Args:
        samples: (H, W, C) each, uint8 or uint16; alpha, a second or fourth channel, is ignored.
    """
    first = samples[0]
    colours = first.shape[2] - (first.shape[2] % 2 == 0)
    total, squares = (np.zeros((*first.shape[:2], colours), np.float32) for _ in range(2))
    for sample in samples:  # relative to the first sample, for numerical accuracy
        difference = sample[:, :, :colours].astype(np.float32) - first[:, :, :colours]
        total += difference
        squares += difference * difference
    count = len(samples)
    variance = np.maximum(squares / count - (total / count) ** 2, 0)
    levels = np.sqrt(variance).mean(axis=2, keepdims=True) * (255 / np.iinfo(first.dtype).max)
    shown: NDArray[np.uint8] = np.rint(levels * SPREAD_GAIN).clip(0, 255).astype(np.uint8)
    return shown


def _together(group: list[Done[T]]) -> Done[T]:
    first = group[0]
    failed = next((done for done in group if done.error is not None or done.image is None), None)
    if failed is not None or first.image is None:
        return failed or first
    images = [done.image for done in group if done.image is not None]
    names = part_names(len(images))
    parts = {name: DecodedImage(p.pixels, p.icc) for name, p in zip(names, images[1:], strict=False)}
    if first.passes:
        parts[SPREAD] = DecodedImage(spread([p.pixels for p in images]))
    warnings = tuple(dict.fromkeys(w for done in group for w in done.warnings))
    return replace(first, warnings=warnings, parts=parts if first.passes else {})

"""Images that studies measure on: those of benchmark sets, cropped, and as tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.conditioning.makers import Extras
from srkit.data.benchmarks import find_dataset, rgb8
from srkit.data.pairs import crop_to_multiple, make_lr
from srkit.inference.upscaler import Upscaler, Work
from srkit.io.folders import find_images
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.remote import Remote
from srkit.ops.layout import RGB
from srkit.recipes.upscale import UpscaleRecipe

"""An image (H, W, 3)."""
SETS = ("Set5", "Set14", "BSD100", "Urban100")
"""The sets of the classical protocol."""


def data_root() -> Path:
    """The folder that $SRKIT_DATA names, with `benchmarks/SET/HR/`, and `train/` and `real/` for some studies."""
    if not (name := os.environ.get("SRKIT_DATA")):
        raise SystemExit("SRKIT_DATA is not set; name the folder that holds benchmarks/Set5/HR and so on.")
    return Path(name)


def read_rgb8(path: Path | Remote) -> RGB:
    return rgb8(read_image(path))


def enlarged(weights: str | Path, images: Sequence[RGB], prompts: Sequence[str], scale: int) -> Iterator[RGB]:
    """What a network makes of each image's bicubic LR and a prompt, fp32 on the CPU, in order."""
    upscaler = Upscaler(UpscaleRecipe(model=str(weights), device="cpu", dtype="fp32"))
    works = (
        Work(None, DecodedImage(make_lr(hr, scale)), hr.shape[1], hr.shape[0], extras=Extras(prompt=prompt))
        for hr, prompt in zip(images, prompts, strict=True)
    )
    for done in upscaler.run(works):
        if done.image is None:
            raise SystemExit(str(done.error))
        yield rgb8(done.image)


def photographs(folder: Path) -> list[Path]:
    """Image files anywhere under a folder, sorted by path."""
    return sorted(found.path for found in find_images(folder, recursive=True))


def benchmark(sets: Iterable[str], scale: int = 1, *, every: int = 1, limit: int | None = None) -> list[RGB]:
    """Images of benchmark sets, cropped to multiples of the scale.

    Args:
        every: every n-th image of each set.
        limit: max images of each set, spread over it.
    """
    return [image for _, image in named_benchmark(sets, scale, every=every, limit=limit)]


def named_benchmark(
    sets: Iterable[str], scale: int = 1, *, every: int = 1, limit: int | None = None
) -> list[tuple[str, RGB]]:
    """The same, each with its name, `SET-IMAGE`."""
    found = []
    for name in sets:
        items = find_dataset(name, data_root()).pairs(scale)[::every]
        if limit is not None:
            items = items[:: max(1, len(items) // limit)][:limit]
        for item in items:
            found.append((f"{name}-{item.name}", multiple_of(read_rgb8(item.hr), scale)))
    return found


def middles(sets: Sequence[str], count: int, side: int, scale: int = 1) -> list[RGB]:
    """Centre crops of benchmark images, as many from each set and spread over it."""
    items = [find_dataset(name, data_root()).pairs(scale) for name in sets]
    each = -(-count // len(items))
    found = []
    for number in range(count):
        of = items[number % len(items)]
        found.append(middle(read_rgb8(of[number // len(items) * len(of) // each].hr), side, scale))
    return found


def middle(image: RGB, side: int, scale: int = 1) -> RGB:
    """The centre of an image, sides at most `side` and multiples of the scale."""
    height, width = (min(side, length) // scale * scale for length in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def multiple_of(image: RGB, scale: int) -> RGB:
    """The image without the rows and columns at its end that make no whole LR pixel."""
    return np.ascontiguousarray(crop_to_multiple(image, scale))


def levels(image: NDArray[Any]) -> Tensor:
    """(1, C, H, W) of an image (H, W, C), its values as they are."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]


def batch(image: RGB) -> Tensor:
    """(1, 3, H, W) in [0, 1] of an image of 8 bit."""
    return levels(image).float() / 255

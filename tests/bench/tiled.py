"""How far a tiled result is from the untiled one, over shipped weights, tiles and image sizes; the limit is 1/255.

SRKIT_DATA=../shared/data python tests/bench/tiled.py [MODEL ...] [--dtype auto] [--images 6]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srkit.data.benchmarks import find_dataset, rgb8
from srkit.data.pairs import make_lr
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler, Work
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.recipes.upscale import UpscaleRecipe
from srkit.zoo.manifest import Manifest

TILES = (64, 128, 256)
SET = "Urban100"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "models", nargs="*", help="names; by default all that are shipped for super-resolution"
    )
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--pictures", type=int, default=6)
    chosen = parser.parse_args()
    shipped = [entry.name for entry in Manifest.load().shipped() if entry.task == "sr"]
    images = samples(chosen.pictures)
    for name in chosen.models or shipped:
        models = Models(name)
        whole = upscaled(models, images, "off", chosen.dtype)
        for tile in TILES:
            tiled = upscaled(models, images, tile, chosen.dtype)
            furthest = {label: int(np.abs(tiled[label].astype(int) - whole[label]).max()) for label in images}
            worst = max(furthest.values())
            where = ", ".join(label for label, value in furthest.items() if value == worst)
            print(
                f"{name}, tile {tile}: {worst}/255 at most (limit 1/255){f', at {where}' if worst else ''}",
                flush=True,
            )


def samples(count: int) -> dict[str, NDArray[np.uint8]]:
    """LR images of odd sizes, and three that are hardly images."""
    rng = np.random.default_rng(0)
    found: dict[str, NDArray[np.uint8]] = {}
    for item in find_dataset(SET, Path(os.environ["SRKIT_DATA"])).pairs(2)[:: 100 // count][:count]:
        hr = rgb8(read_image(item.hr))
        lr = make_lr(np.ascontiguousarray(hr[: hr.shape[0] // 2 * 2, : hr.shape[1] // 2 * 2]), 2)
        lr = lr[: int(rng.integers(120, 300)) * 2 + 1, : int(rng.integers(120, 300)) * 2 + 1]
        found[f"{item.name} {lr.shape[1]} x {lr.shape[0]}"] = np.ascontiguousarray(lr)
    some = next(iter(found.values()))
    strip = np.tile(some[:3], (1, -(-5000 // some.shape[1]), 1))[:, :5000]
    return found | {"1 x 1": some[:1, :1], "37 x 51": some[:51, :37], "5000 x 3": strip}


def upscaled(
    models: Models, images: dict[str, NDArray[np.uint8]], tile: int | str, dtype: str
) -> dict[str, NDArray[np.uint8]]:
    scale = models.own_scale
    upscaler = Upscaler(UpscaleRecipe(tile=tile, dtype=dtype), models)  # type: ignore[arg-type]
    works = (
        Work(label, DecodedImage(np.ascontiguousarray(x)), x.shape[1] * scale, x.shape[0] * scale)
        for label, x in images.items()
    )
    results = {}
    for done in upscaler.run(works):
        if done.image is None:
            raise SystemExit(f"{done.tag}: {done.error}")
        results[done.tag] = done.image.pixels
    return results


if __name__ == "__main__":
    main()

"""What gray content and flat areas cost: the share of the engine's time that finding and keeping them takes.

    SRKIT_DATA=../shared/data python tests/bench/flat_cost.py [--model edsr-x4]

A photograph of Urban100, its gray version in RGB, a page of dense text and a blank page; CPU seconds of this process,
which other work on the machine does not change much.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srkit.data.photographs import read_rgb8
from srkit.engine import runner as engine
from srkit.inference.upscaler import Upscaler
from srkit.recipes.upscale import UpscaleRecipe

_CHECKS = ("hold_flat", "is_colourless")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="edsr-x4")
    name = parser.parse_args().model
    spent = [0.0]
    for check in _CHECKS:
        setattr(engine, check, _timed(getattr(engine, check), spent))
    upscaler = Upscaler(UpscaleRecipe(model=name, device="cpu"))
    runner, conditioning = upscaler.runner(name), upscaler.conditioning(name)
    for label, pixels in _images().items():
        plane = engine.Plane(pixels, None, conditioning(pixels))
        list(runner.run([plane]))
        spent[0], started = 0.0, time.process_time()
        list(runner.run([plane]))
        whole = time.process_time() - started
        print(f"{label:<12}{whole:8.2f} s, of it {1000 * spent[0]:6.1f} ms: {spent[0] / whole:.2%}")
    print(f"{name}, {torch.get_num_threads()} threads, {runner.options.dtype}")


def _timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        started = time.process_time()
        try:
            return function(*arguments)
        finally:
            spent[0] += time.process_time() - started

    return call


def _images() -> dict[str, NDArray[np.uint8]]:
    folder = Path(os.environ["SRKIT_DATA"]) / "benchmarks/Urban100/HR"
    photo = np.ascontiguousarray(read_rgb8(sorted(folder.iterdir())[0]))
    page = Image.new("RGB", (800, 640), (255, 255, 255))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=14)
    for y in range(20, 620, 18):
        draw.text((20, y), "The quick brown fox jumps over the lazy dog. " * 3, fill=(0, 0, 0), font=font)
    return {
        "photograph": photo,
        "gray": photo[:, :, 1:2].repeat(3, 2),
        "text": np.array(page),
        "blank": np.full((640, 800, 3), 255, np.uint8),
    }


if __name__ == "__main__":
    main()

"""Speed of `srkit upscale` on a folder, as ratios taken in one run.

    SRKIT_DATA=../shared/data python tests/bench/upscale_speed.py [--images 20] [--rounds 3] [--model edsr-x4]

(a) against the bare network's forward at the same precision, on decoded images: what decoding, tiling, the
    8-bit conversion and encoding cost. The bare forward is taken twice: on whole images, and on the engine's
    own windows; the faster one counts.
(b) against the way the Real-ESRGAN script works: fp32, NCHW, one image after another, read - compute - write in
    sequence through OpenCV. Same weights.
The three are interleaved image folder by image folder, so that a noisy machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from srkit.conditioning.values import whole as whole_image
from srkit.data.photographs import read_rgb8
from srkit.engine.device import pick_device, pick_dtype
from srkit.engine.tiling import cut
from srkit.inference.upscaler import Upscaler
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.upscale.run import UpscaleJob, run
from srkit.zoo.load import load_model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="edsr-x4")
    arguments = parser.parse_args()
    model = load_model(arguments.model if not Path(arguments.model).is_file() else Path(arguments.model))
    device = pick_device("auto")
    dtype = pick_dtype("auto", device, model.info)
    with tempfile.TemporaryDirectory() as scratch:
        folder, pixels = make_folder(Path(scratch), arguments.pictures)
        print(
            f"{arguments.pictures} images, {pixels / 1e6:.1f} megapixels in; {arguments.model} on {device} in "
            f"{dtype}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
        )
        rounds = [
            measure(folder, Path(scratch) / "out", model, arguments.model, device, dtype)
            for _ in range(arguments.rounds)
        ]
    for name in rounds[0]:
        seconds = [r[name] for r in rounds]
        rate = pixels / statistics.median(seconds) / 1e6
        each = ", ".join(f"{s:.2f}" for s in seconds)
        print(f"{name:<34}{statistics.median(seconds):8.2f} s   {rate:6.3f} LR Mpx/s   ({each})")
    a = [min(r["forward, whole images"], r["forward, windows"]) / r["srkit upscale"] for r in rounds]
    b = [r["fp32 NCHW sequential"] / r["srkit upscale"] for r in rounds]
    print(
        f"(a) end to end against bare forward: {statistics.median(a):.1%}   ({', '.join(f'{v:.1%}' for v in a)})"
    )
    print(
        f"(b) times the sequential fp32 script: {statistics.median(b):.2f}   ({', '.join(f'{v:.2f}' for v in b)})"
    )


def make_folder(scratch: Path, count: int) -> tuple[Path, int]:
    """The first images of Urban100 between 0.3 and 1 megapixel, as PNG."""
    folder = scratch / "in"
    folder.mkdir()
    pixels = 0
    files = sorted((Path(os.environ["SRKIT_DATA"]) / "benchmarks/Urban100/HR").iterdir())
    for file in files:
        image = read_rgb8(file)
        area = image.shape[0] * image.shape[1]
        if 0.3e6 <= area <= 1e6:
            cv2.imwrite(str(folder / f"{file.stem}.png"), image[:, :, ::-1])
            pixels += area
            count -= 1
        if count == 0:
            break
    return folder, pixels


@torch.inference_mode()
def measure(folder, out, model, name, device, dtype) -> dict[str, float]:
    upscaler = Upscaler(UpscaleRecipe(model=str(name)))
    (scale,) = upscaler.models.scales
    step = upscaler.models.name_of(scale)
    runner, conditioning = upscaler.runner(step), upscaler.conditioning(step)
    images = [read_rgb8(p) for p in sorted(folder.iterdir())]
    inputs = [torch.from_numpy(image).permute(2, 0, 1)[None].float().div(255).to(device) for image in images]
    runner.forward(inputs[0], conditioning(images[0]))

    def whole() -> None:
        for image, x in zip(images, inputs, strict=True):
            runner.forward(x, conditioning(image))

    def windows() -> None:
        for image, x in zip(images, inputs, strict=True):
            plan, known = runner.plan(*x.shape[2:]), conditioning(image)
            for window in plan.windows:
                at = (plan.height, plan.width), window.rows.read, window.columns.read, device
                here = {name: one.part(*at) for name, one in known.items()}
                runner.forward(cut(x, window), here)

    def srkit() -> None:
        shutil.rmtree(out, ignore_errors=True)
        records = list(run(UpscaleJob(UpscaleRecipe(model=str(name)), str(folder), out)))
        assert all(r.status == "done" for r in records)

    network = copy.deepcopy(model.network).to(device)

    def sequential() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for path in sorted(folder.iterdir()):
            bgr = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            rgb = np.ascontiguousarray(bgr[:, :, ::-1])
            x = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.float32) / 255)
            known = whole_image(conditioning(rgb), rgb.shape[:2], device)
            sr = network(x[None].to(device), **known)
            sr = sr[0].clamp_(0, 1).cpu().numpy()
            cv2.imwrite(
                str(out / path.name), (sr.transpose(1, 2, 0)[:, :, ::-1] * 255).round().astype(np.uint8)
            )

    tasks = {
        "forward, whole images": whole,
        "forward, windows": windows,
        "srkit upscale": srkit,
        "fp32 NCHW sequential": sequential,
    }
    seconds = {}
    for label, task in tasks.items():
        started = time.perf_counter()
        task()
        seconds[label] = time.perf_counter() - started
    return seconds


if __name__ == "__main__":
    main()

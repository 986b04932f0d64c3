"""Speed of `srkit eval`: the metrics' share of the network's time, and evaluation against plain upscaling.

    SRKIT_DATA=../shared/data python tests/bench/eval_speed.py [--dataset Urban100] [--images 20] [--rounds 3]
        [--model edsr-x4]

(a) PSNR and SSIM of an image against the network's forward on its LR, one thread each, CPU seconds, so that other
    work on the machine does not count: the limit is 10 %.
(b) `srkit eval` on a set against `srkit upscale` on the same LR images, wall clock and CPU seconds, interleaved:
    the limit is 1.2.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from srkit.data.benchmarks import cropped_size, find_dataset, rgb8
from srkit.data.pairs import make_lr
from srkit.inference.upscaler import Upscaler
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Setup
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.evaluate.run import EvalJob, evaluate
from srkit.tasks.upscale.run import UpscaleJob, run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="Urban100")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="edsr-x4")
    arguments = parser.parse_args()
    upscaler = Upscaler(UpscaleRecipe(model=arguments.model))
    with tempfile.TemporaryDirectory() as scratch:
        root, lr = copy_set(Path(scratch), arguments.dataset, arguments.pictures, upscaler.models.own_scale)
        shares(root / arguments.dataset / "HR", upscaler)
        whole(root, arguments.dataset, lr, arguments.model, arguments.rounds)


def copy_set(scratch: Path, name: str, count: int, scale: int) -> tuple[Path, Path]:
    """The set's first images as a set of its own, its files as they are; and their LR as PNG."""
    hr, lr = scratch / "data" / name / "HR", scratch / "lr"
    hr.mkdir(parents=True)
    lr.mkdir()
    for item in find_dataset(name, Path(os.environ["SRKIT_DATA"])).pairs(scale)[:count]:
        shutil.copy(item.hr, hr)
        pixels = rgb8(read_image(item.hr))
        height, width = cropped_size(*pixels.shape[:2], scale)
        write_image(
            DecodedImage(make_lr(pixels[:height, :width], scale)), lr / f"{item.name}.png", format="png"
        )
    return scratch / "data", lr


def shares(folder: Path, upscaler: Upscaler) -> None:
    scale = upscaler.models.own_scale
    name = upscaler.models.name_of(scale)
    runner = upscaler.runner(name)
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    scorers = {name: METRICS[name].make(Setup(torch.device("cpu"))) for name in ("psnr", "ssim", "lr_psnr")}
    found: dict[str, list[float]] = {}
    for path in sorted(folder.iterdir())[:5]:
        pixels = rgb8(read_image(path))
        height, width = cropped_size(*pixels.shape[:2], scale)
        hr = torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)[None]
        small = make_lr(pixels[:height, :width], scale)
        lr = torch.from_numpy(small).permute(2, 0, 1)[None]
        x = lr.float().div(255).to(upscaler.device)
        sr = hr.flip(-1)

        def score(names: tuple[str, ...], hr=hr, lr=lr, sr=sr) -> None:
            sample = Sample(sr, hr, lr, PROTOCOLS["classical"], scale)
            for name in names:
                scorers[name].score(sample)

        known = upscaler.conditioning(name)(small)
        found.setdefault("network", []).append(cpu_seconds(lambda x=x, k=known: runner.forward(x, k)))
        found.setdefault("psnr, ssim", []).append(cpu_seconds(lambda: score(("psnr", "ssim"))))
        found.setdefault("lr_psnr", []).append(cpu_seconds(lambda: score(("lr_psnr",))))
        found.setdefault("read HR, make LR", []).append(
            cpu_seconds(lambda p=path: make_lr(cut(p, scale), scale))
        )
    torch.set_num_threads(usual)
    network = sum(found["network"])
    for name, seconds in found.items():
        milliseconds = 1000 * statistics.mean(seconds)
        print(f"{name:<20}{milliseconds:8.1f} ms an image, {sum(seconds) / network:7.1%} of the network")
    print(f"(a) psnr and ssim: {sum(found['psnr, ssim']) / network:.1%} of the network's time (limit 10 %)")


def cut(path: Path, scale: int):
    pixels = rgb8(read_image(path))
    height, width = cropped_size(*pixels.shape[:2], scale)
    return pixels[:height, :width].copy()


def cpu_seconds(task: Callable[[], object]) -> float:
    task()
    times = []
    for _ in range(5):
        started = time.process_time()
        task()
        times.append(time.process_time() - started)
    return statistics.median(times)


def whole(root: Path, name: str, lr: Path, model: str, rounds: int) -> None:
    out = root.parent / "out"

    def upscaling() -> None:
        shutil.rmtree(out, ignore_errors=True)
        records = list(run(UpscaleJob(UpscaleRecipe(model=model), str(lr), out)))
        if any(record.status != "done" for record in records):
            raise SystemExit("an image failed")

    def evaluating() -> None:
        evaluate(EvalJob(EvalRecipe(models=(model,)), datasets=(name,), data_root=root))

    ratios: dict[str, list[float]] = {"wall": [], "CPU": []}
    for i in range(rounds + 1):
        walls, works = [], []
        for task in (upscaling, evaluating):
            wall, work = time.perf_counter(), time.process_time()
            task()
            walls.append(time.perf_counter() - wall)
            works.append(time.process_time() - work)
        print(
            f"upscale {walls[0]:6.2f} s ({works[0]:6.2f} CPU)   eval {walls[1]:6.2f} s ({works[1]:6.2f} CPU)"
            + ("   (warming up)" if i == 0 else "")
        )
        if i:
            ratios["wall"].append(walls[1] / walls[0])
            ratios["CPU"].append(works[1] / works[0])
    for kind, values in ratios.items():
        each = ", ".join(f"{v:.2f}" for v in values)
        print(f"(b) eval over upscale, {kind}: {statistics.median(values):.2f} ({each}; limit 1.2)")


if __name__ == "__main__":
    main()

"""What a few examples gain on pictures that were left out, by domain and by way of adapting.

    SRKIT_DATA=... python tests/bench/few_shot.py --model edsr-x4 --domains screen,manga --seconds 60
    SRKIT_DATA=... python tests/bench/few_shot.py --model cdasr-x4 --ways auto,adam:1e-4,adam:5e-4,adam:2e-3

Domains: rendered ones by name, `screen-1` and `screen-2` being screens of single and of double density alone;
`Urban100` or another benchmark (the first by name teach, all others are scored); `photographs` (those of the
training folders that training held out). Ways: `auto` is what `srkit adapt` does (learned
rates where the weights hold some), `adam:RATE` and `sgd:RATE` are uniform rates. Every way has the same time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from marks import write_between_marks
from numpy.typing import NDArray

from srkit.data.benchmarks import MADE, BenchmarkItem
from srkit.data.examples import Domain, Example, Split
from srkit.data.pairs import crop_to_multiple, make_lr
from srkit.data.photographs import find_photographs, read_rgb8
from srkit.engine.device import pick_device
from srkit.io.picture import Picture
from srkit.io.write import write_picture
from srkit.metrics.bootstrap import Interval, paired_bootstrap
from srkit.progress import Silent
from srkit.recipes.adapt import TunePart
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import DOMAINS, draw, render, spec
from srkit.tasks.adapt_fit import Fit, fit, split_for
from srkit.tasks.adapt_score import score
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

SUPPORT_SIDES = (800, 640)
TEST_SIDE, TESTS = 384, 12
HOLDOUT_EVERY = 20  # of the recipes that trained the shipped weights
HEAD = (
    "| domain | scored | way | rates | before | adapted | gain, 95 % interval | steps | best | seconds |",
    "|---|---|---|---|---|---|---|---|---|---|",
)
RGB = NDArray[np.uint8]
RENDERED: dict[str, Callable[[int, int, int], RGB]] = {name: partial(render, name) for name in DOMAINS}


def screens(density: str, width: int, height: int, seed: int) -> RGB:
    return draw(replace(spec("screen", seed), density=density), width, height).pixels


RENDERED |= {f"screen-{density}": partial(screens, density) for density in ("1", "2")}


def pictures(domain: str, data: Path, shots: int, limit: int) -> tuple[list[RGB], list[RGB]]:
    """Those that teach, and those that are scored."""
    if domain in RENDERED:
        draw = RENDERED[domain]
        support = [draw(*SUPPORT_SIDES, seed) for seed in range(shots)]
        return support, [draw(TEST_SIDE, TEST_SIDE, 100 + i) for i in range(min(TESTS, limit))]
    if domain == "photographs":
        files = find_photographs([data / "train"])[::HOLDOUT_EVERY]
    else:
        files = sorted((data / "benchmarks" / domain / "HR").iterdir())
    found = [read_rgb8(file) for file in files[: shots + limit]]
    return found[:shots], found[shots:]


def examples(some: Sequence[RGB], scale: int) -> list[Example]:
    cropped = [crop_to_multiple(picture, scale) for picture in some]
    return [Example(str(i), hr, make_lr(hr, scale)) for i, hr in enumerate(cropped)]


def tune_of(way: str, seconds: float, steps: int | None) -> TunePart:
    tune = TunePart() if steps is None else TunePart(steps=steps)
    if seconds:
        tune = replace(tune, steps=10**9, minutes=seconds / 60)
    if way != "auto":
        kind, _, rate = way.partition(":")
        tune = replace(tune, optimiser="adam" if kind == "adam" else "sgd", rate=float(rate))
    return tune


def scores(model: LoadedModel, tests: list[Example], device: str, dtype: str) -> NDArray[np.float64]:
    recipe = UpscaleRecipe(device=device, dtype=dtype)  # type: ignore[arg-type]
    found = score(model, tests, recipe, dataset="", lr_source=MADE, support=(), progress=Silent())
    return np.array([image.values["psnr"] for image in found.result.images])


def split_of(support: list[Example], model: LoadedModel, folder: Path, tune: TunePart) -> Split:
    """As `srkit eval --shots`: strips of the examples judge."""
    items = []
    for example in support:
        path = folder / f"{example.name}.png"
        write_picture(Picture(example.hr), path, format="png")
        items.append(BenchmarkItem(example.name, path, None))
    return split_for(Domain(folder.name, tuple(items), MADE), model, len(support), None, tune.patch, 10**9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="edsr-x4")
    parser.add_argument("--domains", default="screen,manga,Urban100,photographs")
    parser.add_argument("--ways", default="auto")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0, help="of learning; 0: the default steps")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--limit", type=int, default=1000, help="pictures scored, at most")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="the table into weights/README.md")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    data = Path(os.environ.get("SRKIT_DATA", "../shared/data"))
    model = load_model(arguments.model)
    device = pick_device(arguments.device)
    lines = [*HEAD]
    print("\n".join(lines))
    for domain in arguments.domains.split(","):
        some = pictures(domain, data, arguments.shots, arguments.limit)
        teach, tests = (examples(those, model.info.scale) for those in some)
        before = scores(model, tests, arguments.device, arguments.dtype)
        for way in arguments.ways.split(","):
            tune = tune_of(way, arguments.seconds, arguments.steps)
            with tempfile.TemporaryDirectory() as folder:
                split = split_of(teach, model, Path(folder), tune)
            started = time.monotonic()
            fitted = fit(model, split, Fit(tune, device, arguments.dtype, arguments.seed), Silent())
            seconds = time.monotonic() - started
            after = scores(fitted.model, tests, arguments.device, arguments.dtype)
            adapted, gain = fitted.adapted, paired_bootstrap(after - before)
            best = f"{adapted.best_step} ({adapted.best_blend:g})" if adapted.kept else "rolled back"
            lines.append(
                f"| {domain} | {len(tests)} | {way} | {fitted.rates} | {before.mean():.2f} | {after.mean():.2f} | "
                f"{words(gain)} | {adapted.steps} | {best} | {seconds:.0f} |"
            )
            print(lines[-1], flush=True)
    if arguments.write:
        write_between_marks("few shots", "few_shot.py", "\n".join(lines))


def words(gain: Interval) -> str:
    return f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"


if __name__ == "__main__":
    main()

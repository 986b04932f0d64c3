"""Gain of few-shot adaptation on images outside the support set, by domain and optimizer.

    SRKIT_DATA=... python experiments/few_shot.py --model edsr-x4 --domains screen,manga --seconds 60
    SRKIT_DATA=... python experiments/few_shot.py --model cdasr-x4 --optimizers auto,adam:1e-4,adam:5e-4,adam:2e-3

Domains: rendered ones by name, `screen-1` and `screen-2` being screens of single and of double density alone;
`Urban100` or another benchmark (the first images by name are the support set, all others are scored); `photographs`
(the held-out images of `train/`). Optimizers: `auto` is what `srkit adapt` uses (learned rates where the weights have
them, else the best of a probe), `adam:RATE`, `muon:RATE` and `sgd:RATE` have uniform rates, `auto:STEPS` and
`adam:RATE:STEPS` so
many steps at most. Every other optimizer has the same budget. The images that are scored are the same for all draws of
a rendered domain.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from experiments.ablations import interval_text
from experiments.images import RGB, data_root, multiple_of, photographs, read_rgb8
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.data.benchmarks import MADE, BenchmarkItem
from srkit.data.examples import Domain, Example, Split
from srkit.data.pairs import make_lr
from srkit.engine.device import Dtype, pick_device
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.metrics.bootstrap import paired_bootstrap
from srkit.progress import Silent
from srkit.recipes.adapt import Optimiser, TunePart
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import DOMAINS, draw, render, spec
from srkit.rendered.screen import Screen
from srkit.tasks.adapt.fit import Fit, Fitted, fit, split_for
from srkit.tasks.adapt.score import score
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

SUPPORT_SIDES = (800, 640)
TEST_SIDE, TESTS = 384, 12
HOLDOUT_EVERY = 20  # of the recipes that trained the shipped weights
RENDERED: dict[str, Callable[[int, int, int], RGB]] = {name: partial(render, name) for name in DOMAINS}


def screens(density: str, width: int, height: int, seed: int) -> RGB:
    """Rendered screens of one pixel density, (height, width, 3)."""
    screen = cast(Screen, spec("screen", seed))
    return draw(replace(screen, density=density), width, height).pixels


RENDERED |= {f"screen-{density}": partial(screens, density) for density in ("1", "2")}


@dataclass(frozen=True)
class Setup:
    """Where networks run."""

    device: str = "cpu"
    dtype: Dtype = "auto"
    seed: int = 0


CPU = Setup()


def main() -> None:
    parser = study_parser(__doc__, limit=1000)
    parser.add_argument("--model", "-m", default="edsr-x4")
    parser.add_argument("--domains", default="screen,manga,Urban100,photographs")
    parser.add_argument("--optimizers", default="auto")
    parser.add_argument("--shots", type=int, default=5, help="size of the support set (%(default)s)")
    parser.add_argument("--draws", type=int, default=1, help="support sets of each domain (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0, help="budget of adapting; 0: the default steps")
    parser.add_argument("--steps", type=int, help="max steps")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = read_options(parser)
    publish("few shots", table(options), write=options.write)


def table(options: argparse.Namespace) -> Iterator[str]:
    """Markdown: a row for each domain and optimizer."""
    model = load_model(options.model)
    setup = Setup(options.device, options.dtype, options.seed)
    yield from table_head(
        [
            *("domain", "images scored", "optimizer", "rates", "0-shot", f"{options.shots}-shot"),
            *("gain, 95 % interval", "steps", "best step (alpha)", "CPU seconds"),
        ]
    )
    for domain, number in itertools.product(options.domains.split(","), range(options.draws)):
        support, rest = images(domain, options.shots, options.limit, number)
        tests = with_lr(rest, model.info.scale)
        before = psnrs(model, tests, setup)
        for optimizer in options.optimizers.split(","):
            started = time.process_time()
            found = fitted(model, support, tune_of(optimizer, options.seconds, options.steps), setup)
            seconds = time.process_time() - started
            after = psnrs(found.model, tests, setup)
            adapted = found.adapted
            yield table_row(
                [
                    domain if options.draws == 1 else f"{domain}, draw {number + 1}",
                    str(len(tests)),
                    optimizer,
                    rates_text(found),
                    f"{before.mean():.2f}",
                    f"{after.mean():.2f}",
                    interval_text(paired_bootstrap(after - before)),
                    str(adapted.steps),
                    f"{adapted.best_step} ({adapted.best_blend:g})" if adapted.kept else "rolled back",
                    f"{seconds:.0f}",
                ]
            )


def images(domain: str, shots: int, limit: int, number: int = 0) -> tuple[list[RGB], list[RGB]]:
    """The support set of that number, and the images that are scored."""
    first = number * shots
    if domain in RENDERED:
        draw = RENDERED[domain]
        support = [draw(*SUPPORT_SIDES, seed) for seed in range(first, first + shots)]
        return support, [draw(TEST_SIDE, TEST_SIDE, 100 + i) for i in range(min(TESTS, limit))]
    if domain == "photographs":
        files = photographs(data_root() / "train")[::HOLDOUT_EVERY]
    else:
        files = photographs(data_root() / "benchmarks" / domain / "HR")
    files = files[first : first + shots] + files[:first] + files[first + shots :]
    found = [read_rgb8(file) for file in files[: shots + limit]]
    return found[:shots], found[shots:]


def with_lr(some: Sequence[RGB], scale: int) -> list[Example]:
    """Examples with bicubic LR."""
    cropped = [multiple_of(image, scale) for image in some]
    return [Example(str(i), hr, make_lr(hr, scale)) for i, hr in enumerate(cropped)]


def tune_of(optimizer: str, seconds: float, steps: int | None) -> TunePart:
    tune = TunePart() if steps is None else TunePart(steps=steps)
    if seconds:
        tune = replace(tune, steps=10**9, minutes=seconds / 60)
    kind, *numbers = optimizer.split(":")
    if kind != "auto":
        tune = replace(tune, optimiser=cast(Optimiser, kind), rate=float(numbers.pop(0)) if numbers else None)
    return replace(tune, steps=int(numbers[0])) if numbers else tune


def rates_text(found: Fitted) -> str:
    """The rate, and what those that were tried gained on the validation images."""
    tried = ", ".join(f"{gain:+.2f}" for gain in found.probe.values())
    return f"{found.rates}: {tried}" if tried else found.rates


def psnrs(model: LoadedModel, tests: list[Example], setup: Setup = CPU) -> NDArray[np.float64]:
    """PSNR of each image."""
    recipe = UpscaleRecipe(device=setup.device, dtype=setup.dtype)
    found = score(model, tests, recipe, dataset="", lr_source=MADE, support=(), progress=Silent())
    return np.array([image.values["psnr"] for image in found.result.images])


def fitted(model: LoadedModel, support: Sequence[RGB], tune: TunePart, setup: Setup = CPU) -> Fitted:
    """The model after `srkit adapt` on a support set, strips of which are held out for validation."""
    with tempfile.TemporaryDirectory() as folder:
        split = split_of(with_lr(support, model.info.scale), model, Path(folder), tune)
    return fit(model, split, Fit(tune, pick_device(setup.device), setup.dtype, setup.seed), Silent())


def split_of(support: list[Example], model: LoadedModel, folder: Path, tune: TunePart) -> Split[Example]:
    """As `srkit eval --shots` splits a support set."""
    items = []
    for example in support:
        path = folder / f"{example.name}.png"
        write_image(DecodedImage(example.hr), path, format="png")
        items.append(BenchmarkItem(example.name, path, None))
    return split_for(Domain(folder.name, tuple(items), MADE), model, len(support), None, tune.patch, 10**9)


if __name__ == "__main__":
    main()

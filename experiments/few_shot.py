"""Gain of few-shot adaptation on images outside the support set, by domain, size of the support set, and optimizer.

    SRKIT_DATA=... python experiments/few_shot.py [-m cdasr-x4] [--shots 1,5,10] [--draws 5] [--write]
    SRKIT_DATA=... python experiments/few_shot.py --domains screen,manga --shots 5 \
        --optimizers adam:1e-4,adam:5e-4,muon:1e-3 --steps 300

Domains: rendered ones by name, `screen-1` and `screen-2` being screens of single and of double density alone; `camera`
and the other degradations of `experiments/presets.py`, as pairs of images of BSD100; `Urban100` or another benchmark;
`photographs` (the held-out images of `train/`). Support sets are drawn from half of the images of a domain, and images
of the other half are scored, the same for all support sets; a smaller set is part of the larger one of its draw.
Intervals resample support sets and images. Optimizers: `auto` is what `srkit adapt` uses (learned rates where the
weights have them, else the best of a probe), `adam:RATE`, `muon:RATE` and `sgd:RATE` have uniform rates, `auto:STEPS`
and `adam:RATE:STEPS` so many steps at most. What has been measured is kept in `--work`, so that a run that was ended
goes on, and more draws may follow.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from experiments.ablations import crossed_bootstrap, interval_text
from experiments.images import data_root, multiple_of, photographs, read_rgb8
from experiments.presets import PRESETS, preset
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.data.benchmarks import MADE, BenchmarkItem
from srkit.data.examples import Domain, Example, Split
from srkit.data.pairs import make_lr
from srkit.engine.device import Dtype, pick_device
from srkit.io.atomic import atomic_path
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.ops.layout import RGB
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
TEST_SIDE, FIRST_TEST = 384, 100
SEEDS = 10  # rendered images of each draw
DEGRADED = "BSD100"
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


@dataclass(frozen=True)
class Cell:
    """Measurement of one support set."""

    before: list[float]
    """PSNR of the base on each scored image."""
    after: list[float]
    rates: str
    steps: int
    best_step: int
    """0: rolled back."""
    seconds: float
    """CPU seconds of adapting."""

    @property
    def gains(self) -> NDArray[np.float64]:
        return np.subtract(self.after, self.before)


def main() -> None:
    options = read_options(made_parser())
    publish("few shots", table(options), write=options.write)


def made_parser() -> argparse.ArgumentParser:
    parser = study_parser(__doc__, limit=12)
    parser.add_argument("--model", "-m", default="cdasr-x4")
    parser.add_argument("--domains", default="screen-2,manga,camera,shared,scan,photographs")
    parser.add_argument("--optimizers", default="auto")
    parser.add_argument("--shots", default="1,5,10", help="sizes of the support set (%(default)s)")
    parser.add_argument("--draws", type=int, default=5, help="support sets of each size (%(default)s)")
    parser.add_argument("--steps", type=int, help="max steps")
    parser.add_argument("--work", type=Path, default=Path("runs/few-shot"), help="folder of the measurements")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def table(options: argparse.Namespace) -> Iterator[str]:
    """Markdown: a row for each domain, size of the support set and optimizer."""
    bench = Bench(options)
    names = ["domain", "K", "optimizer", "support sets", "images", "rates", "0-shot", "gain, 95 % interval"]
    yield from table_head([*names, "least and greatest of a set", "steps", "rolled back", "CPU seconds"])
    sizes = [int(shots) for shots in options.shots.split(",")]
    for domain, shots, optimizer in itertools.product(
        options.domains.split(","), sizes, options.optimizers.split(",")
    ):
        if domain not in RENDERED and shots > len(files_of(domain)[::2]):
            continue
        cells = [bench.cell(domain, shots, optimizer, number) for number in range(options.draws)]
        gains = np.stack([cell.gains for cell in cells])
        means = gains.mean(1)
        yield table_row(
            [
                *(domain, str(shots), optimizer, str(len(cells)), str(gains.shape[1])),
                ", ".join(sorted({cell.rates for cell in cells})),
                f"{np.mean(cells[0].before):.2f}",
                interval_text(crossed_bootstrap(gains)),
                f"{means.min():+.2f}, {means.max():+.2f}",
                f"{np.mean([cell.steps for cell in cells]):.0f}",
                str(sum(not cell.best_step for cell in cells)),
                f"{np.mean([cell.seconds for cell in cells]):.0f}",
            ]
        )
    steps = TunePart(steps=options.steps).most_steps
    yield from ("", f"{bench.model.name}, at most {steps} steps unless the optimizer names others.")


class Bench:
    """Measurements of a model, kept in a folder.

    Args:
        options: of `main`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.model = load_model(options.model)
        self._options = options
        self._setup = Setup(options.device, options.dtype, options.seed)
        self._before: dict[str, list[float]] = {}

    def cell(self, domain: str, shots: int, optimizer: str, number: int) -> Cell:
        """The measurement of a support set, from the folder if it is there."""
        options, scale = self._options, self.model.info.scale
        tune = tune_of(optimizer, options.steps)
        key = hashlib.sha256(repr((self.model.sha256, tune, options.limit, self._setup)).encode()).hexdigest()
        file = options.work / f"{self.model.name}-{domain}-{shots}-{number}-{key[:12]}.json"
        if file.is_file():
            return Cell(**json.loads(file.read_text(encoding="utf-8")))
        tests = scored_images(domain, options.limit, scale)
        support = support_set(domain, shots, scale, number)
        started = time.process_time()
        found = fitted(self.model, support, tune, self._setup)
        seconds = time.process_time() - started
        if domain not in self._before:
            self._before[domain] = psnrs(self.model, tests, self._setup).tolist()
        before, after = self._before[domain], psnrs(found.model, tests, self._setup).tolist()
        adapted = found.adapted
        cell = Cell(before, after, found.rates, adapted.steps, adapted.best_step, seconds)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            temporary.write_text(json.dumps(asdict(cell)), encoding="utf-8")
        return cell


def support_set(domain: str, shots: int, scale: int, number: int = 0) -> list[Example]:
    """The examples of a draw; those of fewer shots are the first of more."""
    if domain in RENDERED:
        seeds = range(SEEDS * number, SEEDS * number + shots)
        return [example_of(domain, RENDERED[domain](*SUPPORT_SIDES, seed), scale, seed) for seed in seeds]
    pool = files_of(domain)[::2]
    order = np.random.default_rng(number).permutation(len(pool))[:shots]
    return [example_of(domain, read_rgb8(pool[i]), scale, 2 * int(i)) for i in order]


def scored_images(domain: str, limit: int, scale: int) -> list[Example]:
    """At most `limit` examples that are in no support set."""
    if domain in RENDERED:
        sides = (TEST_SIDE, TEST_SIDE)
        seeds = range(FIRST_TEST, FIRST_TEST + limit)
        return [example_of(domain, RENDERED[domain](*sides, seed), scale, seed) for seed in seeds]
    files = files_of(domain)[1::2]
    chosen = files[:: max(1, len(files) // limit)][:limit]
    return [example_of(domain, read_rgb8(file), scale, 2 * i + 1) for i, file in enumerate(chosen)]


def files_of(domain: str) -> list[Path]:
    """Images of a domain that is not rendered: support sets have those of even number, the others are scored."""
    if domain == "photographs":
        return photographs(data_root() / "train")[::HOLDOUT_EVERY]
    return photographs(data_root() / "benchmarks" / (DEGRADED if domain in PRESETS else domain) / "HR")


def example_of(domain: str, image: RGB, scale: int, seed: int) -> Example:
    """A pair of a domain: LR is bicubic, but for degradations."""
    hr = multiple_of(image, scale)
    if domain in PRESETS:
        return Example(str(seed), hr, preset(domain, hr, scale, seed), made=False)
    return Example(str(seed), hr, make_lr(hr, scale))


def tune_of(optimizer: str, steps: int | None) -> TunePart:
    tune = TunePart(steps=steps)
    kind, *numbers = optimizer.split(":")
    if kind != "auto":
        tune = replace(tune, optimiser=cast(Optimiser, kind), rate=float(numbers.pop(0)) if numbers else None)
    return replace(tune, steps=int(numbers[0])) if numbers else tune


def psnrs(model: LoadedModel, tests: list[Example], setup: Setup = CPU) -> NDArray[np.float64]:
    """PSNR of each image."""
    recipe = UpscaleRecipe(device=setup.device, dtype=setup.dtype)
    found = score(model, tests, recipe, dataset="", lr_source=MADE, support=(), progress=Silent())
    return np.array([image.values["psnr"] for image in found.result.images])


def fitted(model: LoadedModel, support: Sequence[Example], tune: TunePart, setup: Setup = CPU) -> Fitted:
    """The model after `srkit adapt` on a support set, strips of which are held out for validation."""
    with tempfile.TemporaryDirectory() as folder:
        split = split_of(support, model, Path(folder), tune)
    return fit(model, split, Fit(tune, pick_device(setup.device), setup.dtype, setup.seed), Silent())


def split_of(support: Sequence[Example], model: LoadedModel, folder: Path, tune: TunePart) -> Split[Example]:
    """As `srkit adapt` splits a support set."""
    items = []
    for example in support:
        hr, lr = (folder / f"{example.name}-{part}.png" for part in ("hr", "lr"))
        write_image(DecodedImage(example.hr), hr, format="png")
        if not example.made:
            write_image(DecodedImage(example.lr), lr, format="png")
        items.append(BenchmarkItem(example.name, hr, None if example.made else lr))
    source = MADE if support[0].made else "LR"
    return split_for(Domain(folder.name, tuple(items), source), model, len(support), None, tune.patch, 10**9)


if __name__ == "__main__":
    main()

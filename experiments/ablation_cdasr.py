"""Ablation of CDASR (the paper's Table II with controls): small networks, one shared stage 1, equal steps per row.

    SRKIT_DATA=... python experiments/ablation_cdasr.py --data photos/ [--scale 4] [--seeds 2] [--write]

32 channels, 8 blocks, one PixelShuffle. Each row is trained from the same stage 1 for the same steps, once per seed,
and measured on the 219 images of Set5, Set14, BSD100 and Urban100 (classical PSNR, mean over seeds); differences to
the first row have a paired bootstrap interval over the images. `shuffled` is the first row again, each image
conditioned on the embedding of another one. Then learning rates are meta-learned for the network of the first row
(seed 0), and it adapts to domains that neither training contained: with support sets of 0, 1 and 5 images, with uniform
and with learned rates.

With `--many-domains` half of every step's crops are of six rendered domains, and images of unseen seeds of these and of
two domains that no training contained are measured as well, so that the condition tells something that the trunk may
not know; `shuffled` then takes the embedding of another domain.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.ablation_shots import shots_table
from experiments.ablations import Pair, cells, made_scorers, scored
from experiments.images import SETS, benchmark, multiple_of
from experiments.study import publish, read_options, study_parser, table_head, table_row, trained
from srkit.conditioning.makers import NO_EXTRAS, Conditioning, Extras
from srkit.conditioning.values import Condition, Conditions
from srkit.data.pairs import make_lr
from srkit.inference.upscaler import Upscaler
from srkit.ops.layout import RGB
from srkit.recipes.meta import TasksPart
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import render

NETWORK = ("features=32", "blocks=8")
ALIGNMENT = ("hidden=128", "aligned=64", "token_features=16")


@dataclass(frozen=True)
class Row:
    name: str
    recipe: str = "cdasr-align"
    settings: tuple[str, ...] = ()
    loss: str = "{l1 = 1.0, semantic = 5e-4}"


STAGE_1 = Row("stage 1", "cdasr-pretrain", loss="{l1 = 1.0}")
ROWS = (
    Row("full: tokens, vector, semantic loss"),
    Row(
        "learned constants in place of vector and tokens",
        settings=("model.arguments.condition=constant", "model.arguments.token_grid=10"),
    ),
    Row("global: Eq. 4 as printed, vector alone", settings=("model.arguments.spatial=global",)),
    Row("without the semantic loss", settings=("loss_every={}",), loss="{l1 = 1.0}"),
    Row("the semantic loss at the paper's weight, 0.01", loss="{l1 = 1.0, semantic = 0.01}"),
    Row(
        "without alignment: EDSR, stage 1 for as many more steps",
        "cdasr-pretrain",
        settings=("optim.lr=2e-4",),
        loss="{l1 = 1.0}",
    ),
)
SHUFFLED = "shuffled: the first row, conditioned on other images"
TASKS = TasksPart()
UNSEEN, EACH, SIDE = 2_000_000, 8, 256
"""First seed, number and side of the rendered images of each domain that are measured on."""


def main() -> None:
    parser = study_parser(__doc__, work="runs/ablation", threads=2)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--pretrain-steps", type=int, default=6000, help="steps of the shared stage 1")
    parser.add_argument("--steps", type=int, default=1500, help="steps of every row, after stage 1")
    parser.add_argument(
        "--meta-steps", type=int, default=40, help="outer steps of learning rates, 2 episodes each"
    )
    parser.add_argument("--adapt-steps", type=int, default=300, help="max steps of adapting to a domain")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--many-domains", action="store_true", help="photographs and rendered domains")
    options = read_options(parser)
    started = time.process_time()
    stage1 = train_row(options, options.work / "stage1", STAGE_1, options.pretrain_steps)
    kinds, pairs = measured_on(options)
    values: dict[str, NDArray[np.float64]] = {}
    for i, row in enumerate(ROWS):
        runs = [
            train_row(options, options.work / f"row{i}-seed{seed}", row, options.steps, stage1, seed)
            for seed in range(options.seeds)
        ]
        values[row.name] = np.mean([psnrs(weights, pairs) for weights in runs], axis=0)
        if i == 0:
            first = runs[0]
            values[SHUFFLED] = np.mean([psnrs(weights, pairs, shuffled=True) for weights in runs], axis=0)
        print(f"{row.name}: {values[row.name].mean():.3f} dB", flush=True)
    rates = learned_rates(options, first)
    name = "ablation of CDASR, many domains" if options.many_domains else "ablation of CDASR"
    publish(name, tables(values, kinds, rates, options, started), write=options.write)


def measured_on(options: argparse.Namespace) -> tuple[NDArray[np.str_], list[Pair]]:
    """The kind of each image, and the images; neighbours are of different kinds, if there are several."""
    scale, many = options.scale, options.many_domains
    images = {"benchmarks": benchmark(SETS, scale, limit=16 if many else None)}
    if many:
        for kind, domains in (("trained domains", TASKS.domains), ("held-out domains", TASKS.held_out)):
            seeds = itertools.product(range(UNSEEN, UNSEEN + EACH), domains)
            images[kind] = [multiple_of(render(domain, SIDE, SIDE, seed), scale) for seed, domain in seeds]
    named = ([(kind, hr) for hr in some] for kind, some in images.items())
    mixed = [one for row in itertools.zip_longest(*named) for one in row if one is not None]
    return np.array([kind for kind, _ in mixed]), [Pair(hr, make_lr(hr, scale)) for _, hr in mixed]


def train_row(
    options: argparse.Namespace, folder: Path, row: Row, steps: int, start: Path | None = None, seed: int = 0
) -> Path:
    """The weights of a row."""
    arguments = (f"scale={options.scale}", *NETWORK, *(ALIGNMENT if row.recipe == "cdasr-align" else ()))
    settings = [f"model.arguments.{argument}" for argument in arguments]
    settings += [*row.settings, f"loss={row.loss}", f"optim.steps={steps}", f"seed={seed}"]
    settings += [f"run.validate_every={steps}", f'model.start="{start or ""}"']
    if options.many_domains:
        settings += [f"data.rendered.{domain}=200" for domain in TASKS.domains] + ["data.rendered_batch=4"]
    return trained(options, folder, row.recipe, settings)


def learned_rates(options: argparse.Namespace, start: Path) -> Path:
    """The network `start` with learned rates to adapt with."""
    settings = [f'start="{start}"', f"outer.steps={options.meta_steps}"]
    settings += [f"outer.validate_every={max(1, options.meta_steps // 4)}", "outer.judged=2"]
    return trained(options, options.work / "rates", "cdasr-meta", settings)


def psnrs(weights: Path, pairs: Sequence[Pair], *, shuffled: bool = False) -> NDArray[np.float64]:
    """Classical PSNR of each image."""
    upscaler = Upscaler(UpscaleRecipe(model=str(weights), device="cpu", tile="off"))
    if shuffled:
        name = upscaler.models.name_of(upscaler.models.own_scale)
        upscaler._runners._conditionings[name] = Displaced(upscaler.conditioning(name), pairs[0].lr)  # type: ignore[assignment]
    return scored(upscaler, pairs, made_scorers(["psnr"]))["psnr"]


class Displaced:
    """Conditions on the previous image; the position of each pixel stays that of the image itself."""

    def __init__(self, conditioning: Conditioning, first: RGB) -> None:
        self._true, self._previous = conditioning, conditioning(first)

    def __call__(self, image: NDArray[Any], extras: Extras = NO_EXTRAS) -> Conditions:
        true = self._true(image)
        shuffled = {name: self._previous[name] if isinstance(c, Condition) else c for name, c in true.items()}
        self._previous = true
        return shuffled

    def blank(self, image: NDArray[Any]) -> Conditions:
        return self._true.blank(image)


def tables(
    values: dict[str, NDArray[np.float64]],
    kinds: NDArray[np.str_],
    rates: Path,
    options: argparse.Namespace,
    started: float,
) -> Iterator[str]:
    """Markdown: PSNR of the rows for each kind of image, then gains of few-shot adaptation."""
    first = next(iter(values))
    for kind in dict.fromkeys(kinds.tolist()):
        chosen = kinds == kind
        yield from table_head(
            [f"row, {chosen.sum()} {kind}", "PSNR", "difference to the first row, 95 % interval", ""]
        )
        for name, found in values.items():
            differences = (found - values[first])[chosen] if name != first else None
            yield table_row([name, *cells(found[chosen], differences, decimals=3, finer=1)])
        yield ""
    yield (
        f"{len(values[first])} images; {options.pretrain_steps} shared steps, then {options.steps} per row; "
        f"mean of {options.seeds} seeds."
    )
    yield ""
    yield from shots_table(rates, options.adapt_steps)
    yield ""
    yield f"{(time.process_time() - started) / 60:.0f} CPU minutes in total."


if __name__ == "__main__":
    main()

"""Self-supervised adaptation to hidden degradations, scored with references that it does not see, beside an oracle.

    SRKIT_DATA=... SRKIT_WEIGHTS=... python experiments/self_supervised.py [-m real-light-x4] [--count 50] [--write]

LR of centre crops of BSD100 and Urban100, as many from each, under each of the hidden degradations of
`experiments/presets.py`, and bicubic LR: `srkit adapt --self-supervised` on each folder by each method, then PSNR
(classical protocol), the shipped perceptual distance `judge`, which no model was trained against, and LPIPS and a
distance of VGG16's features where their weights are available, of the base and of the adapted model, on the images that
it was adapted to; differences with 95 % intervals. `oracle` is fine-tuned on pairs made with the true degradation of
the photographs in `--clean`, from which the method `pairs` makes its own, with the same settings: what could be gained
if the degradation were known.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.ablations import Pair, Values, cells, made_scorers, metric_cells, scored
from experiments.few_shot import example_of, fitted
from experiments.images import data_root, middle, middles, photographs, read_rgb8
from experiments.presets import PRESETS, preset
from experiments.real_scores import VGG16, vgg16_scorer
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.data.pairs import make_lr
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.metrics.table import Scorer
from srkit.ops.layout import RGB
from srkit.recipes.adapt import TunePart
from srkit.recipes.self_supervised import LoopPart, PairsPart, SelfAdaptRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.adapt.pairs import RATE
from srkit.tasks.adapt.run import AdaptJob, AdaptResult, run
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

SHOWN = ("psnr", "lpips", "judge")
SETS = ("BSD100", "Urban100")
CLEAN = "bicubic"
ORACLE = "oracle"
_ORACLE_IMAGES, _ORACLE_SIDE = 40, 512


@dataclass(frozen=True)
class Outcome:
    """The result of adapting to one folder."""

    before: Values
    """Scores of every image of the base, against its reference."""
    after: Values
    """The same of the adapted model."""
    seconds: float
    """CPU seconds of adapting."""
    result: AdaptResult | None = None
    """None for the oracle."""


def degraded(degradation: str, hr: Sequence[RGB], scale: int) -> list[Pair]:
    lows = [
        make_lr(one, scale) if degradation == CLEAN else preset(degradation, one, scale, seed)
        for seed, one in enumerate(hr)
    ]
    return [Pair(one, low) for one, low in zip(hr, lows, strict=True)]


def adapted(pairs: Sequence[Pair], recipe: SelfAdaptRecipe) -> tuple[LoadedModel, AdaptResult]:
    """`srkit adapt --self-supervised` on the LR of pairs."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "images"
        folder.mkdir()
        for number, pair in enumerate(pairs):
            write_image(DecodedImage(pair.lr), folder / f"{number:03}.png", format="png")
        result = run(AdaptJob(recipe, folder, Path(root) / "out.safetensors"))
        return load_model(result.output), result


def oracle(degradation: str, recipe: SelfAdaptRecipe, base: LoadedModel) -> LoadedModel:
    """The model after fine-tuning on pairs made with the true degradation, by the settings of the method `pairs`."""
    part, files = recipe.pairs, photographs(Path(recipe.clean))
    names = ("steps", "patch", "batch", "warmup_steps", "ema", "judge_every", "patience", "loss")
    settings = {name: getattr(part, name) for name in names} | {"steps": part.most_steps}
    tune = TunePart(**settings, optimiser="adam", rate=part.rate or RATE, turns=False)
    chosen = files[:: max(1, len(files) // _ORACLE_IMAGES)][:_ORACLE_IMAGES]
    scale = base.info.scale
    support = [
        example_of(degradation, middle(read_rgb8(file), _ORACLE_SIDE), scale, 1000 + number)
        for number, file in enumerate(chosen)
    ]
    return fitted(base, support, tune).model


def head(metrics: Sequence[str]) -> list[str]:
    columns = [
        cell
        for name in metrics
        for cell in (f"{name} before", f"{name} after less before, 95 % interval", "")
    ]
    return table_head(
        ["degradation", "method", *columns, "L_rec, no controller", "FAR", "kept", "CPU seconds"]
    )


def row(degradation: str, method: str, outcome: Outcome) -> str:
    texts = [degradation, method]
    for name, before in outcome.before.items():
        difference = outcome.after[name] - before
        if name == VGG16:
            texts += cells(before, difference, decimals=4, lower_is_better=True)
        else:
            texts += metric_cells(name, before, difference)
    result = outcome.result
    for metric in ("neutral", "far"):
        texts.append(
            "" if result is None else f"{result.after.mean[metric] / result.before.mean[metric] - 1:+.1%}"
        )
    found = None if result is None else result.loop
    kept = "" if found is None else "clean input" if found.clean else found.best
    return table_row([*texts, kept, f"{outcome.seconds:.0f}"])


def main() -> None:
    options = read_options(made_parser())
    publish("self-supervised", table(options), write=options.write)


def made_parser() -> argparse.ArgumentParser:
    parser = study_parser(__doc__)
    parser.add_argument("--model", "-m", default="real-light-x4")
    parser.add_argument("--reconstructor", default="auto", help="a name or a file")
    parser.add_argument("--count", type=int, default=50, help="images (%(default)s)")
    parser.add_argument(
        "--side", type=int, default=480, help="max side of the images, in HR pixels (%(default)s)"
    )
    parser.add_argument("--degradations", default=",".join((*PRESETS, CLEAN)))
    parser.add_argument("--methods", default=f"loop,pairs,{ORACLE}")
    parser.add_argument(
        "--clean", type=Path, help="photographs of `pairs` and of the oracle; else those of `train/`"
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--drawn", type=int, default=PairsPart.draws, help="degradations that `pairs` tries")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def table(options: argparse.Namespace) -> Iterator[str]:
    """Markdown: a row for each degradation and method."""
    base = load_model(options.model)
    scale = base.info.scale
    recipe = SelfAdaptRecipe(
        model=options.model,
        reconstructor=options.reconstructor,
        method="pairs",
        clean=str(options.clean or data_root() / "train"),
        loop=LoopPart(steps=options.steps),
        pairs=PairsPart(steps=options.steps, draws=options.drawn),
        device="cpu",
        threads=options.threads,
        seed=options.seed,
    )
    hr = middles(SETS, options.count, options.side, scale)
    measured = made_scorers(SHOWN) | vgg16_scorer()
    yield from head(list(measured))
    for degradation in options.degradations.split(","):
        pairs = degraded(degradation, hr, scale)
        before = scores_of(base, pairs, measured)
        for method in options.methods.split(","):
            started = time.process_time()
            result = None
            if method == ORACLE:
                new = oracle(degradation, recipe, base)
            else:
                own = recipe if method == "pairs" else replace(recipe, method="loop", clean="")
                new, result = adapted(pairs, own)
            seconds = time.process_time() - started
            yield row(degradation, method, Outcome(before, scores_of(new, pairs, measured), seconds, result))
    yield from ("", f"{base.name} on {len(hr)} images of each; scored on the images that it was adapted to.")


def scores_of(model: LoadedModel, pairs: Sequence[Pair], measured: Mapping[str, Scorer]) -> Values:
    return scored(Upscaler(UpscaleRecipe(device="cpu"), Models.of(model)), pairs, measured)


if __name__ == "__main__":
    main()

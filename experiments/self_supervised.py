"""Self-supervised adaptation to hidden degradations, scored with references that it does not see.

    SRKIT_DATA=... python experiments/self_supervised.py [-m real-light-x4] [--count 50] [--write]

LR of centre crops of BSD100 and Urban100, as many from each, under each of the three hidden degradations of
`experiments/presets.py`, and bicubic LR: `srkit adapt --self-supervised` on each folder, then PSNR (classical protocol)
and the shipped perceptual distance `judge`, which no model was trained against, of the base and of the adapted model,
on the images that it was adapted to (LPIPS too where its weights are available); differences with 95 % intervals.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.ablations import Pair, Values, made_scorers, metric_cells, scored
from experiments.images import RGB, middles
from experiments.presets import PRESETS, preset
from experiments.study import publish, read_options, study_parser, table_head, table_row
from srkit.data.pairs import make_lr
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.metrics.table import Scorer
from srkit.recipes.self_supervised import LoopPart, SelfAdaptRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.adapt.run import AdaptJob, AdaptResult, run
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

SHOWN = ("psnr", "lpips", "judge")
SETS = ("BSD100", "Urban100")
CLEAN = "bicubic"
SIDE = 480  # max, of the crops, in HR pixels


@dataclass(frozen=True)
class Outcome:
    """The result of adapting to one folder."""

    result: AdaptResult
    before: Values
    """Scores of every image of the base, against its reference."""
    after: Values
    """The same of the adapted model."""


def degraded(degradation: str, hr: Sequence[RGB], scale: int) -> list[Pair]:
    lows = [
        make_lr(one, scale) if degradation == CLEAN else preset(degradation, one, scale, seed)
        for seed, one in enumerate(hr)
    ]
    return [Pair(one, low) for one, low in zip(hr, lows, strict=True)]


def adapted(
    pairs: Sequence[Pair], recipe: SelfAdaptRecipe, base: LoadedModel, measured: Mapping[str, Scorer]
) -> Outcome:
    """`srkit adapt --self-supervised` on the LR of pairs, scored on the pairs."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "images"
        folder.mkdir()
        for number, pair in enumerate(pairs):
            write_image(DecodedImage(pair.lr), folder / f"{number:03}.png", format="png")
        result = run(AdaptJob(recipe, folder, Path(root) / "out.safetensors"))
        new = load_model(result.output)
        how = UpscaleRecipe(device="cpu")
        before, after = (scored(Upscaler(how, Models.of(model)), pairs, measured) for model in (base, new))
    return Outcome(result, before, after)


def head(metrics: Sequence[str]) -> list[str]:
    columns = [
        cell
        for name in metrics
        for cell in (f"{name} before", f"{name} after less before, 95 % interval", "")
    ]
    return table_head(["degradation", *columns, "L_rec, no controller", "FAR", "alpha kept", "seconds"])


def row(degradation: str, outcome: Outcome) -> str:
    texts = [degradation]
    for name, before in outcome.before.items():
        texts += metric_cells(name, before, outcome.after[name] - before)
    result = outcome.result
    for metric in ("neutral", "far"):
        texts.append(f"{result.after.mean[metric] / result.before.mean[metric] - 1:+.1%}")
    found = result.loop
    kept = "" if found is None else "clean input" if found.clean else found.best
    return table_row([*texts, kept, f"{result.seconds:.0f}"])


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--model", "-m", default="real-light-x4")
    parser.add_argument("--reconstructor", default="auto", help="a name or a file")
    parser.add_argument("--count", type=int, default=50, help="images (%(default)s)")
    parser.add_argument("--degradations", default=",".join((*PRESETS, CLEAN)))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = read_options(parser)
    publish("self-supervised", table(options), write=options.write)


def table(options: argparse.Namespace) -> Iterator[str]:
    """Markdown: a row for each degradation."""
    base = load_model(options.model)
    scale = base.info.scale
    recipe = SelfAdaptRecipe(
        model=options.model,
        reconstructor=options.reconstructor,
        loop=LoopPart(steps=options.steps),
        device="cpu",
        threads=options.threads,
        seed=options.seed,
    )
    hr = middles(SETS, options.count, SIDE, scale)
    measured = made_scorers(SHOWN)
    yield from head(list(measured))
    for degradation in options.degradations.split(","):
        yield row(degradation, adapted(degraded(degradation, hr, scale), recipe, base, measured))
    yield from ("", f"{base.name} on {len(hr)} images of each; scored on the images that it was adapted to.")


if __name__ == "__main__":
    main()

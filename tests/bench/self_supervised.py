"""Self-supervised adaptation to hidden degradations, scored with the references that it never saw.

    SRKIT_DATA=... SRKIT_WEIGHTS=... python tests/bench/self_supervised.py [-m real-x4] [--count 50] [--write]

Low-resolution pictures of BSD100 and Urban100 (their middles, evenly from both) through each of the three hidden
degradations of `srkit.degradation.presets`, and once more only shrunk: `srkit adapt --self-supervised` on each folder,
then PSNR (classical protocol) and the distance `judge`, which nothing was trained against, of the base and of what was
adapted, by the very pictures that it was adapted to (LPIPS too where its weights are there); differences with 95 %
intervals. With --write the table is put into weights/README.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ablations import Pair, Values, made_scorers, markdown_head, markdown_row, metric_cells, scored
from marks import write_between_marks
from numpy.typing import NDArray

from srkit.data.benchmarks import find_dataset, rgb8
from srkit.data.pairs import make_lr
from srkit.degradation.presets import PRESETS, preset
from srkit.io.picture import Picture
from srkit.io.read import read_picture
from srkit.io.write import write_picture
from srkit.metrics.table import Scorer
from srkit.recipes.self_supervised import LoopPart, SelfAdaptRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.chain import Models
from srkit.tasks.self_adapt import SelfAdaptJob, SelfAdaptResult, run
from srkit.tasks.upscaler import Upscaler
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

RGB = NDArray[np.uint8]
SHOWN = ("psnr", "lpips", "judge")
SETS = ("BSD100", "Urban100")
CLEAN = "only shrunk"
SIDE = 480  # of the middles, in HR pixels, at most


@dataclass(frozen=True)
class Outcome:
    """Of adapting to one folder."""

    result: SelfAdaptResult
    before: Values
    """Scores of every picture, with its reference."""
    after: Values


def middles(data: Path, count: int, scale: int, longest: int = SIDE) -> list[RGB]:
    """Middles of benchmark pictures, evenly from the sets, sides at most `longest` and multiples of the scale."""
    items = [find_dataset(name, data).pairs(scale) for name in SETS]
    found = []
    for number in range(count):
        of = items[number % len(items)]
        share = -(-count // len(items))
        picture = rgb8(read_picture(of[number // len(items) * len(of) // share].hr))
        sides = [min(longest, side) // scale * scale for side in picture.shape[:2]]
        top, left = ((whole - side) // 2 for whole, side in zip(picture.shape[:2], sides, strict=True))
        found.append(np.ascontiguousarray(picture[top : top + sides[0], left : left + sides[1]]))
    return found


def degraded(degradation: str, hr: Sequence[RGB], scale: int) -> list[Pair]:
    lows = [
        make_lr(one, scale) if degradation == CLEAN else preset(degradation, one, scale, seed)
        for seed, one in enumerate(hr)
    ]
    return [Pair(one, low) for one, low in zip(hr, lows, strict=True)]


def adapted(
    pairs: Sequence[Pair], recipe: SelfAdaptRecipe, base: LoadedModel, measured: Mapping[str, Scorer]
) -> Outcome:
    """`srkit adapt --self-supervised` on the low-resolution pictures of pairs, scored by the pairs."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "pictures"
        folder.mkdir()
        for number, pair in enumerate(pairs):
            write_picture(Picture(pair.lr), folder / f"{number:03}.png", format="png")
        result = run(SelfAdaptJob(recipe, folder, Path(root) / "out.safetensors"))
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
    return markdown_head(["degradation", *columns, "L_rec alike", "FAR", "kept", "learning, seconds"])


def row(degradation: str, outcome: Outcome) -> str:
    texts = [degradation]
    for name, before in outcome.before.items():
        texts += metric_cells(name, before, outcome.after[name] - before)
    result = outcome.result
    for metric in ("neutral", "far"):
        texts.append(f"{result.after.mean[metric] / result.before.mean[metric] - 1:+.1%}")
    kept = "looked clean" if result.clean else result.best
    return markdown_row([*texts, kept, f"{result.seconds:.0f}"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", "-m", default="real-x4")
    parser.add_argument("--reconstructor", default="auto", help="a name or a file")
    parser.add_argument("--count", type=int, default=50, help="pictures")
    parser.add_argument("--degradations", default=",".join((*PRESETS, CLEAN)))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="the table into weights/README.md")
    chosen = parser.parse_args()
    base = load_model(chosen.model)
    scale = base.info.scale
    recipe = SelfAdaptRecipe(
        model=chosen.model,
        reconstructor=chosen.reconstructor,
        loop=LoopPart(steps=chosen.steps),
        device="cpu",
        threads=chosen.threads,
        seed=chosen.seed,
    )
    hr = middles(Path(os.environ["SRKIT_DATA"]), chosen.count, scale)
    measured = made_scorers(SHOWN)
    lines = head(list(measured))
    print("\n".join(lines), flush=True)
    for degradation in chosen.degradations.split(","):
        outcome = adapted(degraded(degradation, hr, scale), recipe, base, measured)
        lines.append(row(degradation, outcome))
        print(lines[-1], flush=True)
    about = f"{base.name} on {len(hr)} pictures of each; scored by the pictures that it was adapted to."
    lines += ["", about]
    print(f"\n{about}")
    if chosen.write:
        write_between_marks("self-supervised", "self_supervised.py", "\n".join(lines))


if __name__ == "__main__":
    main()

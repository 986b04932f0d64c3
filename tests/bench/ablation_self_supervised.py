"""Ablation of self-supervised adaptation (HR-aware, the paper's Tables 2 and 4), each row from the same network.

    SRKIT_DATA=... python tests/bench/ablation_self_supervised.py --data photos/ --work runs/ablation-self

Rows: the base; L_rec alone; with the controller; with FAR; with both; both with the controller reversed, and with its
noise at 0 and at the paper's 1 (four draws averaged); both with a reconstructor of feature modulation and with one of
StyleGAN2's, each trained from nothing for the same `--train-steps`, in `--work` unless they are there (or name finished
ones with --gfm and --stylegan2). Every row takes the same steps, and the weights at the end are measured as they are,
whatever the judges of `srkit adapt` would have said. Pictures: the middles of BSD100's and Urban100's through the three
hidden degradations, the network adapted to each of these alone. What a picture scores is its mean over degradations:
the distance `judge` (LPIPS too where its weights are there), PSNR, and NIQE where its parameters and pyiqa are there;
differences to the row named come with their paired bootstrap interval over the pictures. One that includes zero is
undecided. Prints the table, and writes it between its marks in weights/README.md. With the defaults it takes less than
60 minutes of a processor.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ablations import Pair, Values, made_scorers, score_table, scored
from marks import write_between_marks
from self_supervised import degraded, middles

from srkit.data.unlabelled import Low, LowSplit
from srkit.degradation.presets import PRESETS
from srkit.engine.device import training_dtype
from srkit.progress import Silent
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.self_supervised import LoopPart
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.chain import Models
from srkit.tasks.degrader import Degrader, load_degrader
from srkit.tasks.self_adapt_fit import LoopFit, fit
from srkit.tasks.train import WEIGHTS, TrainJob
from srkit.tasks.train import run as train
from srkit.tasks.upscaler import Upscaler
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

CPU = torch.device("cpu")
SHOWN = ("judge", "lpips", "psnr", "niqe")
SHIPPED, GFM, STYLED = "shipped", "gfm", "stylegan2"


@dataclass(frozen=True)
class Row:
    name: str
    loop: LoopPart | None
    """None: not adapted."""
    control: str = ""
    """The row that it is compared with."""
    reconstructor: str = SHIPPED


BASE, ALONE, BOTH, OWN = "base", "L_rec alone", "both", "both, feature modulation, trained as shortly"
LOOP = LoopPart(keep="raw", even_clean=True, patch=32)
ROWS = (
    Row(BASE, None),
    Row(ALONE, replace(LOOP, control="off", far_share=0.0), BASE),
    Row("with the controller", replace(LOOP, far_share=0.0), ALONE),
    Row("with FAR", replace(LOOP, control="off"), ALONE),
    Row(BOTH, LOOP, BASE),
    Row("both, controller reversed", replace(LOOP, control="reversed"), BOTH),
    Row("both, the paper's controller", replace(LOOP, control="paper"), BOTH),
    Row("both, no noise", replace(LOOP, noise_std=0.0), BOTH),
    Row("both, noise 0.1", replace(LOOP, noise_std=0.1), BOTH),
    Row("both, noise 1", replace(LOOP, noise_std=1.0, draws=4), BOTH),
    Row(OWN, LOOP, BASE, GFM),
    Row("both, StyleGAN2 modulation, trained as shortly", LOOP, OWN, STYLED),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, action="append", default=[], help="what reconstructors are trained on"
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", "-m", default="real-x4")
    parser.add_argument("--reconstructor", default="auto", help="of the rows that name none")
    parser.add_argument("--gfm", default="", help="a finished reconstructor, in place of training one")
    parser.add_argument("--stylegan2", default="", help="likewise")
    parser.add_argument("--train-steps", type=int, default=500)
    parser.add_argument("--steps", type=int, default=80, help="of every row")
    parser.add_argument("--rate", type=float, default=2e-6)
    parser.add_argument("--count", type=int, default=24, help="pictures")
    parser.add_argument("--side", type=int, default=256, help="of these, in HR pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="do not write weights/README.md")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    chosen.work.mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    model = load_model(chosen.model)
    scale = model.info.scale
    hr = middles(Path(os.environ["SRKIT_DATA"]), chosen.count, scale, chosen.side)
    sets = {name: degraded(name, hr, scale) for name in PRESETS}
    measured = made_scorers(SHOWN)
    names = {SHIPPED: chosen.reconstructor, GFM: chosen.gfm, STYLED: chosen.stylegan2}
    degraders: dict[str, Degrader] = {}
    values: dict[str, Values] = {}
    for row in ROWS:
        if row.loop is not None and row.reconstructor not in degraders:
            source = names[row.reconstructor] or str(trained(chosen, row.reconstructor, scale))
            degraders[row.reconstructor] = load_degrader(source, scale, CPU, training_dtype("auto", CPU))
        found = []
        for pairs in sets.values():
            network = model
            if row.loop is not None:
                part = replace(row.loop, steps=chosen.steps, rate=chosen.rate)
                network = adapted(model, degraders[row.reconstructor], pairs, part)
            found.append(scored(Upscaler(UpscaleRecipe(device="cpu"), Models.of(network)), pairs, measured))
        values[row.name] = {name: np.mean([one[name] for one in found], axis=0) for name in measured}
        means = {name: round(float(v.mean()), 4) for name, v in values[row.name].items()}
        print(row.name, means, f"{(time.process_time() - started) / 60:.1f} CPU minutes", flush=True)
    table = markdown(values, chosen)
    table += f" {(time.process_time() - started) / 60:.0f} CPU minutes, all in all."
    print(table)
    if not chosen.dry:
        write_between_marks("ablation of self-supervised", "ablation_self_supervised.py", table)


def trained(chosen: argparse.Namespace, modulation: str, scale: int) -> Path:
    """A reconstructor of that modulation, trained unless it is there."""
    folder = chosen.work / modulation
    if not (folder / WEIGHTS).is_file():
        if not chosen.data:
            raise SystemExit("--data is needed to train reconstructors; or name finished ones.")
        settings = [
            f"model.arguments.scale={scale}",
            f"model.arguments.modulation={modulation}",
            f"optim.steps={chosen.train_steps}",
            f"run.validate_every={chosen.train_steps}",
        ]
        recipe = load_training_recipe("reconstructor", settings)
        resume = (folder / "checkpoint.pt").is_file()
        train(
            TrainJob(recipe, tuple(chosen.data), folder, threads=chosen.threads, device="cpu", resume=resume)
        )
    return folder / WEIGHTS


def adapted(model: LoadedModel, degrader: Degrader, pairs: Sequence[Pair], part: LoopPart) -> LoadedModel:
    """The model after learning from the low-resolution pictures of all pairs."""
    lows = tuple(Low(str(number), pair.lr) for number, pair in enumerate(pairs))
    split = LowSplit(lows, lows[:1], False)  # nothing that a judge says is of consequence
    return fit(model, degrader, split, LoopFit(part, CPU, "auto", 0), Silent()).model


def markdown(values: Mapping[str, Values], chosen: argparse.Namespace) -> str:
    controls = {row.name: row.control for row in ROWS}
    lines = score_table(values, controls, "difference", named=True)
    lines += [
        "",
        f"{chosen.model} on {chosen.count} pictures through {len(PRESETS)} hidden degradations (mean of these), "
        f"{chosen.steps} steps at {chosen.rate:g} a row; the last two reconstructors had {chosen.train_steps} steps.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

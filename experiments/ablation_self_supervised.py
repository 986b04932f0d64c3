"""Ablation of self-supervised adaptation (HR-aware, the paper's Tables 2 and 4), each row from the same network.

    SRKIT_DATA=... python experiments/ablation_self_supervised.py --data photos/ [--count 24] [--write]

Rows: the base; L_rec alone; with the controller; with FAR; with both; both with the controller reversed, and with its
noise at 0 and at the paper's 1 (mean of four draws); both with a reconstructor of feature modulation and with one of
StyleGAN2 modulation, each trained from random weights for `--train-steps` (or given with --gfm and --stylegan2). Every
row takes the same steps, and its last weights are measured, whatever the validation of `srkit adapt` would keep.
Images: centre crops of BSD100 and Urban100 under the three hidden degradations, the network adapted to each of these
alone. The score of an image is its mean over the degradations: the shipped perceptual distance `judge`, PSNR, and LPIPS
and NIQE where these are available; differences to the row named have a paired bootstrap interval over the images, and
are undecided where it includes zero. The defaults take less than 60 CPU minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from experiments.ablations import Pair, Values, made_scorers, score_table, scored
from experiments.images import middles
from experiments.presets import ABLATED
from experiments.self_supervised import SETS, degraded
from experiments.study import publish, read_options, study_parser, trained
from srkit.data.examples import Split
from srkit.data.unlabelled import UnpairedImage
from srkit.engine.device import training_dtype
from srkit.inference.chain import Models
from srkit.inference.degrader import Degrader, load_degrader
from srkit.inference.upscaler import Upscaler
from srkit.progress import Silent
from srkit.recipes.self_supervised import LoopPart
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.adapt.loop import LoopFit, fit
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


BASE, ALONE, BOTH, OWN = "base", "L_rec alone", "both", "both, feature modulation, short training"
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
    Row("both, StyleGAN2 modulation, short training", LOOP, OWN, STYLED),
)


def main() -> None:
    parser = study_parser(__doc__, work="runs/ablation-self", threads=2)
    parser.add_argument("--model", "-m", default="real-light-x4")
    parser.add_argument("--reconstructor", default="auto", help="of all rows but the last two")
    parser.add_argument("--gfm", default="", help="weights of a reconstructor with feature modulation")
    parser.add_argument("--stylegan2", default="", help="weights of one with StyleGAN2 modulation")
    parser.add_argument("--train-steps", type=int, default=500)
    parser.add_argument("--steps", type=int, default=80, help="steps of every row")
    parser.add_argument("--rate", type=float, default=2e-6)
    parser.add_argument("--count", type=int, default=24, help="images (%(default)s)")
    parser.add_argument(
        "--side", type=int, default=256, help="side of the images, in HR pixels (%(default)s)"
    )
    options = read_options(parser)
    started = time.process_time()
    model = load_model(options.model)
    scale = model.info.scale
    hr = middles(SETS, options.count, options.side, scale)
    sets = {name: degraded(name, hr, scale) for name in ABLATED}
    measured = made_scorers(SHOWN)
    names = {SHIPPED: options.reconstructor, GFM: options.gfm, STYLED: options.stylegan2}
    degraders: dict[str, Degrader] = {}
    values: dict[str, Values] = {}
    for row in ROWS:
        if row.loop is not None and row.reconstructor not in degraders:
            source = names[row.reconstructor] or str(train_reconstructor(options, row.reconstructor, scale))
            degraders[row.reconstructor] = load_degrader(source, scale, CPU, training_dtype("auto", CPU))
        found = []
        for pairs in sets.values():
            network = model
            if row.loop is not None:
                part = replace(row.loop, steps=options.steps, rate=options.rate)
                network = adapted(model, degraders[row.reconstructor], pairs, part)
            found.append(scored(Upscaler(UpscaleRecipe(device="cpu"), Models.of(network)), pairs, measured))
        values[row.name] = {name: np.mean([one[name] for one in found], axis=0) for name in measured}
        means = {name: round(float(v.mean()), 4) for name, v in values[row.name].items()}
        print(row.name, means, f"{(time.process_time() - started) / 60:.1f} CPU minutes", flush=True)
    controls = {row.name: row.control for row in ROWS}
    lines = score_table(values, controls, "difference", named=True)
    lines += [
        "",
        f"{options.model} on {options.count} images under {len(ABLATED)} hidden degradations (mean of these), "
        f"{options.steps} steps at {options.rate:g} per row; the last two reconstructors had {options.train_steps} "
        f"steps. {(time.process_time() - started) / 60:.0f} CPU minutes in total.",
    ]
    publish("ablation of self-supervised", lines, write=options.write)


def train_reconstructor(options: argparse.Namespace, modulation: str, scale: int) -> Path:
    """A reconstructor of that modulation."""
    settings = [
        f"model.arguments.scale={scale}",
        f"model.arguments.modulation={modulation}",
        f"optim.steps={options.train_steps}",
        f"run.validate_every={options.train_steps}",
    ]
    return trained(options, options.work / modulation, "reconstructor", settings)


def adapted(model: LoadedModel, degrader: Degrader, pairs: Sequence[Pair], part: LoopPart) -> LoadedModel:
    """The model after adapting to the LR of all pairs."""
    lows = tuple(UnpairedImage(str(number), pair.lr) for number, pair in enumerate(pairs))
    split = Split(lows, lows[:1], False)  # the result of validation is not used
    return fit(model, degrader, split, LoopFit(part, CPU, "auto", 0), Silent()).model


if __name__ == "__main__":
    main()

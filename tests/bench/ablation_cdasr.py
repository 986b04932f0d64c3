"""Ablation of CDASR (the paper's Table II with controls): small networks, one shared stage 1, equal steps a row.

    SRKIT_DATA=... python tests/bench/ablation_cdasr.py --data photos/ --work runs/ablation [--scale 4] [--seeds 2]

32 channels, 8 blocks, one PixelShuffle. Each row is trained from the same stage 1 for the same steps, once a seed, and
measured on the 219 pictures of Set5, Set14, BSD100 and Urban100 (classical PSNR, mean over seeds); the differences to
the first row come with their paired bootstrap interval over the pictures. A row that includes zero is undecided.
`shuffled` is the first row once more, each picture told what the encoder says of another one. Then rates are learned
for the first row's network (seed 0), and it adapts to domains that neither training saw: with 0, 1 and 5 examples, with
uniform and with learned rates. A run that is finished in `--work` is not trained again. Prints the tables, and writes
them between their marks in weights/README.md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation_shots import shots_table
from ablations import Pair, cells, made_scorers, markdown_head, markdown_row, pictures, scored
from marks import write_between_marks
from numpy.typing import NDArray
from score_models import SETS

from srkit.data.pairs import make_lr
from srkit.engine.conditions import Condition, Conditions
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.conditions import Conditioner
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.tasks.upscaler import Upscaler

NETWORK = ("features=32", "blocks=8")
ALIGNMENT = ("hidden=128", "aligned=64", "token_features=16")


@dataclass(frozen=True)
class Row:
    name: str
    recipe: str = "cdasr-align"
    settings: tuple[str, ...] = field(default_factory=tuple)
    loss: str = "{l1 = 1.0, semantic = 5e-4}"


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
        "without alignment: EDSR, stage 1 for as many steps more",
        "cdasr-pretrain",
        settings=("optim.lr=2e-4",),
        loss="{l1 = 1.0}",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--pretrain-steps", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=1500, help="of every row, after the shared stage 1")
    parser.add_argument("--meta-steps", type=int, default=40, help="of learning rates; 2 episodes of 20 each")
    parser.add_argument("--adapt-steps", type=int, default=300, help="at most, of adapting to a domain")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    started = time.process_time()
    begun = trained(
        chosen,
        chosen.work / "stage1",
        Row("stage 1", "cdasr-pretrain", loss="{l1 = 1.0}"),
        chosen.pretrain_steps,
    )
    pairs = benchmark(chosen.scale)
    values: dict[str, NDArray[np.float64]] = {}
    for i, row in enumerate(ROWS):
        runs = [
            trained(chosen, chosen.work / f"row{i}-seed{seed}", row, chosen.steps, begun, seed)
            for seed in range(chosen.seeds)
        ]
        values[row.name] = np.mean([psnrs(weights, pairs) for weights in runs], axis=0)
        if i == 0:
            values["shuffled: the first row told of other pictures"] = np.mean(
                [psnrs(weights, pairs, shuffled=True) for weights in runs], axis=0
            )
        print(f"{row.name}: {values[row.name].mean():.3f} dB", flush=True)
    table = markdown(values, chosen)
    rates = learned_rates(chosen, chosen.work / "row0-seed0" / WEIGHTS)
    table += "\n\n" + shots_table(rates, Path(os.environ["SRKIT_DATA"]), chosen.adapt_steps)
    table += f"\n\n{(time.process_time() - started) / 60:.0f} CPU minutes, all in all."
    print(table)
    write_between_marks("ablation of CDASR", "ablation_cdasr.py", table)


def trained(
    chosen: argparse.Namespace, folder: Path, row: Row, steps: int, start: Path | None = None, seed: int = 0
) -> Path:
    """The weights of a row, trained unless they are there."""
    weights = folder / WEIGHTS
    if weights.is_file():
        return weights
    arguments = (f"scale={chosen.scale}", *NETWORK, *(ALIGNMENT if row.recipe == "cdasr-align" else ()))
    settings = [f"model.arguments.{argument}" for argument in arguments]
    settings += [*row.settings, f"loss={row.loss}", f"optim.steps={steps}", f"seed={seed}"]
    settings += [f"run.validate_every={steps}", f'model.start="{start or ""}"']
    recipe = load_training_recipe(row.recipe, settings)
    print(f"training {folder.name}: {row.name}", flush=True)
    resume = (folder / "checkpoint.pt").is_file()
    return run(
        TrainJob(recipe, (chosen.data,), folder, threads=chosen.threads, device="cpu", resume=resume)
    ).weights


def learned_rates(chosen: argparse.Namespace, start: Path) -> Path:
    """The weights with rates to adapt with, learned unless they are there."""
    folder = chosen.work / "rates"
    if not (folder / WEIGHTS).is_file():
        settings = [f'start="{start}"', f"outer.steps={chosen.meta_steps}"]
        settings += [f"outer.validate_every={max(1, chosen.meta_steps // 4)}", "outer.judged=2"]
        recipe = load_training_recipe("cdasr-meta", settings)
        print("learning rates", flush=True)
        run(TrainJob(recipe, (chosen.data,), folder, threads=chosen.threads, device="cpu"))
    return folder / WEIGHTS


def benchmark(scale: int) -> list[Pair]:
    return [Pair(hr, make_lr(hr, scale)) for hr in pictures(dict.fromkeys(SETS, 1), scale)]


def psnrs(weights: Path, pairs: Sequence[Pair], *, shuffled: bool = False) -> NDArray[np.float64]:
    """Classical PSNR of each picture."""
    upscaler = Upscaler(UpscaleRecipe(model=str(weights), device="cpu", tile="off"))
    if shuffled:
        name = upscaler.models.name_of(upscaler.models.own_scale)
        upscaler._conditioners[name] = Displaced(upscaler.conditioner(name), pairs[0].lr)  # type: ignore[assignment]
    return scored(upscaler, pairs, made_scorers(["psnr"]))["psnr"]


class Displaced:
    """Tells of the picture before what the encoder says, and of this one where its pixels lie."""

    def __init__(self, conditioner: Conditioner, first: NDArray[np.uint8]) -> None:
        self._true, self._before = conditioner, conditioner(first)

    def __call__(self, picture: NDArray[Any], kernels: None = None) -> Conditions:
        true = self._true(picture)
        told = {name: self._before[name] if isinstance(c, Condition) else c for name, c in true.items()}
        self._before = true
        return told

    def blank(self, picture: NDArray[Any]) -> Conditions:
        return self._true.blank(picture)


def markdown(values: dict[str, NDArray[np.float64]], chosen: argparse.Namespace) -> str:
    first = next(iter(values))
    lines = markdown_head(["row", "PSNR", "difference to the first row, 95 % interval", ""])
    for name, found in values.items():
        differences = found - values[first] if name != first else None
        lines.append(markdown_row([name, *cells(found, differences, decimals=3, finer=1)]))
    count = len(values[first])
    lines += ["", f"{count} pictures; {chosen.pretrain_steps} shared steps, then {chosen.steps} a row; "]
    lines[-1] += f"mean of {chosen.seeds} seeds."
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Ablation of Cria-CL (the paper's Table V with controls): small networks, one shared PSNR start, equal steps a row.

    SRKIT_DATA=... python tests/bench/ablation_cria.py --data photos/ --work runs/ablation-cria [--seeds 2] [--one-head]

An RRDB trunk (24 channels, 2 blocks), two heads of 16, HR crops of 96; pictures are degraded by the mild second-order
degradation. Every row is trained from the same start for the same steps, once a seed, and differs from the others in
the terms of its loss alone; the control is the two heads with the plain weighted sum. The weights of the raw criteria
make their gradients as strong as those of the normalised ones (measured). Rows are measured on every fifth picture of
BSD100 and on Set14, each through the three hidden degradations (`srkit.degradation.presets`): the distance `judge`,
which no row was trained against, PSNR (classical), and NIQE where its parameters and pyiqa are there. What a picture
scores is its mean over degradations and seeds; differences to its control (the paper's criteria have one, those
without a perceptual loss another, and a third where patterns of the grid are kept away) come with their paired
bootstrap interval over the pictures. One that includes zero is undecided. `--one-head` adds a network with the same
trunk and one head, from a start of its own. A run that is finished in `--work` is not trained again. Prints the table,
and writes it between its marks in weights/README.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ablations import Pair, Values, made_scorers, pictures, score_table, scored
from marks import write_between_marks

from srkit.degradation.presets import PRESETS, preset
from srkit.metrics.table import Scorer
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.tasks.upscaler import Upscaler

SCALE = 4
SETS = {"BSD100": 5, "Set14": 1}
SHOWN = ("judge", "psnr", "niqe")
TRUNK = "scale=4, features=24, blocks=2, growth=12"
TWO_HEADS = f'{{arch="cria", arguments={{{TRUNK}, width=16, mask_width=16, upsampler="single"}}}}'
ONE_HEAD = f'{{arch="esrgan", arguments={{{TRUNK}, skip=true}}}}'
PLAIN = "pixel=1.0, perceptual=0.025, adversarial=4e-3"
"""The paper's terms; the perceptual one with `compact`, whose gradient at 0.025 is as strong as that of the pixels."""
SHIPPED = "pixel=1.0, perceptual=0, adversarial=2e-3"
EVEN = f"{SHIPPED}, checkerboard=1.0"
"""Those of the shipped recipes."""
PAPER_CRITERIA = ('cria.align=["ssim","bottom"]', 'cria.unif=["top","adversarial"]')
SHIPPED_CRITERIA = ('cria.align=["ssim"]', 'cria.unif=["adversarial"]')


@dataclass(frozen=True)
class Row:
    name: str
    heads: str
    """Weights of what the paper's baseline does not have."""
    settings: tuple[str, ...] = PAPER_CRITERIA
    terms: str = PLAIN
    control: str = ""
    """The row that it is compared with; none: it is a control."""
    start: str = "start"
    """The folder of the run that it starts from."""
    model: str = TWO_HEADS


NONE = "align=0, unif=0, balance=0.05"
BOTH = "align=5e-3, unif=1e-3, balance=0.05"
CONTROL = Row("two heads, plain weighted sum (the control)", NONE)
SHIPPED_CONTROL = Row("no perceptual loss, plain weighted sum", NONE, SHIPPED_CRITERIA, terms=SHIPPED)
EVEN_CONTROL = Row(
    "no perceptual loss, no patterns of the grid, plain weighted sum (cria-control)",
    NONE,
    SHIPPED_CRITERIA,
    terms=EVEN,
)
ROWS = (
    CONTROL,
    Row("with alignment", "align=5e-3, unif=0, balance=0.05", control=CONTROL.name),
    Row("with uniformity", "align=0, unif=1e-3, balance=0.05", control=CONTROL.name),
    Row("with both", BOTH, control=CONTROL.name),
    Row(
        "with both, criteria raw as in the paper",
        "align=0.0125, unif=5.5e-3, balance=0.05",
        (*PAPER_CRITERIA, "cria.raw=true"),
        control=CONTROL.name,
    ),
    SHIPPED_CONTROL,
    Row("no perceptual loss, with both", BOTH, SHIPPED_CRITERIA, terms=SHIPPED, control=SHIPPED_CONTROL.name),
    EVEN_CONTROL,
    Row(
        "no perceptual loss, no patterns of the grid, with both (cria-adversarial)",
        BOTH,
        SHIPPED_CRITERIA,
        terms=EVEN,
        control=EVEN_CONTROL.name,
    ),
)
SINGLE = Row(
    "one head, plain weighted sum, a start of its own",
    "align=0, unif=0, balance=0",
    control=CONTROL.name,
    start="start-one-head",
    model=ONE_HEAD,
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--start-steps", type=int, default=3000, help="by the pixels alone, shared by all rows"
    )
    parser.add_argument("--steps", type=int, default=400, help="of every row, after the start")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="measure on every n-th of the pictures alone")
    parser.add_argument("--one-head", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="do not write weights/README.md")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    spent = Spent(chosen.work)
    pairs = degraded(chosen.every)
    scorers = made_scorers(SHOWN)
    values: dict[str, Values] = {}
    rows = (*ROWS, SINGLE) if chosen.one_head else ROWS
    for number, row in enumerate(rows):
        started = trained(chosen, chosen.work / row.start, start_settings(chosen, row), "real-start")
        spent.note()
        found = []
        for seed in range(chosen.seeds):
            folder = chosen.work / f"row{number}-seed{seed}"
            weights = trained(chosen, folder, row_settings(chosen, row, started, seed), "cria-adversarial")
            found.append(measured(weights, pairs, scorers))
            spent.note()
        values[row.name] = {name: np.mean([one[name] for one in found], axis=0) for name in scorers}
        print(row.name, {name: round(float(v.mean()), 4) for name, v in values[row.name].items()}, flush=True)
    table = markdown(rows, values, len(pairs) // len(PRESETS), chosen)
    table += f" {spent.minutes:.0f} CPU minutes, all in all."
    print(table)
    if not chosen.dry:
        write_between_marks("ablation of cria", "ablation_cria.py", table)


class Spent:
    """Processor time of this run and of those before it in the same folder."""

    def __init__(self, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._file, self._noted = work / "cpu-seconds.txt", 0.0

    def note(self) -> None:
        """Add what was spent since the last note."""
        now = time.process_time()
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{now - self._noted:.1f}\n")
        self._noted = now

    @property
    def minutes(self) -> float:
        return sum(map(float, self._file.read_text(encoding="utf-8").split())) / 60


def trained(chosen: argparse.Namespace, folder: Path, settings: list[str], recipe: str) -> Path:
    """The weights of a run, trained unless they are there."""
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    print(f"training {folder.name}", flush=True)
    job = TrainJob(
        load_training_recipe(recipe, settings),
        (chosen.data,),
        folder,
        threads=chosen.threads,
        device="cpu",
        resume=(folder / "checkpoint.pt").is_file(),
    )
    return run(job).weights


def start_settings(chosen: argparse.Namespace, row: Row) -> list[str]:
    return [*shared(row, chosen.start_steps), "optim.lr=5e-4"]


def row_settings(chosen: argparse.Namespace, row: Row, start: Path, seed: int) -> list[str]:
    loss = f"loss={{{row.terms}, {row.heads}}}"
    start_at = [f'model.start="{start}"', f"seed={seed}", "optim.lr=2e-4"]
    return [*shared(row, chosen.steps), *start_at, loss, *row.settings]


def shared(row: Row, steps: int) -> list[str]:
    return [f"model={row.model}", "data.patch=24", f"optim.steps={steps}", f"run.validate_every={steps}"]


def degraded(every: int) -> list[Pair]:
    """Each picture through each hidden degradation; the chance is another for each picture."""
    found = pictures(SETS, SCALE)[::every]
    return [
        Pair(hr, preset(name, hr, SCALE, seed=number)) for number, hr in enumerate(found) for name in PRESETS
    ]


def measured(weights: Path, pairs: list[Pair], scorers: Mapping[str, Scorer]) -> Values:
    """Scores of the pictures, each the mean over the degradations."""
    upscaler = Upscaler(UpscaleRecipe(model=str(weights), device="cpu", tile="off"))
    values = scored(upscaler, pairs, scorers)
    return {name: found.reshape(-1, len(PRESETS)).mean(1) for name, found in values.items()}


def markdown(
    rows: Sequence[Row], values: Mapping[str, Values], count: int, chosen: argparse.Namespace
) -> str:
    controls = {row.name: row.control for row in rows}
    lines = score_table(values, controls, "against its control")
    lines += [
        "",
        f"{count} pictures through {len(PRESETS)} hidden degradations (mean of these); {chosen.start_steps} shared "
        f"steps by the pixels, then {chosen.steps} a row; mean of {chosen.seeds} seeds.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

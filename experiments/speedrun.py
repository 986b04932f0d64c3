"""Speedrun of the default networks: held-out PSNR after a fixed budget of CPU seconds, one change a row.

    python experiments/speedrun.py ROW [ROW ...] --data photos/ --work runs/speedrun [--seconds 220 1500]

A row is the recipe `edsr-x4` with the settings of `ROWS` laid over it, trained from nothing on one thread. The budget
is process CPU time of the training steps (drawing their data included, validation and start-up not), so that other
work on the machine changes it little; the cosine ends with it. Held-out images are the recipe's: every 20th image of
`--data` by sorted name; no benchmark is looked at. Finished rows stay in `--work` and are not trained again; a stopped
one goes on. Without rows, the table of all that are finished is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from srkit.progress import Progress, Silent
from srkit.recipes.kinds import load_training_recipe
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.training.state import CHECKPOINT

COMMON = ("run.clock=cpu", "run.validate_every=500", "data.holdout_every=20")
ADAM = ("optim.optimizer=adam", "optim.lr=5e-4", "optim.betas=[0.9, 0.999]", "data.best_of=1")
MUON = (
    "optim.optimizer=muon",
    "optim.lr=1e-3",
    "optim.betas=[0.9, 0.99]",
    "data.best_of=1",
    "optim.ema=0.998",
)
DETAIL = (*MUON, "data.best_of=4")


def _model(arch: str, **arguments: float) -> str:
    inside = ", ".join(f"{name} = {value}" for name, value in {"scale": 4, **arguments}.items())
    return f'model={{ arch = "{arch}", arguments = {{ {inside} }} }}'


ROWS: Mapping[str, tuple[str, ...]] = {
    "adam": ADAM,
    "muon": MUON,
    "muon-of-2": (*MUON, "data.best_of=2"),
    "muon-of-4": DETAIL,
    "batch-4": (*DETAIL, "data.batch=4"),
    "batch-16": (*DETAIL, "data.batch=16"),
    "patch-48": (*DETAIL, "data.patch=48", "data.batch=4"),
    "compact-16": (*DETAIL, _model("srvgg", features=64, convs=16, linear=0.5)),
    "compact-16-relu": (*DETAIL, _model("srvgg", features=64, convs=16, linear=0.0)),
    "compact-96x8": (*DETAIL, _model("srvgg", features=96, convs=8, linear=0.5)),
}
"""Settings by row; see the module."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", help="what to train")
    parser.add_argument("--data", type=Path, action="append", default=[], help="folder of photographs")
    parser.add_argument("--work", type=Path, default=Path("runs/speedrun"), help="where runs are kept")
    parser.add_argument("--seconds", type=int, nargs="+", default=[220, 1500], help="budgets of CPU time")
    arguments = parser.parse_args()
    for seconds in arguments.seconds:
        for row in arguments.rows:
            folder = arguments.work / f"{row}-{seconds}"
            if not (folder / WEIGHTS).is_file():
                train(row, seconds, folder, tuple(arguments.data), Silent())
            print(f"{row}, {seconds} CPU s: {curve(folder)}", flush=True)
    print(table(arguments.work))


def train(row: str, seconds: int, folder: Path, data: tuple[Path, ...], progress: Progress) -> None:
    """Train a row within its budget."""
    recipe = load_training_recipe("edsr-x4", [*COMMON, *ROWS[row]])
    resume = (folder / CHECKPOINT).is_file()
    job = TrainJob(recipe, data, folder, minutes=seconds / 60, resume=resume, device="cpu", threads=1)
    run(job, progress)


def curve(folder: Path) -> str:
    """Held-out PSNR over the CPU seconds of a run."""
    return ", ".join(f"{value:.2f} at {seconds:.0f} s" for _, seconds, value in validations(folder))


def validations(folder: Path) -> list[tuple[int, float, float]]:
    """Step, CPU seconds and held-out PSNR of each validation of a run."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [(line["step"], line["seconds"], line["val_psnr"]) for line in lines if "val_psnr" in line]


def table(work: Path) -> str:
    """Finished rows in Markdown: the last validation of each budget."""
    lines = ["| row | CPU s | steps | held-out PSNR |", "|---|---|---|---|"]
    for folder in sorted(work.glob("*-*/"), key=lambda one: (int(one.name.rpartition("-")[2]), one.name)):
        if (folder / WEIGHTS).is_file():
            step, seconds, value = validations(folder)[-1]
            lines.append(f"| {folder.name.rpartition('-')[0]} | {seconds:.0f} | {step:,} | {value:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

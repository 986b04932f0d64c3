"""Speedrun of the default networks: held-out PSNR after a fixed budget of CPU seconds, one change a row.

    python experiments/speedrun.py ROW [ROW ...] --data photos/ [--work runs/speedrun] [--seconds 220 1500]

A row is the recipe `edsr-x4`, on eight crops of 32 x 32 LR pixels a step, with the settings of `ROWS` laid over it,
trained from nothing on one thread. The budget is process CPU time of the training steps (drawing their data included,
validation and start-up not), so that other work on the machine changes it little; the cosine ends with it. Held-out
images are every 20th image of `--data` by sorted name; no benchmark is looked at. Finished rows stay in `--work` and
are not trained again; a stopped one goes on. Without rows, the table of all that are finished is printed; `--write`
puts it into RESULTS.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from experiments.study import publish, read_options, study_parser, table_head, table_row, trained
from srkit.tasks.train import WEIGHTS

COMMON = (
    "run.clock=cpu",
    "run.validate_every=500",
    "data.holdout_every=20",
    "data.patch=32",
    "data.batch=8",
)
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
    "compact-16": (*DETAIL, _model("srvgg", features=64, convs=16)),
    "compact-16-relu": (*DETAIL, _model("srvgg", features=64, convs=16, slope=0.0)),
    "compact-96x8": (*DETAIL, _model("srvgg", features=96, convs=8)),
}
"""Settings by row; see the module."""


def main() -> None:
    parser = study_parser(__doc__, work="runs/speedrun", threads=1)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seconds", type=int, nargs="+", default=[220, 1500], help="budgets of CPU time")
    options = read_options(parser)
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"there are no rows {', '.join(sorted(unknown))}; known are {', '.join(ROWS)}")
    for seconds in options.seconds:
        for row in options.rows:
            folder = options.work / f"{row}-{seconds}"
            trained(options, folder, "edsr-x4", [*COMMON, *ROWS[row]], minutes=seconds / 60)
            print(f"{row}, {seconds} CPU s: {curve(folder)}", flush=True)
    publish("speedrun", table(options.work, options.seconds), write=options.write)


def curve(folder: Path) -> str:
    """Held-out PSNR over the CPU seconds of a run."""
    return ", ".join(f"{value:.2f} at {seconds:.0f} s" for _, seconds, value in validations(folder))


def validations(folder: Path) -> list[tuple[int, float, float]]:
    """Step, CPU seconds and held-out PSNR of each validation of a run."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [(line["step"], line["seconds"], line["val_psnr"]) for line in lines if "val_psnr" in line]


def table(work: Path, budgets: Sequence[int]) -> Iterator[str]:
    """Markdown: steps and last validation of each finished row at each budget, in the order of `ROWS`."""
    yield from table_head(
        ["row", *(f"{seconds:,} CPU s: {what}" for seconds in budgets for what in ("steps", "dB"))]
    )
    for row in ROWS:
        cells = []
        for folder in (work / f"{row}-{seconds}" for seconds in budgets):
            done = (folder / WEIGHTS).is_file()
            step, _, value = validations(folder)[-1] if done else (0, 0.0, 0.0)
            cells += [f"{step:,}", f"{value:.2f}"] if done else ["", ""]
        if any(cells):
            yield table_row([row, *cells])


if __name__ == "__main__":
    main()

"""Ablation of Cria-CL (the paper's Table V with controls): small networks, one shared PSNR start, equal steps per row.

    SRKIT_DATA=... python experiments/ablation_cria.py --data photos/ [--seeds 2] [--one-head] [--write]

An RRDB trunk (24 channels, 2 blocks), two heads of 16, HR crops of 96, the mild second-order degradation. Every row is
trained from the same start for the same steps, once per seed, and differs from the others in the terms of its loss
alone; the control is the two heads with the plain weighted sum. The weights of the raw criteria make their gradients as
strong as those of the normalised ones (measured). Rows are measured on every fifth image of BSD100 and on Set14, each
under the three hidden degradations of `experiments/presets.py`: the shipped perceptual distance `judge`, which no row
was trained against, PSNR (classical), and NIQE where it is available. The score of an image is its mean over the
degradations and seeds; differences to its control (one for the paper's criteria, one without a perceptual loss, one
with the checkerboard loss as well) have a paired bootstrap interval over the images, and are undecided where it
includes zero. `--one-head` adds a network with the same trunk and one head, from a start of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.ablations import Pair, Values, made_scorers, score_table, scored
from experiments.images import benchmark
from experiments.presets import ABLATED, preset
from experiments.study import publish, read_options, study_parser, trained
from srkit.inference.upscaler import Upscaler
from srkit.metrics.table import Scorer
from srkit.recipes.upscale import UpscaleRecipe

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
"""The terms of the shipped recipes."""
PAPER_CRITERIA = ('cria.align=["ssim","bottom"]', 'cria.unif=["top","adversarial"]')
SHIPPED_CRITERIA = ('cria.align=["ssim"]', 'cria.unif=["adversarial"]')


@dataclass(frozen=True)
class Row:
    name: str
    heads: str
    """Weights of the terms that the paper adds to its baseline."""
    settings: tuple[str, ...] = PAPER_CRITERIA
    terms: str = PLAIN
    control: str = ""
    """The row that it is compared with; empty: it is a control itself."""
    start: str = "start"
    """The folder of the run that it starts from."""
    model: str = TWO_HEADS


NONE = "align=0, unif=0, balance=0.05"
BOTH = "align=5e-3, unif=1e-3, balance=0.05"
CONTROL = Row("two heads, plain weighted sum (the control)", NONE)
SHIPPED_CONTROL = Row("no perceptual loss, plain weighted sum", NONE, SHIPPED_CRITERIA, terms=SHIPPED)
EVEN_CONTROL = Row(
    "no perceptual loss, checkerboard loss, plain weighted sum (cria-control)",
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
        "no perceptual loss, checkerboard loss, with both (cria-adversarial)",
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
    parser = study_parser(__doc__, work="runs/ablation-cria", threads=2)
    parser.add_argument(
        "--start-steps", type=int, default=3000, help="steps of the shared start, by L1 alone"
    )
    parser.add_argument("--steps", type=int, default=400, help="steps of every row, after the start")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="measure on every n-th image alone")
    parser.add_argument("--one-head", action="store_true", help="add a network with one head")
    options = read_options(parser)
    spent = Spent(options.work)
    pairs = degraded(options.every)
    scorers = made_scorers(SHOWN)
    values: dict[str, Values] = {}
    rows = (*ROWS, SINGLE) if options.one_head else ROWS
    for number, row in enumerate(rows):
        settings = [*shared(row, options.start_steps), "optim.lr=5e-4"]
        start = trained(options, options.work / row.start, "real-start", settings)
        spent.note()
        found = []
        for seed in range(options.seeds):
            folder = options.work / f"row{number}-seed{seed}"
            weights = trained(
                options, folder, "cria-adversarial", row_settings(row, options.steps, start, seed)
            )
            found.append(measured(weights, pairs, scorers))
            spent.note()
        values[row.name] = {name: np.mean([one[name] for one in found], axis=0) for name in scorers}
        print(row.name, {name: round(float(v.mean()), 4) for name, v in values[row.name].items()}, flush=True)
    lines = score_table(values, {row.name: row.control for row in rows}, "against its control")
    lines += [
        "",
        f"{len(pairs) // len(ABLATED)} images under {len(ABLATED)} hidden degradations (mean of these); "
        f"{options.start_steps} shared steps by L1 alone, then {options.steps} per row; mean of {options.seeds} seeds. "
        f"{spent.minutes:.0f} CPU minutes in total.",
    ]
    publish("ablation of cria", lines, write=options.write)


class Spent:
    """CPU time of this run and of earlier ones in the same folder."""

    def __init__(self, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._file, self._noted = work / "cpu-seconds.txt", 0.0

    def note(self) -> None:
        """Add the time since the last note."""
        now = time.process_time()
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{now - self._noted:.1f}\n")
        self._noted = now

    @property
    def minutes(self) -> float:
        return sum(map(float, self._file.read_text(encoding="utf-8").split())) / 60


def row_settings(row: Row, steps: int, start: Path, seed: int) -> list[str]:
    loss = f"loss={{{row.terms}, {row.heads}}}"
    start_at = [f'model.start="{start}"', f"seed={seed}", "optim.lr=2e-4"]
    return [*shared(row, steps), *start_at, loss, *row.settings]


def shared(row: Row, steps: int) -> list[str]:
    return [f"model={row.model}", "data.patch=24", f"optim.steps={steps}", f"run.validate_every={steps}"]


def degraded(every: int) -> list[Pair]:
    """Each image under each hidden degradation; each image has a random seed of its own."""
    found = [hr for name, n in SETS.items() for hr in benchmark([name], SCALE, every=n)][::every]
    return [
        Pair(hr, preset(name, hr, SCALE, seed=number)) for number, hr in enumerate(found) for name in ABLATED
    ]


def measured(weights: Path, pairs: list[Pair], scorers: Mapping[str, Scorer]) -> Values:
    """Scores of the images, each the mean over the degradations."""
    upscaler = Upscaler(UpscaleRecipe(model=str(weights), device="cpu", tile="off"))
    values = scored(upscaler, pairs, scorers)
    return {name: found.reshape(-1, len(ABLATED)).mean(1) for name, found in values.items()}


if __name__ == "__main__":
    main()

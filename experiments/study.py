"""What all studies share: options of the command line, training runs, and tables in RESULTS.md."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from srkit.io.atomic import atomic_path
from srkit.recipes.kinds import load_training_recipe
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.training.state import CHECKPOINT

RESULTS = Path(__file__).with_name("RESULTS.md")


def study_parser(
    doc: str | None,
    *,
    work: str | None = None,
    threads: int | None = None,
    limit: int | None = None,
    writes: bool = True,
) -> argparse.ArgumentParser:
    """The options that studies have in common; a study adds its own.

    Args:
        doc: the docstring of the study, which `--help` prints.
        work: default of `--work`, which comes with `--data`: both are for `trained`; None: without them.
        threads: default of `--threads`.
        limit: default of `--limit`; None: without it.
        writes: with `--write`, for `publish`.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if work is not None:
        parser.add_argument(
            "--data",
            type=Path,
            action="append",
            default=[],
            help="folder of training photographs; repeatable",
        )
        parser.add_argument(
            "--work",
            type=Path,
            default=Path(work),
            help="folder of the runs (%(default)s); finished ones are not trained again",
        )
    if limit is not None:
        parser.add_argument("--limit", type=int, default=limit, help="max images of each set (%(default)s)")
    parser.add_argument("--threads", type=int, default=threads, help="threads of PyTorch (%(default)s)")
    if writes:
        parser.add_argument("--write", action="store_true", help=f"write the tables into {RESULTS.name}")
    return parser


def read_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """Parse the command line, and set the threads of PyTorch."""
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


def trained(
    options: argparse.Namespace,
    folder: Path,
    recipe: str,
    settings: Sequence[str],
    *,
    minutes: float | None = None,
) -> Path:
    """The weights of a run in a folder: trained unless they are there, resumed where it has a checkpoint.

    Args:
        options: of a parser with `work`.
        settings: laid over the recipe, as with `srkit train --set`.
        minutes: budget of the run; by default the recipe's steps.
    """
    weights = folder / WEIGHTS
    if not weights.is_file():
        if not options.data:
            raise SystemExit(f"{folder.name} is to be trained; name folders of photographs with --data.")
        print(f"training {folder.name}", flush=True)
        job = TrainJob(
            load_training_recipe(recipe, settings),
            tuple(options.data),
            folder,
            minutes=minutes,
            resume=(folder / CHECKPOINT).is_file(),
            device="cpu",
            threads=options.threads,
        )
        run(job)
    return weights


def table_row(cells: Iterable[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def table_head(cells: Sequence[str]) -> list[str]:
    """The two lines above the rows of a table in Markdown."""
    return [table_row(cells), "|" + "---|" * len(cells)]


def publish(name: str, lines: Iterable[str], *, write: bool, file: Path = RESULTS) -> None:
    """Print lines as they come; with `write`, then put all of them between the marks `name` of the file."""
    shown = []
    for line in lines:
        print(line, flush=True)
        shown.append(line)
    if write:
        write_between_marks(name, "\n".join(shown), file)


def write_between_marks(name: str, table: str, file: Path = RESULTS) -> None:
    """Put a table between `<!-- NAME: SCRIPT -->` and `<!-- end of NAME -->` of a Markdown file."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    begin, end = f"<!-- {re.escape(name)}: [^>]+ -->\n", f"<!-- end of {re.escape(name)} -->"
    found = re.search(f"({begin}).*?({end})", text, re.DOTALL)
    if found is None:
        print(f"{file} has no marks of '{name}'; the table was not written there")
        return
    with atomic_path(file) as temporary:
        temporary.write_text(
            f"{text[: found.start()]}{found[1]}{table}\n{found[2]}{text[found.end() :]}", encoding="utf-8"
        )

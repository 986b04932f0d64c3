"""srkit train"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srkit.errors import Exit
from srkit.recipes.load import shipped_recipes
from srkit_cli import completion
from srkit_cli.console import Console
from srkit_cli.groups import ENGINE, INPUT, OUTPUT, TRAINING
from srkit_cli.options import (
    Debug,
    Device,
    DtypeName,
    Json,
    Offline,
    Quiet,
    Settings,
    Threads,
    Verbose,
    WeightsDir,
)

if TYPE_CHECKING:
    from srkit.tasks.train.job import TrainResult

_UPSCALING = frozenset({"sr", "gan", "meta", "stages"})
"""Kinds of training whose weights `upscale` takes by themselves."""


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(shipped_recipes())}, or a TOML file.", autocompletion=completion.recipes
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(help="A folder of photographs (repeatable).", metavar="DIR", rich_help_panel=INPUT),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the run; else runs/RECIPE.",
            metavar="DIR",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew where it holds a run.", rich_help_panel=OUTPUT)
    ] = False,
    set_: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's checkpoint.", rich_help_panel=OUTPUT)
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(help="Training time, earlier parts included.", metavar="F", rich_help_panel=TRAINING),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Length in steps.", metavar="N", rich_help_panel=TRAINING)
    ] = None,
    val: Annotated[
        list[Path] | None,
        typer.Option(help="A folder to validate on (repeatable).", metavar="DIR", rich_help_panel=INPUT),
    ] = None,
    data_terms: Annotated[
        str, typer.Option(help="Names and terms of the data, for the header.", rich_help_panel=OUTPUT)
    ] = "",
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, for the header.", rich_help_panel=OUTPUT)
    ] = "",
    device: Device = "auto",
    dtype: Annotated[
        DtypeName | None, typer.Option(help="Precision of the arithmetic.", rich_help_panel=ENGINE)
    ] = None,
    threads: Threads = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random.", metavar="N", rich_help_panel=ENGINE)
    ] = None,
    offline: Offline = False,
    weights_dir: WeightsDir = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> int:
    """Train a network from a recipe and folders of photographs.

    \b
    srkit train edsr-x4 --data photos/ --minutes 60
    torchrun --nproc-per-node 4 -m srkit_cli train edsr-x4 --data photos/ -o runs/edsr-x4
    """
    from srkit.recipes.kinds import load_training_recipe  # the recipes of all kinds: a tenth of a second

    # The flags are short forms of settings, so that the saved recipe is complete.
    flags = {"steps": steps, "seed": seed, "dtype": dtype and dtype.value}
    values = {name: value for name, value in flags.items() if value is not None}
    resolved = load_training_recipe(recipe, set_ or (), values)
    console = Console(quiet=quiet, verbose=verbose)

    from srkit.tasks.train import TrainJob, run

    job = TrainJob(
        recipe=resolved,
        data=tuple(data),
        output=output or Path("runs") / Path(recipe).name.removesuffix(".toml"),
        validation=tuple(val or ()),
        minutes=minutes,
        resume=resume,
        overwrite=overwrite,
        device=device,
        threads=threads,
        training_data=data_terms,
        licence=licence,
    )
    result = run(job, console)
    if json:
        console.json({**asdict(result), "weights": str(result.weights)})
    console.say(
        f"{result.weights}: {result.steps} steps, {result.seconds / 60:.1f} min, "
        f"{_judged(result)} on {len(result.held_out)} images held out"
    )
    if output is None and resolved.kind in _UPSCALING:
        console.next_command("srkit", "upscale", "INPUT", "OUTPUT", "-m", str(result.weights))
    return Exit.DONE


def _judged(result: TrainResult) -> str:
    decibels = [] if result.validation_psnr is None else [f"{result.validation_psnr:.3f} dB"]
    return ", ".join([*decibels, *(f"{name} {value:.3f}" for name, value in result.scores.items())])

"""srkit train"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srkit.errors import Exit
from srkit.recipes.load import shipped_recipes
from srkit_cli import completion, options
from srkit_cli.console import Console
from srkit_cli.groups import ENGINE, INPUT, OUTPUT, TRAINING, option

if TYPE_CHECKING:
    from srkit.tasks.train.job import TrainResult

_UPSCALING = frozenset({"sr", "gan", "meta", "stages"})
"""Kinds of training whose weights `upscale` can run without other models."""


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(shipped_recipes())}, or a TOML file.", autocompletion=completion.recipes
        ),
    ],
    data: Annotated[list[Path], option("A folder of photographs (repeatable).", INPUT, metavar="DIR")],
    output: Annotated[
        Path | None, option("Folder of the run; else runs/RECIPE.", OUTPUT, "--output", "-o", metavar="DIR")
    ] = None,
    overwrite: Annotated[bool, option("Start anew where it holds a run.", OUTPUT, "--overwrite")] = False,
    set_: options.Settings = None,
    resume: Annotated[bool, option("Go on from the run's checkpoint.", OUTPUT, "--resume")] = False,
    minutes: Annotated[
        float | None, option("Training time, earlier parts included.", TRAINING, metavar="F")
    ] = None,
    steps: Annotated[int | None, option("Length in steps.", TRAINING, metavar="N")] = None,
    val: Annotated[
        list[Path] | None, option("A folder to validate on (repeatable).", INPUT, metavar="DIR")
    ] = None,
    data_terms: Annotated[str, option("Names and terms of the data, for the header.", OUTPUT)] = "",
    licence: Annotated[str, option("Licence of the weights, for the header.", OUTPUT)] = "",
    device: options.Device = "auto",
    dtype: Annotated[options.DtypeName | None, option("Precision of the arithmetic.", ENGINE)] = None,
    threads: options.Threads = None,
    seed: Annotated[int | None, option("Seed of everything random.", ENGINE, metavar="N")] = None,
    offline: options.Offline = False,
    weights_dir: options.WeightsDir = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Train a network from a recipe and folders of photographs.

    \b
    srkit train edsr-x4 --data photos/ --minutes 60
    torchrun --nproc-per-node 4 -m srkit_cli train edsr-x4 --data photos/ -o runs/edsr-x4
    """
    from srkit.recipes.kinds import load_training_recipe  # the recipes of all kinds: a tenth of a second

    # Flags are short forms of settings, so that the saved recipe is complete.
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

"""srkit estimate-kernel"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srkit.errors import Exit
from srkit.recipes.estimate import EstimateRecipe
from srkit_cli import completion, options
from srkit_cli.console import Console
from srkit_cli.groups import MODEL, OUTPUT, option
from srkit_cli.records import report

if TYPE_CHECKING:
    from srkit.tasks.kernels.estimate import EstimateJob, KernelRecord


def estimate_kernel(
    input: Annotated[str, typer.Argument(help="A file, a folder, or a glob in quotes.", metavar="INPUT")],
    output: Annotated[
        str | None,
        typer.Argument(
            help="A .npz file, or a folder; else beside the input, photo.npz or in-kernels/.",
            metavar="OUTPUT",
        ),
    ] = None,
    scale: Annotated[
        int | None, option("Of the upscaling to come: 2, 3 or 4.", MODEL, "--scale", "-s", metavar="N")
    ] = None,
    depth: Annotated[
        str, option("auto, none, a provider's name, or a folder of depth maps.", MODEL, metavar="NAME|DIR")
    ] = EstimateRecipe.depth,
    refine: Annotated[
        int, option("Rounds that look at the restored image; the paper's are 2.", MODEL, metavar="N")
    ] = EstimateRecipe.refine,
    preview: Annotated[
        Path | None, option("Where the preview goes; else beside the map.", OUTPUT, metavar="FILE.png")
    ] = None,
    no_preview: Annotated[bool, option("Write kernel maps alone.", OUTPUT, "--no-preview")] = False,
    grid: Annotated[
        int, option("Ellipses along the preview's longer side.", OUTPUT, metavar="N")
    ] = EstimateRecipe.grid,
    model: Annotated[
        str,
        option(
            "What estimates: a name or a file.",
            MODEL,
            "--model",
            "-m",
            "-n",
            autocompletion=completion.kernel_models,
        ),
    ] = EstimateRecipe.model,
    restorer: Annotated[
        str,
        option(
            "What restores, for rounds and the re-blur PSNR: a name or a file.",
            MODEL,
            autocompletion=completion.sr_models,
        ),
    ] = EstimateRecipe.restorer,
    tile: options.Tile = "auto",
    recursive: options.Recursive = False,
    overwrite: options.Overwrite = False,
    skip_existing: options.SkipExisting = False,
    max_pixels: options.MaxPixels = 10**9,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeName.auto,
    threads: options.Threads = None,
    seed: options.Seed = 0,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Estimate the blur of images, pixel by pixel: a kernel map and a preview of it for each.

    \b
    srkit estimate-kernel photo.jpg
    srkit estimate-kernel in/ kernels/
    srkit upscale photo.jpg photo-4x.png --kernel-map photo.npz
    """
    existing = options.existing_of(overwrite=overwrite, skip_existing=skip_existing)
    recipe = EstimateRecipe(
        scale=scale,
        model=model,
        restorer=restorer,
        depth=depth,
        refine=refine,
        grid=grid,
        tile=options.tile_of(tile),
        device=device,
        dtype=dtype.value,
        threads=threads,
        seed=seed,
        max_pixels=max_pixels,
    )
    console = Console(quiet=quiet, verbose=verbose)

    from srkit.tasks.kernels.estimate import EstimateJob, default_output

    job = EstimateJob(
        recipe,
        input,
        default_output(input) if output is None else Path(output),
        recursive,
        existing,
        into_folder=output is not None and output.endswith(("/", os.sep)),
        with_preview=not no_preview,
        preview=preview,
    )
    code = _run(job, json, console)
    if output is None and code == Exit.DONE:
        console.next_command("srkit", "upscale", input, "OUTPUT", "--kernel-map", str(job.output))
    return code


def _run(job: EstimateJob, json: bool, console: Console) -> int:
    from srkit.tasks.kernels.estimate import run

    def done(record: KernelRecord) -> None:
        blur = record.mean_kernel
        if blur is not None:
            psnr = "" if record.reblur_psnr is None else f", re-blur {record.reblur_psnr:.2f} dB"
            rounds = "".join(
                f", round {number}: kernels {change.kernels:.1%}, depth {change.depth:.3f} changed"
                for number, change in enumerate(record.changes, 1)
            )
            console.say(
                f"{record.output}: blur of {blur.width:.2f} px (spread {blur.spread:.2f}), confidence "
                f"{record.confidence:.2f}{psnr}{rounds}, {record.seconds:.1f} s"
            )

    return report(run(job, console), done, json, console)

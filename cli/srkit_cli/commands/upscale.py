"""srkit upscale"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srkit.errors import Exit, UsageError
from srkit.recipes.engine import EngineRecipe
from srkit.recipes.upscale import Target, UpscaleRecipe
from srkit_cli import completion
from srkit_cli.console import Console
from srkit_cli.groups import ENGINE, MODEL, OUTPUT, REPORT, SIZE
from srkit_cli.options import (
    Address,
    Debug,
    Devices,
    Dtype,
    DtypeName,
    Engine,
    EngineName,
    Json,
    MaxPixels,
    Offline,
    Overwrite,
    Quiet,
    Recursive,
    Seed,
    ShardOf,
    SkipExisting,
    Threads,
    Tile,
    Verbose,
    WeightsDir,
    Workers,
    existing_of,
    pixels,
    tile_of,
)
from srkit_cli.records import STREAM, report

if TYPE_CHECKING:
    from srkit.tasks.upscale.run import FileRecord, UpscaleJob


class FormatName(StrEnum):
    auto = "auto"
    png = "png"
    jpg = "jpg"
    webp = "webp"
    tiff = "tiff"
    avif = "avif"


def upscale(
    input: Annotated[
        str,
        typer.Argument(help="A file, a folder, a glob in quotes, a URL, or - for stdin.", metavar="INPUT"),
    ],
    output: Annotated[
        str, typer.Argument(help="A file, a folder, a URL, or - for stdout.", metavar="OUTPUT")
    ],
    scale: Annotated[
        float | None,
        typer.Option("--scale", "-s", help="Factor, above 1 and up to 16.", rich_help_panel=SIZE),
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Exact width of the result.", metavar="N", rich_help_panel=SIZE)
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Exact height of the result.", metavar="N", rich_help_panel=SIZE)
    ] = None,
    max_size: Annotated[
        int | None, typer.Option(help="Exact longest side of the result.", metavar="N", rich_help_panel=SIZE)
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            "-n",
            help="auto looks at each image: clean ones go to the default networks, damaged ones to real. Or a name of "
            "`srkit models`, a family of them (real), or a file.",
            autocompletion=completion.sr_models,
            rich_help_panel=MODEL,
        ),
    ] = "auto",
    tile: Tile = "auto",
    overlap: Annotated[str, typer.Option(help="auto, or pixels.", rich_help_panel=ENGINE)] = "auto",
    tta: Annotated[
        bool,
        typer.Option(
            "--tta", help="Eight-fold self-ensemble: better, eight times slower.", rich_help_panel=MODEL
        ),
    ] = False,
    format: Annotated[
        FormatName, typer.Option("--format", "-f", help="auto keeps the input's.", rich_help_panel=OUTPUT)
    ] = FormatName.auto,
    quality: Annotated[
        int | None, typer.Option(help="1 to 100, for JPEG, WebP, AVIF.", metavar="N", rich_help_panel=OUTPUT)
    ] = None,
    compression: Annotated[
        int | None, typer.Option(help="0 to 9, for PNG and TIFF.", metavar="N", rich_help_panel=OUTPUT)
    ] = None,
    recursive: Recursive = False,
    shard: ShardOf = None,
    suffix: Annotated[
        str, typer.Option(help="Put behind each name.", metavar="TEXT", rich_help_panel=OUTPUT)
    ] = "",
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    max_pixels: MaxPixels = 10**9,
    kernel_map: Annotated[
        Path | None,
        typer.Option(
            help="The blur, from estimate-kernel; or a folder of maps.", metavar="FILE", rich_help_panel=MODEL
        ),
    ] = None,
    depth: Annotated[
        str,
        typer.Option(
            help="For models that are conditioned on blur, where it is to be estimated: auto, none, a provider's name, "
            "or a folder of depth maps.",
            metavar="NAME|DIR",
            rich_help_panel=MODEL,
        ),
    ] = UpscaleRecipe.depth,
    strength: Annotated[
        float | None,
        typer.Option(
            help="0 to 1, for a model that has a pair: from the PSNR-trained network (0) to the perceptually trained "
            "one (1).",
            metavar="X",
            rich_help_panel=MODEL,
        ),
    ] = None,
    denoise: Annotated[
        float | None,
        typer.Option(
            help="0 to 1, for a model that has a pair: from the network for light damage (0) to that for strong (1).",
            metavar="X",
            rich_help_panel=MODEL,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Of a diffusion model's sampler; else the model's own.", metavar="N", rich_help_panel=MODEL
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            help="Of a diffusion model, each with a seed of its own: also NAME-2.png, ... and NAME-spread.png, which "
            "is bright where the result is invented (8 levels for one of standard deviation).",
            metavar="N",
            rich_help_panel=MODEL,
        ),
    ] = UpscaleRecipe.samples,
    prompt: Annotated[
        str,
        typer.Option(
            help="What the image shows, in words, for a model that takes them (clipsr).",
            metavar="TEXT",
            rich_help_panel=MODEL,
        ),
    ] = "",
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="The same for each image: a folder of .txt by name, a .tsv or COCO's .json.",
            metavar="FILE",
            rich_help_panel=MODEL,
        ),
    ] = None,
    debug_maps: Annotated[
        Path | None,
        typer.Option(
            help="Also write what a network with two heads makes each image of, as DIR/NAME-align.png, -unif.png and "
            "-mask.png: of a chain's first network, at the result's size, with --tta the mean. Four times as slow.",
            metavar="DIR",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be done; do nothing.", rich_help_panel=REPORT)
    ] = False,
    save_recipe: Annotated[
        bool, typer.Option("--save-recipe", help="A .srkit.json beside each output.", rich_help_panel=OUTPUT)
    ] = False,
    strip: Annotated[
        bool,
        typer.Option("--strip", help="Write no metadata but the colour profile.", rich_help_panel=OUTPUT),
    ] = False,
    device: Devices = "auto",
    dtype: Dtype = DtypeName.auto,
    threads: Threads = None,
    engine: Engine = EngineName.local,
    workers: Workers = None,
    address: Address = None,
    seed: Seed = 0,
    offline: Offline = False,
    weights_dir: WeightsDir = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> int:
    """Upscale images with a trained network.

    \b
    srkit upscale photo.jpg photo-4x.png
    srkit upscale in/ out/ --scale 8
    srkit upscale in/ out/ --shard $SLURM_ARRAY_TASK_ID/8
    srkit upscale s3://bucket/in s3://bucket/out --engine ray --address auto
    """
    existing = existing_of(overwrite=overwrite, skip_existing=skip_existing)
    if suffix and ("/" in suffix or os.sep in suffix):
        raise UsageError(f"--suffix is '{suffix}'; it must not hold a path separator.")
    recipe = UpscaleRecipe(
        model=model,
        target=Target(scale, width, height, max_size),
        tile=tile_of(tile),
        overlap="auto" if overlap == "auto" else pixels("--overlap", overlap, "auto"),
        tta=tta,
        format=format.value,
        quality=quality,
        compression=compression,
        device=device,
        dtype=dtype.value,
        threads=threads,
        seed=seed,
        steps=steps,
        samples=samples,
        depth=depth,
        max_pixels=max_pixels,
        prompt=prompt,
        strength=strength,
        denoise=denoise,
        strip=strip,
    )
    console = Console(quiet=quiet, verbose=verbose)
    way = EngineRecipe.of(engine.value, workers, address, device)

    from srkit.io.storage import is_url, without_file
    from srkit.tasks.upscale.run import UpscaleJob

    input, output = without_file(input), without_file(output)
    streamed = way.name == "ray" or is_url(input) or is_url(output)
    if streamed and plan:
        raise UsageError("--plan is for paths and --engine local; leave it out.")

    if output == STREAM and json and not plan:
        raise UsageError("--json and an OUTPUT of - both need stdout; leave one out.")
    job = UpscaleJob(
        recipe,
        input,
        Path(output),
        recursive,
        suffix,
        existing,
        save_recipe,
        command=("srkit", *sys.argv[1:]),
        into_folder=output.endswith(("/", os.sep)),
        data=sys.stdin.buffer.read() if input == STREAM else None,
        sink=console.bytes if output == STREAM else None,
        kernel_map=kernel_map,
        shard=shard,
        prompts=prompts,
        debug_maps=debug_maps,
    )
    if streamed:
        from srkit.tasks.upscale.streamed import run_streamed

        return _report(run_streamed(job, output, way, console), json, console)
    return _plan(job, json, console) if plan else _run(job, json, console)


def _run(job: UpscaleJob, json: bool, console: Console) -> int:
    from srkit.tasks.upscale.run import run

    return _report(run(job, console), json, console)


def _report(records: Iterator[FileRecord], json: bool, console: Console) -> int:

    def done(record: FileRecord) -> None:
        if record.status == "done":
            if record.diagnosis is not None:
                console.info(f"{record.input}: {record.diagnosis.words}")
            console.info(f"{record.output}: {record.width} x {record.height}, {record.seconds:.2f} s")

    return report(records, done, json, console)


def _plan(job: UpscaleJob, json: bool, console: Console) -> int:
    from srkit.io.names import printable
    from srkit.tasks.upscale.plan import plan_upscale

    plan = plan_upscale(job, console)
    if json:
        console.json(asdict(plan))
        return Exit.DONE
    prompted = any(p.prompt for p in plan.pictures)
    rows = [
        (
            p.input,
            p.error or p.output,
            f"{p.width} x {p.height}" if p.width else "",
            " + ".join(p.models) + (", resampled" if p.resampled and p.models else ""),
            p.windows,
            *([printable(p.prompt or "")] if prompted else []),
        )
        for p in plan.pictures
    ]
    columns = ("input", "output", "size", "models", "windows", *(["prompt"] if prompted else []))
    console.table(columns, rows, numbers=("size", "windows"))
    for p in plan.pictures:
        if p.diagnosis is not None:
            console.line(f"{p.input}: {p.diagnosis.words}")
    for label, value in plan.summary():
        console.line(f"{label}: {value}")
    return Exit.DONE

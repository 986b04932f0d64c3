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
from srkit_cli import completion, options
from srkit_cli.console import Console
from srkit_cli.groups import ENGINE, MODEL, OUTPUT, REPORT, SIZE, option
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
    scale: Annotated[float | None, option("Factor, above 1 and up to 16.", SIZE, "--scale", "-s")] = None,
    width: Annotated[int | None, option("Exact width of the result.", SIZE, metavar="N")] = None,
    height: Annotated[int | None, option("Exact height of the result.", SIZE, metavar="N")] = None,
    max_size: Annotated[int | None, option("Exact longest side of the result.", SIZE, metavar="N")] = None,
    model: Annotated[
        str,
        option(
            "auto looks at each image: clean ones go to the default networks, damaged ones to real. Or a name of "
            "`srkit models`, a family of them (real), or a file.",
            MODEL,
            "--model",
            "-m",
            "-n",
            autocompletion=completion.sr_models,
        ),
    ] = "auto",
    tile: options.Tile = "auto",
    overlap: Annotated[str, option("auto, or pixels.", ENGINE)] = "auto",
    tta: Annotated[
        bool, option("Eight-fold self-ensemble: better, eight times slower.", MODEL, "--tta")
    ] = False,
    format: Annotated[
        FormatName, option("auto keeps the input's.", OUTPUT, "--format", "-f")
    ] = FormatName.auto,
    quality: Annotated[int | None, option("1 to 100, for JPEG, WebP, AVIF.", OUTPUT, metavar="N")] = None,
    compression: Annotated[int | None, option("0 to 9, for PNG and TIFF.", OUTPUT, metavar="N")] = None,
    recursive: options.Recursive = False,
    shard: options.ShardOf = None,
    suffix: Annotated[str, option("Put behind each name.", OUTPUT, metavar="TEXT")] = "",
    overwrite: options.Overwrite = False,
    skip_existing: options.SkipExisting = False,
    max_pixels: options.MaxPixels = 10**9,
    kernel_map: Annotated[
        Path | None, option("The blur, from estimate-kernel; or a folder of maps.", MODEL, metavar="FILE")
    ] = None,
    depth: Annotated[
        str,
        option(
            "For models that are conditioned on blur, where it is to be estimated: auto, none, a provider's name, "
            "or a folder of depth maps.",
            MODEL,
            metavar="NAME|DIR",
        ),
    ] = UpscaleRecipe.depth,
    strength: Annotated[
        float | None,
        option(
            "0 to 1, for a model that has a pair: from the PSNR-trained network (0) to the perceptually trained "
            "one (1).",
            MODEL,
            metavar="X",
        ),
    ] = None,
    denoise: Annotated[
        float | None,
        option(
            "0 to 1, for a model that has a pair: from the network for light damage (0) to that for strong (1).",
            MODEL,
            metavar="X",
        ),
    ] = None,
    steps: Annotated[
        int | None, option("Of a diffusion model's sampler; else the model's own.", MODEL, metavar="N")
    ] = None,
    samples: Annotated[
        int,
        option(
            "Of a diffusion model, each with a seed of its own: also NAME-2.png, ... and NAME-spread.png, which "
            "is bright where the result is invented (8 levels for one of standard deviation).",
            MODEL,
            metavar="N",
        ),
    ] = UpscaleRecipe.samples,
    prompt: Annotated[
        str,
        option(
            "What the image shows, in words, for a model that takes them (clipsr).", MODEL, metavar="TEXT"
        ),
    ] = "",
    prompts: Annotated[
        Path | None,
        option(
            "The same for each image: a folder of .txt by name, a .tsv or COCO's .json.",
            MODEL,
            metavar="FILE",
        ),
    ] = None,
    debug_maps: Annotated[
        Path | None,
        option(
            "Also write what a network with two heads makes each image of, as DIR/NAME-align.png, -unif.png and "
            "-mask.png: of a chain's first network, at the result's size, with --tta the mean. Four times as slow.",
            OUTPUT,
            metavar="DIR",
        ),
    ] = None,
    plan: Annotated[bool, option("Print what would be done; do nothing.", REPORT, "--plan")] = False,
    save_recipe: Annotated[
        bool, option("A .srkit.json beside each output.", OUTPUT, "--save-recipe")
    ] = False,
    strip: Annotated[bool, option("Write no metadata but the colour profile.", OUTPUT, "--strip")] = False,
    device: options.Devices = "auto",
    dtype: options.Dtype = options.DtypeName.auto,
    threads: options.Threads = None,
    engine: options.Engine = options.EngineName.local,
    workers: options.Workers = None,
    address: options.Address = None,
    seed: options.Seed = 0,
    offline: options.Offline = False,
    weights_dir: options.WeightsDir = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Upscale images with a trained network.

    \b
    srkit upscale photo.jpg photo-4x.png
    srkit upscale in/ out/ --scale 8
    srkit upscale in/ out/ --shard $SLURM_ARRAY_TASK_ID/8
    srkit upscale s3://bucket/in s3://bucket/out --engine ray --address auto
    """
    existing = options.existing_of(overwrite=overwrite, skip_existing=skip_existing)
    if suffix and ("/" in suffix or os.sep in suffix):
        raise UsageError(f"--suffix is '{suffix}'; it must not hold a path separator.")
    recipe = UpscaleRecipe(
        model=model,
        target=Target(scale, width, height, max_size),
        tile=options.tile_of(tile),
        overlap="auto" if overlap == "auto" else options.pixels("--overlap", overlap, "auto"),
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

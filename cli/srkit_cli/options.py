"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from srkit.errors import UsageError
from srkit.recipes.shard import Shard
from srkit_cli.groups import ENGINE, INPUT, MODEL, OUTPUT, REPORT, TRAINING


class DtypeName(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout (JSON Lines for files).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no messages but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
Debug = Annotated[bool, typer.Option("--debug", help="Full traceback on errors.")]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME", rich_help_panel=ENGINE)
]
Devices = Annotated[
    str,
    typer.Option(help="auto, cpu, cuda, cuda:N, cuda:all or mps.", metavar="NAME", rich_help_panel=ENGINE),
]
Dtype = Annotated[
    DtypeName, typer.Option(help="Precision; auto takes the fastest the device has.", rich_help_panel=ENGINE)
]
Tile = Annotated[
    str, typer.Option("--tile", "-t", help="auto, off, or a side in pixels.", rich_help_panel=ENGINE)
]
Threads = Annotated[int | None, typer.Option(help="CPU threads.", metavar="N", rich_help_panel=ENGINE)]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", metavar="N", rich_help_panel=ENGINE)]

MaxPixels = Annotated[
    int, typer.Option(help="Refuse images that declare more.", metavar="N", rich_help_panel=INPUT)
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=OUTPUT)
]
OverwriteFile = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Keep existing outputs.", rich_help_panel=OUTPUT)
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Subfolders too; mirror the tree.", rich_help_panel=INPUT)
]
ShardOf = Annotated[
    Shard | None,
    typer.Option(
        "--shard",
        help="This part of the images, as 2/8: by name, for arrays of jobs.",
        metavar="I/N",
        parser=Shard.parse,
        rich_help_panel=INPUT,
    ),
]


class EngineName(StrEnum):
    local = "local"
    ray = "ray"


Engine = Annotated[
    EngineName,
    typer.Option(help="ray: in many processes, here or on a cluster (extra ray).", rich_help_panel=ENGINE),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Of Ray; else one for each GPU, or for each --threads cores.",
        metavar="N",
        rich_help_panel=ENGINE,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT.", metavar="A", rich_help_panel=ENGINE
    ),
]
WholeScale = Annotated[
    int | None,
    typer.Option("--scale", "-s", help="Whole factor between LR and HR.", rich_help_panel=MODEL),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value (repeatable).", metavar="K=V", rich_help_panel=TRAINING),
]
ReportPage = Annotated[
    Path | None, typer.Option(help="HTML page with images.", metavar="FILE.html", rich_help_panel=REPORT)
]


def _offline(value: bool) -> bool:
    if value:
        from srkit.zoo.connectivity import go_offline

        go_offline()
    return value


Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        callback=_offline,
        rich_help_panel=ENGINE,
        help="Fetch nothing; what is not here is an error (exit 5) that says how to get it. As SRKIT_OFFLINE=1.",
    ),
]


def _weights_dir(value: Path | None) -> Path | None:
    if value is not None:
        from srkit.zoo.cache import look_in

        look_in(value)
    return value


WeightsDir = Annotated[
    Path | None,
    typer.Option(
        "--weights-dir",
        callback=_weights_dir,
        metavar="DIR",
        rich_help_panel=MODEL,
        help="Weights of public encoders by file name (CLIP, VGG, LPIPS); else $SRKIT_WEIGHTS.",
    ),
]


def existing_of(*, overwrite: bool, skip_existing: bool) -> Literal["refuse", "overwrite", "skip"]:
    """What is to be done with outputs that exist. Raises UsageError where both flags are given."""
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other; give one.")
    return "overwrite" if overwrite else "skip" if skip_existing else "refuse"


def check_file(path: Path) -> None:
    """Raises UsageError where no file can be written there."""
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"'{path}' cannot be written: give a file in a folder that exists.")


def tile_of(text: str) -> int | Literal["auto", "off"]:
    """The value of --tile. Raises UsageError where it is none."""
    if text == "auto":
        return "auto"
    if text == "off":
        return "off"
    return pixels("--tile", text, "auto, off")


def pixels(flag: str, text: str, words: str) -> int:
    """A whole number. Raises UsageError, which names the words that the flag takes too, where it is none."""
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{flag} is '{text}'; it must be {words} or a whole number of pixels.") from None

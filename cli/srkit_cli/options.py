"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from srkit.errors import UsageError
from srkit.recipes.shard import Shard
from srkit_cli.groups import ENGINE, INPUT, MODEL, OUTPUT, REPORT, TRAINING, option


class DtypeName(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


Json = Annotated[bool, option("One JSON document on stdout (JSON Lines for files).", None, "--json")]
Quiet = Annotated[bool, option("No progress, no messages but errors.", None, "--quiet", "-q")]
Verbose = Annotated[bool, option("Say more.", None, "--verbose", "-v")]
Debug = Annotated[bool, option("Full traceback on errors.", None, "--debug")]
Device = Annotated[str, option("auto, cpu, cuda, cuda:N or mps.", ENGINE, metavar="NAME")]
Devices = Annotated[str, option("auto, cpu, cuda, cuda:N, cuda:all or mps.", ENGINE, metavar="NAME")]
Dtype = Annotated[DtypeName, option("Precision; auto takes the fastest the device has.", ENGINE)]
Tile = Annotated[str, option("auto, off, or a side in pixels.", ENGINE, "--tile", "-t")]
Threads = Annotated[int | None, option("CPU threads.", ENGINE, metavar="N")]
Seed = Annotated[int, option("Seed of everything random.", ENGINE, metavar="N")]

MaxPixels = Annotated[int, option("Refuse images that declare more.", INPUT, metavar="N")]
Overwrite = Annotated[bool, option("Replace existing outputs.", OUTPUT, "--overwrite")]
OverwriteFile = Annotated[bool, option("Replace an existing file.", None, "--overwrite")]
SkipExisting = Annotated[bool, option("Keep existing outputs.", OUTPUT, "--skip-existing")]
Recursive = Annotated[bool, option("Subfolders too; mirror the tree.", INPUT, "--recursive", "-r")]
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


Engine = Annotated[EngineName, option("ray: in many processes, here or on a cluster (extra ray).", ENGINE)]
Workers = Annotated[
    int | None, option("Of Ray; else one for each GPU, or for each --threads cores.", ENGINE, metavar="N")
]
Address = Annotated[
    str | None, option("Of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT.", ENGINE, metavar="A")
]
WholeScale = Annotated[int | None, option("Whole factor between LR and HR.", MODEL, "--scale", "-s")]
Settings = Annotated[list[str] | None, option("key=value (repeatable).", TRAINING, "--set", metavar="K=V")]
ReportPage = Annotated[Path | None, option("HTML page with images.", REPORT, metavar="FILE.html")]


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
    """Treatment of existing outputs. Raises UsageError if both flags are given."""
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other; give one.")
    return "overwrite" if overwrite else "skip" if skip_existing else "refuse"


def check_file(path: Path) -> None:
    """Raise UsageError if no file can be written at `path`."""
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"'{path}' cannot be written: give a file in a folder that exists.")


def tile_of(text: str) -> int | Literal["auto", "off"]:
    """Value of --tile. Raises UsageError if the text is invalid."""
    if text == "auto":
        return "auto"
    if text == "off":
        return "off"
    return pixels("--tile", text, "auto, off")


def pixels(flag: str, text: str, words: str) -> int:
    """Whole number from a text. Raises UsageError, which also names the accepted words, if it is none."""
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{flag} is '{text}'; it must be {words} or a whole number of pixels.") from None

"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class DtypeName(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout (JSON Lines for files).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no messages but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
Debug = Annotated[bool, typer.Option("--debug", help="Full traceback on errors.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME")]
Dtype = Annotated[DtypeName, typer.Option(help="Precision; auto takes the fastest the device has.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.", metavar="N")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", metavar="N")]

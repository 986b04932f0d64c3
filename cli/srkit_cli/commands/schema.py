"""srkit schema"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srkit.errors import Exit, UsageError, nearest
from srkit_cli import completion
from srkit_cli.console import Console

SCHEMAS = Path(__file__).parents[1] / "schemas"


def known_schemas() -> list[str]:
    """Commands that have a schema."""
    return sorted(path.stem for path in SCHEMAS.glob("*.json"))


def schema(
    command: Annotated[
        str, typer.Argument(help="A command that has --json.", autocompletion=completion.schemas)
    ],
) -> int:
    """Print the JSON Schema of a command's --json output."""
    known = known_schemas()
    if command not in known:
        raise UsageError(
            f"There is no schema for '{command}'; there is one for {', '.join(known)}.{nearest(command, known)}"
        )
    Console().line((SCHEMAS / f"{command}.json").read_text(encoding="utf-8").rstrip("\n"))
    return Exit.DONE

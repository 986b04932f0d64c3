"""srkit demo-image"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srkit.errors import Exit
from srkit.rendered.table import DOMAINS
from srkit_cli import completion
from srkit_cli.console import Console
from srkit_cli.groups import option
from srkit_cli.options import Debug, Json, OverwriteFile, Quiet, Seed


def demo_image(
    file: Annotated[Path, typer.Argument(help="Where to write it; the extension is the format.")] = Path(
        "demo.png"
    ),
    domain: Annotated[
        str,
        option(f"What it shows: {', '.join(DOMAINS)}.", metavar="NAME", autocompletion=completion.domains),
    ] = "street",
    width: Annotated[int, option("In pixels.", metavar="N")] = 480,
    height: Annotated[int, option("In pixels.", metavar="N")] = 320,
    overwrite: OverwriteFile = False,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Render a test image to start with: a street at dusk, or another domain."""
    from srkit.tasks.demo_image import DemoRecipe, run

    path = run(DemoRecipe(file, width, height, seed, overwrite, domain))
    console = Console(quiet=quiet)
    if json:
        console.json({"output": str(path), "width": width, "height": height})
    else:
        console.line(str(path))
    return Exit.DONE

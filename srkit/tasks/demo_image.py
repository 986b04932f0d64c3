"""Render a test image to start with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srkit.errors import UsageError
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.rendered import render
from srkit.tasks.places import asked_format


@dataclass(frozen=True)
class DemoRecipe:
    output: Path = Path("demo.png")
    width: int = 480
    height: int = 320
    seed: int = 0
    overwrite: bool = False
    domain: str = "street"


def run(recipe: DemoRecipe) -> Path:
    """Render the image, write it, and return its path.

    Raises:
        UsageError: the file exists and `overwrite` is not given, or a domain, size, seed or extension is
            invalid.
        SrkitError: the file cannot be written.
    """
    if recipe.output.exists() and not recipe.overwrite:
        raise UsageError(f"'{recipe.output}' exists already; use `overwrite` or another name.")
    if recipe.seed < 0:
        raise UsageError(f"`seed` is {recipe.seed}; it must be 0 or more.")
    format = asked_format(recipe.output)
    pixels = render(recipe.domain, recipe.width, recipe.height, recipe.seed)
    write_image(DecodedImage(pixels), recipe.output, format=format)
    return recipe.output

"""One picture from bytes to bytes or a file: the road of stdin and stdout."""

from __future__ import annotations

import time
from pathlib import Path

from srkit.errors import PictureError, SrkitError, UsageError
from srkit.io.formats import auto_format
from srkit.io.read import probe, read_picture
from srkit.io.write import encode_picture, write_picture
from srkit.progress import Progress
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.upscale import FileRecord, asked_format
from srkit.tasks.upscaler import Upscaler, Work


def upscale_bytes(
    recipe: UpscaleRecipe, data: bytes, name: str, target: Path | None, *, overwrite: bool, progress: Progress
) -> tuple[FileRecord, bytes | None]:
    """Upscale the picture that `data` holds.

    Args:
        recipe: what to do.
        data: an encoded picture.
        name: what to call it in the record.
        target: the file to write; None: the encoded result is returned.

    Raises:
        UsageError: the target exists and `overwrite` is not given.
        PictureError: the picture cannot be read or written.
    """
    if target is not None and target.exists() and not overwrite:
        raise UsageError(f"The output '{target}' exists already; use --overwrite or another output.")
    if not data:
        raise PictureError(f"The input '{name}' is empty; expected an encoded picture.")
    started = time.monotonic()
    info = probe(data, max_pixels=recipe.max_pixels)
    upscaler = Upscaler(recipe)
    width, height = recipe.target.size(info.width, info.height, upscaler.models.own_scale)
    asked = recipe.format if recipe.format != "auto" else asked_format(target) if target else None
    format = asked or auto_format(
        info.format, width=width, height=height, depth=info.depth, has_alpha=info.has_alpha
    )
    progress.start("upscaling", None)
    picture = read_picture(data, max_pixels=recipe.max_pixels)
    (done,) = upscaler.run([Work(name, picture, width, height)])
    progress.finish()
    if done.error is not None or done.picture is None:
        raise (
            done.error
            if isinstance(done.error, SrkitError)
            else SrkitError(f"The network failed: {done.error}")
        )
    encoded = None
    if target is None:
        encoded, warnings = encode_picture(
            done.picture, format=format, quality=recipe.quality, compression=recipe.compression
        )
    else:
        warnings = write_picture(
            done.picture, target, format=format, quality=recipe.quality, compression=recipe.compression
        )
    record = FileRecord(
        input=name,
        output=str(target) if target else "-",
        status="done",
        width=width,
        height=height,
        scale=max(width / info.width, height / info.height),
        models=done.models,
        tile=done.tile,
        overlap=done.overlap,
        dtype=done.dtype,
        device=str(upscaler.device),
        seconds=round(time.monotonic() - started, 4),
        warnings=(*done.warnings, *warnings),
    )
    return record, encoded

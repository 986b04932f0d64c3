"""libvips, configured once, on first use."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any


@functools.cache
def vips() -> Any:
    """The pyvips module, set up for our use. Untyped, since pyvips makes its operations at run time."""
    # Read by libvips when it starts. What matters comes back as errors; warnings would reach stderr.
    os.environ.setdefault("VIPS_WARNING", "0")
    import pyvips

    # With the operation cache on, a path that was written anew is read as the old file.
    pyvips.cache_set_max(0)
    logging.getLogger("pyvips").setLevel(logging.ERROR)
    return pyvips


def set_codec_threads(n: int) -> None:
    """Let each decode or encode use `n` threads (0: as many as cores), since the CPU is shared with the
    network."""
    vips().concurrency_set(n)


def detail(error: Exception) -> str:
    """What libvips says of an error, in one line without its function's name or a full stop."""
    lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
    if not lines:  # the first line only names the operation
        return "no details given"
    head, colon, rest = lines[-1].partition(": ")
    return (rest if colon and " " not in head else lines[-1]).rstrip(". ")

"""libvips, configured once on first use."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
from typing import Any

from srkit.errors import SrkitError


@functools.cache
def vips() -> Any:
    """Configured pyvips module, untyped since pyvips defines its operations at run time."""
    # Read by libvips at its start. Relevant problems are returned as errors; warnings would go to stderr.
    os.environ.setdefault("VIPS_WARNING", "0")
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise SrkitError(
            f"libvips, which reads and writes images, cannot be loaded ({error}); run `pip install 'pyvips[binary]'`."
        ) from error

    # With the operation cache on, a file that was overwritten would be read as its old version.
    pyvips.cache_set_max(0)
    logging.getLogger("pyvips").setLevel(logging.ERROR)
    _settle_messages(pyvips)
    return pyvips


def _settle_messages(pyvips: Any) -> None:
    """Make error texts decode safely, as damaged files put invalid UTF-8 into them, and keep GLib off stderr."""

    def text(value: Any) -> str:
        ffi = pyvips.ffi
        found = b"NULL" if value == ffi.NULL else ffi.string(value)
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "pyvips" and hasattr(module, "_to_string"):
            setattr(module, "_to_string", text)  # noqa: B010 - no attribute of modules in general
    everything = -1
    for domain in (b"GLib", b"GLib-GObject"):
        handler = pyvips.glib_lib.g_log_set_handler(
            domain, everything, pyvips._log_handler_cb, pyvips.ffi.NULL
        )
        atexit.register(pyvips.glib_lib.g_log_remove_handler, domain, handler)


def set_codec_threads(n: int) -> None:
    """Set the threads of each decode or encode (0: one per core), since the CPU is shared with the network."""
    vips().concurrency_set(n)


def detail(error: Exception) -> str:
    """Details of a libvips error in one line, without the function's name and the full stop."""
    lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
    if not lines:  # the first line only names the operation
        return "no details given"
    head, colon, rest = lines[-1].partition(": ")
    return (rest if colon and " " not in head else lines[-1]).rstrip(". ")

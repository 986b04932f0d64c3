"""Where things that were fetched are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """`$SRKIT_CACHE`, else the platform's place for caches (`~/.cache/srkit` on Linux). Not created."""
    if chosen := os.environ.get("SRKIT_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "srkit" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "srkit"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "srkit"

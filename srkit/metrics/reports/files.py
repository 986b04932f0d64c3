"""Writing report files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from srkit.io.atomic import atomic_path


def write_text(path: Path, parts: Iterable[str]) -> None:
    """Write the parts one after the other as UTF-8; the file appears whole or not at all.

    File names with bytes that are no UTF-8 are written with `\\udcXX` in their place.

    Raises:
        SrkitError: the file cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.writelines(parts)

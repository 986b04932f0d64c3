"""Workers that die, and import nothing that takes time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Fragile:
    """A worker that dies of the row `deadly`, and once of `fragile`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, rows: Sequence[Any]) -> list[Any]:
        for row in rows:
            with (self.folder / row).open("a") as file:
                file.write(f"{os.getpid()}\n")
            deaths = len((self.folder / row).read_text().splitlines())
            if row == "deadly" or (row == "fragile" and deaths == 1):
                os.kill(os.getpid(), signal.SIGKILL)
        return [f"done {row}" for row in rows]

    @staticmethod
    def failed(row: Any, reason: str, arguments: tuple[Any, ...]) -> Any:
        return f"failed {row}: {reason}"


class Slow:
    """A worker that takes its time, and says who it is."""

    def __init__(self, folder: Path) -> None:
        (folder / str(os.getpid())).touch()

    def run(self, rows: Sequence[Any]) -> list[Any]:
        time.sleep(0.1 * len(rows))
        return list(rows)

    failed = Fragile.failed

"""Output of the commands: progress and messages on stderr, data on stdout. The only module that uses Rich."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from srkit.errors import SrkitError
from srkit.io.names import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Console:
    """Receives progress (`srkit.progress.Progress`) and prints results.

    Args:
            quiet: suppress progress and messages.
            verbose: show `info` messages as well as warnings.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet, self.verbose = quiet, verbose
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._lock = threading.Lock()

    # -- progress ---------------------------------------------------------------------------------------

    def start(self, label: str, total: float | None) -> None:
        self.finish()
        if self.quiet or not sys.stderr.isatty():
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),  # model and data set names may contain brackets
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        # If stdout is a file or pipe, Rich must not redirect its text to the terminal.
        self._bar = Progress(
            *columns,
            console=RichConsole(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._bar.add_task(printable(label), total=total)
        self._bar.start()

    def advance(self, amount: float = 1.0) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def info(self, message: str) -> None:
        if self.verbose and not self.quiet:
            self._message(message)

    def warn(self, message: str) -> None:
        if not self.quiet:
            self._message(f"warning: {message}")

    def error(self, message: str) -> None:
        """Print an error that does not end the command; shown even when quiet."""
        self._message(f"error: {message}")

    def say(self, message: str) -> None:
        """Print a line on stderr for the user: the outcome of a command, or a download in progress."""
        if not self.quiet:
            self._message(message)

    def next_command(self, *words: str) -> None:
        """Print a suggested next command, quoted for a shell."""
        import shlex

        self.say(f"Next: {shlex.join(words)}")

    def _message(self, message: str) -> None:
        message = with_flags(message)
        with self._lock:
            if self._bar is not None:
                self._bar.console.print(printable(message), markup=False, highlight=False, emoji=False)
            else:
                say_on_stderr(message)

    # -- data -------------------------------------------------------------------------------------------

    def json(self, value: Any) -> None:
        """Print one JSON document on stdout; its errors and warnings name flags."""
        self.line(json.dumps(_flagged(value), ensure_ascii=True, allow_nan=False))
        self.flush()

    def line(self, text: str) -> None:
        """Print plain text on stdout. Characters that it cannot encode become question marks; on a terminal, control
        characters are removed."""
        encoding = sys.stdout.encoding or "utf-8"
        if sys.stdout.isatty():
            text = "\n".join(printable(line) for line in text.split("\n"))
        with _naming_stdout():
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")

    def bytes(self, data: bytes) -> None:
        """Write a whole file to stdout.

        Raises:
            SrkitError: stdout cannot be written, or the program was started without it.
        """
        if "stdout" in _missing:
            raise SrkitError("The program was started without standard output; give a file as OUTPUT.")
        with _naming_stdout():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def flush(self) -> None:
        """Flush stdout, so that a write failure is reported now and not at the end of the program."""
        with _naming_stdout():
            sys.stdout.flush()

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: Sequence[str] = ()
    ) -> None:
        """Print a table on stdout; the columns `numbers` are right-aligned. In a pipe, cells are separated by tabs."""
        cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
        if not sys.stdout.isatty():
            for row in (list(columns), *cells):
                self.line("\t".join(row))
            return
        from rich import box
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in columns:
            table.add_column(name, justify="right" if name in numbers else "left")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        RichConsole().print(table)


_SETTING = re.compile(r"(?<!\w)'.*?'(?!\w)|`([a-z][a-z0-9]*(?:_[a-z0-9]+)*)`")
"""Quoted text, such as the user's names and words, or a word in backticks."""
_missing: set[str] = set()
"""Names of the standard streams that were closed at the program's start."""


def fill_streams() -> None:
    """Redirect closed standard streams (as under a service, cron or pythonw) to the null device.

    Their file descriptors are occupied as well; otherwise the next opened files would get them, and a library's
    messages on stderr would end up in an output file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115, PTH123 - to the end
            _missing.add(name)


def settle_streams() -> None:
    """Keep the interpreter from failing at its exit if stdout or stderr is a closed pipe or on a full disk."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say_on_stderr(message: str) -> None:
    """Print a line on stderr, in characters that it can encode; write errors are ignored."""
    with contextlib.suppress(OSError):
        sys.stderr.write(printable(with_flags(message)) + "\n")


def with_flags(message: str) -> str:
    """Replace the library's names of settings by flags: `max_pixels`, in backticks, becomes --max-pixels.

    Words that are no flag of a command (another library's names) and texts in single quotes are unchanged.
    """

    def flag(found: re.Match[str]) -> str:
        from srkit_cli.app import known_flags

        name = "--" + (found[1] or "").replace("_", "-")
        return name if name in known_flags() else found[0]

    return _SETTING.sub(flag, message)


def _flagged(value: Any) -> Any:
    """JSON document with flags in the errors and warnings of its objects."""
    if isinstance(value, list | tuple):
        return [_flagged(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: _texts(one) if key in ("error", "warnings") else _flagged(one) for key, one in value.items()}


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return with_flags(value)
    return [with_flags(one) for one in value] if isinstance(value, list | tuple) else value


@contextlib.contextmanager
def _naming_stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has closed the pipe, which is no error
    except OSError as error:
        raise SrkitError(
            f"Standard output cannot be written ({error.strerror}); send it elsewhere."
        ) from error

"""What the commands show: progress and messages on stderr, data on stdout. The only Rich code."""

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
        quiet: no progress and no messages.
        verbose: `info` messages are shown as well as warnings.
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
            TextColumn("{task.description}", markup=False),  # names of models and data sets may hold brackets
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        # Where stdout is a file or pipe, Rich must not take its text to the terminal.
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
        """A failure that does not end the command; shown even when quiet."""
        self._message(f"error: {message}")

    def say(self, message: str) -> None:
        """A line for people, on stderr: how a command ended, or what is being fetched."""
        if not self.quiet:
            self._message(message)

    def next_command(self, *words: str) -> None:
        """What to type next, quoted for a shell."""
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
        """One document on stdout; its errors and warnings name flags."""
        self.line(json.dumps(_flagged(value), ensure_ascii=True, allow_nan=False))
        self.flush()

    def line(self, text: str) -> None:
        """Plain output on stdout; characters that it cannot show become question marks, and a terminal gets none that
        command it."""
        encoding = sys.stdout.encoding or "utf-8"
        if sys.stdout.isatty():
            text = "\n".join(printable(line) for line in text.split("\n"))
        with _naming_stdout():
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")

    def bytes(self, data: bytes) -> None:
        """A whole file on stdout.

        Raises:
            SrkitError: it cannot be written, or the program was started without.
        """
        if "stdout" in _missing:
            raise SrkitError("The program was started without standard output; give a file as OUTPUT.")
        with _naming_stdout():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def flush(self) -> None:
        """Hand over what was printed, so that a failure is seen now and not when the program ends."""
        with _naming_stdout():
            sys.stdout.flush()

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: Sequence[str] = ()
    ) -> None:
        """A table on stdout; `numbers` are the columns to set flush right. Tabs between cells in a pipe."""
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
"""What is quoted, as names and words of the user's are, or a word in backticks."""
_missing: set[str] = set()
"""Names of the streams that the program was started without."""


def fill_streams() -> None:
    """Have the streams that the program was started without (by a service, cron, pythonw) lead nowhere.

    Their numbers are taken as well: else the next files that are opened would get them, and what a library writes to
    stderr would go into an output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115, PTH123 - to the end
            _missing.add(name)


def settle_streams() -> None:
    """Where stdout or stderr is a closed pipe or a full disk, keep the interpreter from failing on it at its exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say_on_stderr(message: str) -> None:
    """A line on stderr, in characters that it can show; that it cannot be written ends no work."""
    with contextlib.suppress(OSError):
        sys.stderr.write(printable(with_flags(message)) + "\n")


def with_flags(message: str) -> str:
    """The library's names of settings as flags: `max_pixels`, with its quotes, as --max-pixels.

    Words that no command has a flag of stay (another library's), and so does what stands in single quotes.
    """

    def flag(found: re.Match[str]) -> str:
        from srkit_cli.app import known_flags

        name = "--" + (found[1] or "").replace("_", "-")
        return name if name in known_flags() else found[0]

    return _SETTING.sub(flag, message)


def _flagged(value: Any) -> Any:
    """A document with flags in the errors and warnings of its objects."""
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
        raise  # whoever read it has gone: nothing to complain of
    except OSError as error:
        raise SrkitError(
            f"Standard output cannot be written ({error.strerror}); send it elsewhere."
        ) from error

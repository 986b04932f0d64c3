"""Records of the processed files, and exit codes, of commands over files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Protocol, TypeVar

from srkit.errors import Exit, SrkitError
from srkit.io.names import shown
from srkit_cli.console import Console

STREAM = "-"
"""Name of stdin as INPUT and of stdout as OUTPUT."""


class Record(Protocol):
    """Interface of a task's record of a processed file; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def input(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def error(self) -> str | None: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


R = TypeVar("R", bound=Record)


def report(found: Iterable[R], done: Callable[[R], None], json: bool, console: Console) -> int:
    """Report each record as it is produced and a summary at the end; return the exit code.

    Args:
        found: records, produced lazily.
        done: prints the command's own part of a record, after errors and warnings.

    Raises:
        SrkitError: the task ended with an error before any file was done.
    """
    count = dict.fromkeys(("done", "skipped", "failed"), 0)  # no list: there may be a million records
    last = None
    try:
        for record in found:
            count[record.status] += 1
            if json:
                console.json(asdict(record))
            if record.error is None or record.error != last:  # one full disk is one message
                _show(record, console)
                done(record)
            last = record.error
    except SrkitError as error:
        # After some files were done, this is a partial failure; before, nothing could be done.
        if not count["done"]:
            raise
        console.error(str(error))
        return Exit.PARTIAL
    return _exit_code(count, console)


def _show(record: Record, console: Console) -> None:
    if record.error is not None:
        name = shown(record.input)
        known = record.input == STREAM or name in record.error
        console.error(record.error if known else f"{name}: {record.error}")
    for warning in record.warnings:
        console.warn(f"{record.input}: {warning}")


def _exit_code(count: Mapping[str, int], console: Console) -> int:
    console.say(", ".join(f"{n} {status}" for status, n in count.items() if n or status == "done"))
    if not count["failed"]:
        return Exit.DONE
    return Exit.PARTIAL if count["done"] or count["skipped"] else Exit.FAILED

"""Logs of a training run: metrics.jsonl, and an event file for TensorBoard."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from srkit.io.names import writing_failed

METRICS, TENSORBOARD = "metrics.jsonl", "tensorboard"
"""Names of the log file and folder in the run's folder."""


class RunLog:
    """Logs of a run; TensorBoard's is omitted if TensorBoard is not installed.

    Raises:
        SrkitError: here and from `write`, if a file cannot be written; existing records stay intact.
    """

    def __init__(self, folder: Path) -> None:
        self._metrics = _Appended(folder / METRICS)
        try:
            self._board: _Board | None = _Board(folder / TENSORBOARD)
        except ImportError:
            self._board = None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line to metrics.jsonl, and scalars for TensorBoard.

        Numbers that are not finite are omitted, since JSON cannot represent them.
        """
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        self._metrics.append((json.dumps({"step": step, **values}) + "\n").encode())
        if self._board is not None:
            self._board.write(step, values)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._metrics.close()
        if self._board is not None:
            self._board.close()


class _Board:
    """Event file for TensorBoard.

    TensorBoard's own writer runs in a thread, where a full disk causes a traceback and a later, unrelated error; so
    records are written here, immediately.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary, self._record_writer = Event, Summary, RecordWriter
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}.{time.monotonic_ns()}"
        self._file = _Appended(folder / name)
        self._add(file_version="brain.Event:2")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append the scalars of a step, by name."""
        scalars = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._add(step=step, summary=self._summary(value=scalars))

    def close(self) -> None:
        self._file.close()

    def _add(self, **content: Any) -> None:
        record = io.BytesIO()
        event = self._event(wall_time=time.time(), **content)
        self._record_writer(record).write(event.SerializeToString())
        self._file.append(record.getvalue())


class _Appended:
    """A file that is only extended by whole records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Links are not followed: their target may not be a log.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            self._file = os.fdopen(os.open(path, flags, 0o666), "ab", buffering=0)

    def append(self, record: bytes) -> None:
        with self._writing():
            size = self._file.seek(0, io.SEEK_END)
            rest = memoryview(record)
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._file.truncate(size)  # a partial line would damage the next
                raise

    def close(self) -> None:
        self._file.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise writing_failed(self._path, error) from error

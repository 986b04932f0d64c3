"""Loop over files, for `srkit upscale` and `srkit estimate-kernel`."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

from srkit.engine.memory import total_memory
from srkit.engine.pipeline import Pipeline
from srkit.errors import SrkitError
from srkit.inference.upscaler import Work
from srkit.io.atomic import remove_stale
from srkit.io.image import ImageInfo
from srkit.io.names import shown
from srkit.progress import Progress
from srkit.tasks.places import NOT_TRIED, Place, is_about_the_place

Status = Literal["done", "skipped", "failed"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileItem(Place):
    """One image of a job: source, target, and facts from its header."""

    info: ImageInfo | None

    @property
    def wanted(self) -> bool:
        """True if it is to be computed, when items are streamed."""
        return True

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that are written for this item."""
        return (self.target,)

    @property
    def megapixels(self) -> float:
        """Unit of progress: input pixels in millions."""
        return self.info.width * self.info.height / 1e6 if self.info is not None else 0.0

    @property
    def bytes(self) -> int:
        """Bytes in memory at once, from reading until everything is written."""
        raise NotImplementedError

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that determine the memory."""
        return (0, 0) if self.info is None else (self.info.width, self.info.height)


I = TypeVar("I", bound=FileItem)  # noqa: E741
R = TypeVar("R", covariant=True)
W = TypeVar("W")


class Computed(Protocol[R]):
    """Result of an item, or the reason why there is none."""

    @property
    def tag(self) -> R: ...

    @property
    def error(self) -> Exception | None: ...


D = TypeVar("D", bound=Computed[FileItem])
Record = TypeVar("Record")


@dataclass(frozen=True)
class Outcome(Generic[D, W]):
    """Outcome of an item."""

    done: D
    written: W | None
    """Return value of `write`."""
    error: str | None
    seconds: float = 0.0


class Batch(ABC, Generic[I, D, W, Record]):
    """Pipeline that reads, computes and writes files at the same time, in bounded memory.

    An image that fails gives a record with the error, and the others are still processed; if the output's disk is full
    or not writable, the remaining images fail without an attempt.
    """

    label: ClassVar[str]
    """Label for progress."""
    failure: ClassVar[str]
    """Subject of error messages: `The image could not be upscaled`."""
    too_large: ClassVar[str]
    """Message for images that do not fit into memory, with `{}` for the size."""

    @abstractmethod
    def read(self, item: I) -> Work[I]:
        """Read an item, in a thread; may raise."""

    @abstractmethod
    def compute(self, works: Iterator[Work[I] | None]) -> Iterator[D]:
        """Compute in the calling thread and in order; a None means that nothing more is ready yet."""

    @abstractmethod
    def write(self, done: D) -> W:
        """Write a result, in a thread; may raise."""

    @abstractmethod
    def record(self, item: I, status: Status, error: str | None, outcome: Outcome[D, W] | None) -> Record:
        """Record of an item; `outcome` is None if nothing was tried."""

    def deliver(self, outcome: Outcome[D, W]) -> None:
        """Hook that is called for each outcome, in order."""

    def run(self, items: Sequence[I], todo: Iterable[I], progress: Progress) -> Iterator[Record]:
        """Records of the items in order, as they are finished; `skipped` for those that are not in `todo`."""
        chosen = {id(item) for item in todo}
        runnable = [item for item in items if id(item) in chosen and item.error is None]
        for folder in {path.parent for item in runnable for path in item.outputs}:
            remove_stale(folder)
        finished = self._outcomes(runnable)
        progress.start(self.label, self.amount(runnable))
        last = time.monotonic()
        try:
            for item in items:
                if id(item) not in chosen:
                    yield self.record(item, "skipped", None, None)
                elif item.error is not None:
                    yield self.record(item, "failed", item.error, None)
                else:
                    outcome = next(finished)
                    now = time.monotonic()
                    outcome, last = replace(outcome, seconds=now - last), now
                    self.deliver(outcome)
                    self.advance(item, progress)
                    yield self.record(item, "failed" if outcome.error else "done", outcome.error, outcome)
        finally:
            finished.close()
            progress.finish()

    def stream(self, items: Iterable[I]) -> Iterator[Record]:
        """Records, in order, of items that are produced lazily in a thread; items that are not `wanted` are
        skipped."""
        passing: deque[I] = deque()

        def noted() -> Iterator[I]:
            for item in items:
                passing.append(item)
                yield item

        last = time.monotonic()
        with contextlib.closing(self._outcomes(noted())) as outcomes:
            for outcome in outcomes:
                item, now = passing.popleft(), time.monotonic()
                outcome, last = replace(outcome, seconds=now - last), now
                if item.error is not None:
                    yield self.record(item, "failed", item.error, None)
                elif not item.wanted:
                    yield self.record(item, "skipped", None, None)
                else:
                    yield self.record(item, "failed" if outcome.error else "done", outcome.error, outcome)

    def amount(self, items: Sequence[I]) -> float:
        """Total amount of progress."""
        return sum(item.megapixels for item in items)

    def advance(self, item: I, progress: Progress) -> None:
        """Advance the progress by a finished item."""
        progress.advance(item.megapixels)

    def _outcomes(self, items: Iterable[I]) -> Generator[Outcome[D, W], None, None]:
        unwritable = threading.Event()  # a full disk, for example, which affects the next image too

        def read(item: I) -> Work[I]:
            try:
                if unwritable.is_set():
                    raise SrkitError(NOT_TRIED)
                if item.error is not None or not item.wanted:
                    raise SrkitError(item.error or "There is nothing to do.")
                return self.read(item)
            except Exception as error:  # one image's failure must not end the others; so below
                return Work(item, None, error=error)

        def write(done: D) -> Outcome[D, W]:
            error = done.error
            if error is None and unwritable.is_set():
                error = SrkitError(NOT_TRIED)
            if error is None:
                try:
                    return Outcome(done, self.write(done), None)
                except Exception as failure:
                    error = failure
                    if is_about_the_place(failure):
                        unwritable.set()
            _log.debug("%s failed", shown(done.tag.source), exc_info=error)
            return Outcome(done, None, self._sentence(done.tag, error))

        limit = min(2 * 2**30, total_memory() // 8)
        return Pipeline(read, self.compute, write, lambda item: item.bytes, limit).run(items)

    def _sentence(self, item: FileItem, error: Exception) -> str:
        if isinstance(error, SrkitError):
            return str(error)
        if isinstance(error, MemoryError):
            return self.too_large.format("{} x {} pixels".format(*item.size))
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return f"{self.failure} ({what}); `debug` shows where, and a report of it helps."

"""Concurrent decoding, computation and encoding in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

J = TypeVar("J")
D = TypeVar("D")
R = TypeVar("R")
E = TypeVar("E")

_AHEAD = 2
_ENCODERS = 2
_POLL = 0.1  # seconds between checks whether the run was stopped


class Budget:
    """Limit on the bytes of all images in flight; an image larger than the limit is processed alone."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, amount: int, stopped: threading.Event) -> bool:
        """Wait for room; return False if the run was stopped meanwhile."""
        with self._changed:
            while self._used and self._used + amount > self.limit:
                if stopped.is_set():
                    return False
                self._changed.wait(_POLL)
            self._used += amount
        return not stopped.is_set()

    def release(self, amount: int) -> None:
        with self._changed:
            self._used -= amount
            self._changed.notify_all()


class Pipeline(Generic[J, D, R, E]):
    """Three overlapping stages: the codecs release the GIL, the network runs in the calling thread.

    Args:
        decode: job to decoded image, in a thread. Must not raise: failures are passed on as values.
        compute: a stream of decoded images to a stream of results in the same order, in the calling thread.
            A None in the stream means that nothing is ready yet: images gathered so far should be processed.
        encode: result to outcome, in threads. Must not raise.
        cost: bytes that a job occupies from decoding until its result is encoded.
        limit: bytes for all jobs in flight.
    """

    def __init__(
        self,
        decode: Callable[[J], D],
        compute: Callable[[Iterator[D | None]], Iterator[R]],
        encode: Callable[[R], E],
        cost: Callable[[J], int],
        limit: int,
    ) -> None:
        self._decode, self._compute, self._encode, self._cost = decode, compute, encode, cost
        self._budget = Budget(limit)
        self._stopped = threading.Event()
        self._ready: queue.Queue[tuple[D] | BaseException | None] = queue.Queue(_AHEAD)

    def run(self, jobs: Iterable[J]) -> Generator[E, None, None]:
        """Yield outcomes in the order of the jobs, which are read one by one in the decoding thread.

        Closing the iterator, or an interrupt, stops after the encoding in progress. A pipeline runs once.
        """
        if self._stopped.is_set():
            raise RuntimeError("this pipeline has run already")  # it would wait for its reader forever
        costs: deque[int] = deque()
        reader = threading.Thread(target=self._read, args=(jobs, costs), daemon=True, name="srkit-decode")
        encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="srkit-encode")
        pending: deque[Future[E]] = deque()
        reader.start()
        try:
            for result in self._compute(self._decoded()):
                pending.append(encoders.submit(self._encode_and_release, result, costs.popleft()))
                del result
                while pending and (pending[0].done() or len(pending) > _ENCODERS):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            self._stopped.set()
            reader.join()
            encoders.shutdown(wait=True, cancel_futures=True)

    def _read(self, jobs: Iterable[J], costs: deque[int]) -> None:
        try:
            for job in jobs:
                cost = self._cost(job)
                if not self._budget.acquire(cost, self._stopped):
                    return
                costs.append(cost)
                self._hand_over((self._decode(job),))
            self._hand_over(None)
        except BaseException as error:  # from `jobs`, or a bug in decode: re-raised in the calling thread
            self._hand_over(error)

    def _hand_over(self, item: tuple[D] | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._ready.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return

    def _decoded(self) -> Iterator[D | None]:
        while True:
            try:
                item = self._ready.get_nowait()
            except queue.Empty:
                yield None
                item = self._ready.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item[0]
            del item

    def _encode_and_release(self, result: R, cost: int) -> E:
        try:
            return self._encode(result)
        finally:
            self._budget.release(cost)

"""Three stages at once: order, overlap, bounded memory, and every way to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from srkit.engine.pipeline import Budget, Pipeline
from tests.helpers import refused

Stream = Iterator[int | None]


def _one_by_one(stream: Stream) -> Iterator[int]:
    return (item for item in stream if item is not None)


def _in_batches(size: int) -> Callable[[Stream], Iterator[int]]:
    """A compute stage that gathers `size` items, as the runner does, and works off what it has at a None."""

    def compute(stream: Stream) -> Iterator[int]:
        group: list[int] = []
        for item in stream:
            if item is not None:
                group.append(item)
            if item is None or len(group) == size:
                yield from group
                group = []
        yield from group

    return compute


def _pipeline(
    decode: Callable[[int], int] = lambda job: job,
    compute: Callable[[Stream], Iterator[int]] = _one_by_one,
    encode: Callable[[int], int] = lambda result: result,
    cost: Callable[[int], int] = lambda job: 1,
    limit: int = 100,
) -> Pipeline[int, int, int, int]:
    return Pipeline(decode, compute, encode, cost, limit)


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_order_is_kept_though_encoders_finish_in_any() -> None:
    def encode(result: int) -> int:
        time.sleep(0.02 if result % 3 == 0 else 0)
        return result * 10

    jobs = list(range(20))
    assert list(_pipeline(encode=encode).run(jobs)) == [job * 10 for job in jobs]


def test_no_jobs() -> None:
    assert list(_pipeline().run([])) == []


def test_stages_overlap() -> None:
    """Each stage waits until the others are at work on other jobs: in sequence, this would never end."""
    meeting = threading.Barrier(3, timeout=20)

    def meet(job: int, at: int) -> int:
        if job == at:
            meeting.wait()
        return job

    def compute(stream: Stream) -> Iterator[int]:
        return (meet(item, 1) for item in _one_by_one(stream))

    done = _pipeline(lambda job: meet(job, 2), compute, lambda result: meet(result, 0)).run(range(5))
    assert list(done) == list(range(5))


def test_decoding_goes_on_while_the_network_runs() -> None:
    decoded = threading.Semaphore(0)

    def decode(job: int) -> int:
        decoded.release()
        return job

    def compute(stream: Stream) -> Iterator[int]:
        for item in _one_by_one(stream):
            if item == 0:  # two wait in the queue, a third is in the hand of the reader
                for _ in range(4):
                    assert decoded.acquire(timeout=20)
            yield item

    assert list(_pipeline(decode, compute).run(range(6))) == list(range(6))


class _Flight:
    """Counts the cost between the start of decoding and the end of encoding."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def change(self, amount: int) -> None:
        with self._lock:
            self.now += amount
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("limit", [1, 5, 7, 12])
@pytest.mark.parametrize("batch", [1, 4])
def test_budget_bounds_what_is_in_flight(limit: int, batch: int) -> None:
    """With a batch larger than the budget too: what is gathered is worked off when nothing more comes."""
    flight = _Flight()

    def decode(job: int) -> int:
        flight.change(job)
        return job

    def encode(result: int) -> int:
        time.sleep(0.001)
        flight.change(-result)
        return result

    jobs = [3, 1, 4, 1, 5, 2, 6, 5, 3, 5]
    done = _pipeline(decode, _in_batches(batch), encode, lambda job: job, limit).run(jobs)
    assert list(done) == jobs
    assert flight.now == 0
    assert flight.most <= max(limit, max(jobs))  # one that is larger than all goes alone


def test_one_larger_than_the_budget_goes_alone() -> None:
    alone = threading.Event()
    flight = _Flight()

    def decode(job: int) -> int:
        flight.change(1)
        if job == 50:
            assert flight.now == 1
            alone.set()
        return job

    def encode(result: int) -> int:
        flight.change(-1)
        return result

    jobs = [1, 1, 50, 1, 1]
    assert list(_pipeline(decode, encode=encode, cost=lambda job: job, limit=10).run(jobs)) == jobs
    assert alone.is_set()


def test_budget_gives_up_when_stopped() -> None:
    budget, stopped = Budget(10), threading.Event()
    assert budget.acquire(8, stopped)
    waiting = threading.Thread(target=lambda: given.append(budget.acquire(8, stopped)))
    given: list[bool] = []
    waiting.start()
    time.sleep(0.05)
    assert given == []
    stopped.set()
    waiting.join(5)
    assert given == [False]


class DefectError(Exception):
    pass


def _fail_at(job: int) -> Callable[[int], int]:
    def stage(value: int) -> int:
        if value == job:
            raise DefectError(f"at {job}")
        return value

    return stage


@pytest.mark.parametrize("stage", ["decode", "encode"])
def test_errors_in_threads_surface(stage: str) -> None:
    fail = _fail_at(3)
    pipeline = _pipeline(decode=fail) if stage == "decode" else _pipeline(encode=fail)
    with refused(DefectError, 3):
        list(pipeline.run(range(1000)))


def test_results_before_an_error_are_handed_out() -> None:
    done = []
    with pytest.raises(DefectError):
        for result in _pipeline(encode=_fail_at(3)).run(range(1000)):
            done.append(result)
    assert done == [0, 1, 2]


def test_an_error_of_the_network_surfaces() -> None:
    def compute(stream: Stream) -> Iterator[int]:
        return map(_fail_at(2), _one_by_one(stream))

    with refused(DefectError, 2):
        list(_pipeline(compute=compute).run(range(1000)))


def test_closing_the_iterator_stops_decoding() -> None:
    decoded: list[int] = []

    def decode(job: int) -> int:
        decoded.append(job)
        return job

    outcomes = _pipeline(decode).run(range(100_000))
    assert [next(outcomes), next(outcomes)] == [0, 1]
    outcomes.close()
    count = len(decoded)
    assert count < 100
    time.sleep(0.05)
    assert len(decoded) == count


def test_what_is_being_encoded_is_finished_when_closed() -> None:
    started, written = threading.Event(), []

    def encode(result: int) -> int:
        if result == 0:
            started.wait(20)
        elif result == 1:
            started.set()
            time.sleep(0.1)
        written.append(result)
        return result

    outcomes = _pipeline(encode=encode).run(range(100))
    assert next(outcomes) == 0
    outcomes.close()
    assert 1 in written


@pytest.mark.parametrize("where", ["consumer", "network"])
def test_interrupt_leaves_no_thread_behind(where: str) -> None:
    """(The fixture above looks for threads.)"""
    decoded: list[int] = []

    def decode(job: int) -> int:
        decoded.append(job)
        return job

    def compute(stream: Stream) -> Iterator[int]:
        for item in _one_by_one(stream):
            if where == "network" and item == 2:
                raise KeyboardInterrupt
            yield item

    def consume() -> None:
        for result in _pipeline(decode, compute).run(range(100_000)):
            if where == "consumer" and result == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert len(decoded) < 100


def test_runs_once() -> None:
    pipeline = _pipeline()
    assert list(pipeline.run(range(3))) == [0, 1, 2]
    with refused(RuntimeError):
        next(pipeline.run(range(3)))

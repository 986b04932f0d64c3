"""Interrupts that wait for the end of a step."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from srkit.training.interrupt import whole_step
from tests.helpers import refused


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_waits() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with whole_step():
            _interrupt()
            done.append("the step")
        done.append("what comes after")
    assert done == ["the step"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_nothing_has_changed() -> None:
    with whole_step():
        pass
    with pytest.raises(KeyboardInterrupt):
        _interrupt()


def test_errors_come_through() -> None:
    with refused(ZeroDivisionError), whole_step():
        _ = 1 / 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_a_thread_it_does_nothing() -> None:
    found: list[object] = []

    def work() -> None:
        with whole_step():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_somebody_elses_handler_is_left_alone() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        with whole_step():
            _interrupt()
            assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

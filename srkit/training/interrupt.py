"""Interrupts that wait for the end of a training step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def whole_step() -> Iterator[None]:
    """Hold an interrupt (SIGINT) that comes inside back until the end, where it becomes a KeyboardInterrupt.

    Between the optimiser's update and the count of steps a state is neither before nor after a step, and what is
    saved of it could not be resumed exactly. Outside the main thread, where no interrupts arrive, it does nothing.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or usual is not signal.default_int_handler:
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if held:
        raise KeyboardInterrupt

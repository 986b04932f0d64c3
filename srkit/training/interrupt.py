"""Deferral of interrupts to the end of a training step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def whole_step() -> Iterator[None]:
    """Defer an interrupt (SIGINT) inside the context to its end, where it is raised as KeyboardInterrupt.

    Between the optimiser's update and the increment of the step count, the state is inconsistent and a checkpoint of it
    could not be resumed exactly. Outside the main thread, where no interrupts arrive, this does nothing.
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

"""Threads that work beside the network without taking the processor from it."""

from __future__ import annotations

import threading

import torch

_mine = threading.local()
_changing = threading.Lock()


def compute_alone() -> None:
    """Let the calling thread's tensor operations run in it alone, once and for all; other threads keep their number.

    For the stages beside the network: each would otherwise bring a team of as many threads as there are cores, and on
    a CPU the teams wait for one another at every operation.
    """
    if getattr(_mine, "alone", False):
        return
    with _changing:  # another thread would take the 1 below for the usual number
        usual = torch.get_num_threads()
        torch.set_num_threads(1)
        # This has changed the number for threads to come as well. One of them changes it back.
        restore = threading.Thread(target=torch.set_num_threads, args=(usual,))
        restore.start()
        restore.join()
    _mine.alone = True

"""Threads that compute alone, and leave the number for others as it was, however many start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch

from srkit.ops.layout import compute_alone


def test_many_threads_at_once_leave_the_number_as_it_was() -> None:
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for _ in range(20):
            with ThreadPoolExecutor(4, initializer=compute_alone) as pool:
                assert set(pool.map(lambda _: torch.get_num_threads(), range(16))) == {1}
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(usual)

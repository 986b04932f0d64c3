"""How large tiles may be, and where large results live."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.archs.edsr import EDSR
from srkit.engine import memory
from srkit.engine.memory import SMALLEST_TILE, TILES, allocate, auto_batch, auto_tile, bytes_per_pixel
from tests.engine.networks import CPU, Convolutions


def test_this_machine_has_memory() -> None:
    assert 0 < memory.available_memory() <= memory.total_memory()


def test_bytes_per_pixel_grow_with_the_widest_layer() -> None:
    narrow, wide = (EDSR(2, features, 1, "edsr") for features in (8, 64))
    small, large = (bytes_per_pixel(network, network.info) for network in (narrow, wide))
    # The widest layer of the wide one goes from 64 to 256 channels, in fp32.
    assert large >= 3 * 4 * (64 + 256)
    assert 4 < large / small < 8
    assert not any(module._forward_hooks for module in wide.modules())


def test_bytes_per_pixel_of_a_network_that_needs_a_size() -> None:
    network = Convolutions(1, stride=8, min_size=100)
    assert bytes_per_pixel(network, network.info) > 0


def test_tile_on_a_cpu_depends_on_network_and_total_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = EDSR(2, 16, 1)
    monkeypatch.setattr(memory, "available_memory", lambda: 1)
    found = []
    for total in (2**26, 2**30, 2**34, 2**40):
        monkeypatch.setattr(memory, "total_memory", lambda total=total: total)
        tile = auto_tile(network, network.info, 6, CPU)
        assert tile in TILES
        need = bytes_per_pixel(network, network.info) * (tile + 12) ** 2
        assert need <= total / 16 or tile == SMALLEST_TILE
        found.append(tile)
    assert found == sorted(found)
    assert found[0] < found[-1] == 256


def test_never_below_the_smallest_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "total_memory", lambda: 1000)
    network = EDSR(2, 16, 1)
    assert auto_tile(network, network.info, 6, CPU) == SMALLEST_TILE


def test_batches() -> None:
    assert auto_batch(64, 8, CPU) == 1
    cuda = torch.device("cuda")
    assert auto_batch(1024, 16, cuda) == 1
    assert auto_batch(112, 8, cuda) == 16
    assert auto_batch(1, 0, cuda) == 64


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_large_results_live_in_a_file_without_a_name(
    dtype: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(memory, "total_memory", lambda: 4 * 1000 * np.dtype(dtype).itemsize)
    small = allocate((10, 100), dtype)
    assert not isinstance(small, np.memmap)
    large = allocate((10, 101), dtype)
    assert isinstance(large, np.memmap)
    large[:] = 7
    assert (large.shape, large.dtype, int(large.sum())) == ((10, 101), dtype, 7070)
    assert list(tmp_path.iterdir()) == []

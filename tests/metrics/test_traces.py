"""Traces of noise, compression and blur: a folder that looks clean, and folders that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.presets import ABLATED, preset
from srkit.data.benchmarks import find_dataset, rgb8
from srkit.data.pairs import crop_to_multiple, make_lr
from srkit.degradation.jpeg import jpegs
from srkit.io.read import read_image
from srkit.metrics.traces import block_edges, noise_floor, sharpness, traces_of
from srkit.ops.layout import RGB
from srkit.ops.resize import bicubic


@pytest.fixture(scope="module")
def clean() -> list[RGB]:
    """Shrunk from random fields with the spectrum of photographs, with edges, a sky and nothing else wrong."""
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[-256:256, -256:256]
        size = 1 / np.maximum(np.hypot(x, y), 1)
        phase = np.fft.fft2(rng.normal(size=(512, 512)))
        field = np.fft.ifft2(phase * np.fft.ifftshift(size)).real
        shade = np.tanh(8 * field / field.std()) + 0.5 * field / field.std()
        shade[:160] = np.linspace(1, 2, 160)[:, None]
        hr = np.clip(128 + 40 * shade[:, :, None] * rng.uniform(0.5, 1, 3), 0, 255).round().astype(np.uint8)
        found.append(make_lr(hr, 4))
    return found


def as_batch(image: RGB) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def as_image(batch: torch.Tensor) -> RGB:
    return (batch[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def test_clean_images(clean: list[RGB]) -> None:
    assert traces_of(clean).clean
    assert traces_of([np.repeat(one[:, :, :1], 3, axis=2) for one in clean]).clean


def test_noise(clean: list[RGB]) -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(one + rng.normal(0, 6, one.shape), 0, 255).round().astype(np.uint8) for one in clean]
    found = traces_of(noisy)
    assert not found.clean
    assert found.noise > traces_of(clean).noise + 2


def test_compression_wherever_its_grid_lies(clean: list[RGB]) -> None:
    for shift in (0, 3):
        compressed = [as_image(jpegs([as_batch(one)], [50])[0])[shift:, shift:] for one in clean]
        found = traces_of(compressed)
        assert not found.clean
        assert found.blocks > 1.2


def test_blur(clean: list[RGB]) -> None:
    blurred = [
        as_image(bicubic(bicubic(as_batch(one), (32, 32)), (one.shape[0], one.shape[1]))) for one in clean
    ]
    found = traces_of(blurred)
    assert not found.clean
    assert found.sharpness < 0.6


def test_most_must_be_clean(clean: list[RGB]) -> None:
    compressed = [as_image(jpegs([as_batch(one)], [40])[0]) for one in clean]
    assert traces_of([*clean * 5, compressed[0]]).clean
    both = traces_of([*clean, *compressed])
    assert not both.clean
    assert both.mixed
    assert both.compressed == pytest.approx(0.5)
    assert not traces_of(clean).mixed
    assert not traces_of(compressed).mixed


def test_measures_of_known_images() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((256, 256, 3), 128.0)
    noisy = (flat + rng.normal(0, 5, flat.shape)).round().astype(np.uint8)
    assert noise_floor(noisy) == pytest.approx(5 * 0.87, rel=0.1)  # of 64 values, the twentieth lowest
    assert noise_floor(flat.astype(np.uint8)) == 0
    assert block_edges(flat[:, :, 0]) == 1
    assert sharpness(flat[:, :, 0]) == 1
    steps = rng.normal(0, 1, (64, 64)) + 40 * np.add.outer(np.arange(64) // 8 % 2, np.arange(64) // 8 % 2)
    assert block_edges(steps) > 2


@pytest.mark.data
def test_benchmarks_are_clean_and_hidden_degradations_are_seen(data_root: Path) -> None:
    for name, every in (("Set5", 1), ("Set14", 1), ("BSD100", 9), ("Urban100", 12)):
        hr = [
            np.ascontiguousarray(crop_to_multiple(rgb8(read_image(item.hr)), 4))
            for item in find_dataset(name, data_root).pairs(4)[::every]
        ]
        assert traces_of([make_lr(one, 4) for one in hr]).clean, name
        for degradation in ABLATED:
            found = traces_of([preset(degradation, one, 4, i) for i, one in enumerate(hr)])
            assert not found.clean, (name, degradation)

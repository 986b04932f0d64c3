"""Reduced precision: what is done again in fp32, and self-ensembles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.conditioning.values import Condition
from srkit.engine.runner import Plane
from srkit.errors import SrkitError
from srkit.ops.geometry import TURNS, turn, turn_back
from tests.engine.networks import Conditioned, Convolutions, Toy, random_pixels, run_one, runner


class SpoiltByBf16(Toy):
    """Sound in fp32; in bf16 it spoils the windows that hold a white pixel."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        sr = x.float()
        if self.one.dtype == torch.bfloat16:
            white = (x == 1).amax((1, 2, 3), keepdim=True)
            wrong = {
                "nan": torch.full_like(sr, torch.nan),
                "one nan": sr.index_fill(3, torch.tensor([0]), torch.nan),
                "inf": torch.full_like(sr, torch.inf),
                "flat": torch.full_like(sr, 0.5) + sr * 1e-3,
            }[self.kind]
            return torch.where(white, wrong, sr)
        return sr


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", ["nan", "one nan", "inf", "flat"])
def test_spoilt_tiles_are_done_again_in_fp32_and_reported(kind: str, batch: int) -> None:
    pixels = random_pixels(48, 64)
    pixels[5, 5] = pixels[40, 60] = 255
    reduced = runner(SpoiltByBf16(kind), dtype=torch.bfloat16, tile=16, overlap=0, batch=batch)
    (done,) = reduced.run([Plane(pixels, None)])
    assert done is not None
    assert np.array_equal(done.pixels, pixels)
    assert done.warnings == ("2 tiles were not finite or flat in bfloat16 and done again in fp32",)
    assert reduced.redone == 2


def test_sound_tiles_are_not_done_again() -> None:
    flat = np.full((40, 40, 3), 77, np.uint8)  # flat because the image is
    faint = flat + (np.arange(40) % 2).astype(np.uint8)[:, None, None]
    for pixels in (flat, faint, random_pixels(40, 40)):
        reduced = runner(Convolutions(1), dtype=torch.bfloat16, tile=16, overlap=2)
        (done,) = reduced.run([Plane(pixels, None)])
        assert done is not None
        assert (done.error, done.warnings, reduced.redone) == (None, (), 0)


class NeverFinite(Toy):
    """Gives a NaN for windows with a white pixel, in any precision."""

    def forward(self, x: Tensor) -> Tensor:
        white = (x == 1).amax((1, 2, 3), keepdim=True)
        return torch.where(white, torch.nan, x * self.one).float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_finite_in_fp32_either_is_an_error(dtype: torch.dtype) -> None:
    planes = [Plane(random_pixels(20, 20, i), i) for i in range(3)]
    planes[1].pixels[3, 4] = 255
    results = list(runner(NeverFinite(), dtype=dtype, batch=3).run(planes))
    for plane, result in zip(planes, results, strict=True):
        assert result is not None
        assert result.tag == plane.tag
        if plane.tag == 1:
            assert isinstance(result.error, SrkitError)
            assert "not finite, in fp32 too" in str(result.error)
        else:
            assert result.error is None
            assert int(np.abs(result.pixels.astype(int) - plane.pixels).max()) <= 1


def test_the_network_is_not_changed() -> None:
    network = Convolutions(1).train().requires_grad_(True)
    before = [p.clone() for p in network.parameters()]
    run_one(network, random_pixels(8, 8), dtype=torch.bfloat16)
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert parameter.requires_grad
        assert torch.equal(parameter, old)


def test_bf16_is_close_to_fp32() -> None:
    pixels = random_pixels(50, 60)
    exact = run_one(Convolutions(2), pixels).astype(int)
    reduced = run_one(Convolutions(2), pixels, dtype=torch.bfloat16).astype(int)
    assert not np.array_equal(reduced, exact)
    assert np.abs(reduced - exact).max() <= 4


def _tensor(pixels: Any) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@torch.inference_mode()
def test_self_ensemble_is_the_mean_over_all_turns() -> None:
    network = Convolutions(2)
    pixels = random_pixels(21, 34)
    x = _tensor(pixels)
    sr = torch.stack([turn_back(network(turn(x, k)), k) for k in range(TURNS)]).mean(0)
    expected = (sr[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy().astype(int)
    overlap = network.info.receptive_field
    for tile in (None, 8):
        result = run_one(network, pixels, tta=True, tile=tile, overlap=overlap).astype(int)
        assert np.abs(result - expected).max() <= 1
        assert (result != expected).mean() < 0.01
    assert (run_one(network, pixels) != expected).mean() > 0.3


@pytest.mark.parametrize("tile", [None, 8])
def test_self_ensemble_turns_spatial_conditions_and_no_others(tile: int | None) -> None:
    """The network is the same for all turns, so the mean is the plain result only if its conditions turn too."""
    pixels = random_pixels(12, 18)
    rng = torch.Generator().manual_seed(0)
    conditions = {
        "map": Condition(torch.rand(1, 3, 12, 18, generator=rng), spatial=True),
        "colour": Condition(torch.rand(1, 3, generator=rng) * 0.2),
    }
    plain = run_one(Conditioned(), pixels, conditions, tile=tile, overlap=2).astype(int)
    turned = run_one(Conditioned(), pixels, conditions, tile=tile, overlap=2, tta=True).astype(int)
    assert np.abs(turned - plain).max() <= 1


class Matrix(Toy):
    """Mixes the colours by a matrix for the whole image, (1, 1, 3, 3): four dimensions, yet not spatial."""

    def __init__(self) -> None:
        super().__init__(conditioning=("matrix",))

    def forward(self, x: Tensor, matrix: Tensor) -> Tensor:
        return torch.einsum("nij,njhw->nihw", matrix[:, 0], x * self.one).float()


def test_a_global_condition_of_four_dimensions_is_not_turned() -> None:
    pixels = random_pixels(9, 14)
    matrix = torch.tensor([[0.1, 0.9, 0.0], [0.0, 0.2, 0.7], [0.5, 0.0, 0.1]]).view(1, 1, 3, 3)
    conditions = {"matrix": Condition(matrix)}
    plain = run_one(Matrix(), pixels, conditions).astype(int)
    assert np.abs(run_one(Matrix(), pixels, conditions, tta=True) - plain).max() <= 1

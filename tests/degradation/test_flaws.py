"""Single flaws: each as it is named, weaker and stronger, the same for the same generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.degradation import flaws
from srkit.degradation.flaws import FLAWS, flawed
from srkit.ops.resize import downscale_uint8, upscale


@pytest.fixture(scope="module")
def pair(rendered: Callable[..., NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
    """HR (12, 3, 64, 64) and LR of x4."""
    cuts = [torch.from_numpy(rendered(64, 64, seed)).permute(2, 0, 1) for seed in range(3)]
    hr = torch.stack(cuts * 4)
    return hr.float() / 255, downscale_uint8(hr, 4).float() / 255


def _detail(x: Tensor) -> float:
    return float((x[..., 1:] - x[..., :-1]).abs().mean())


def test_every_image_has_one(pair: tuple[Tensor, Tensor]) -> None:
    hr, lr = pair
    made = flawed(hr, lr, torch.Generator().manual_seed(0))
    assert made.shape == hr.shape
    assert made.dtype == torch.float32
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
    assert all(float((a - b).abs().mean()) > 1e-3 for a, b in zip(made, hr, strict=True))


def test_the_same_for_the_same_generator(pair: tuple[Tensor, Tensor]) -> None:
    made = [flawed(*pair, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("kind", FLAWS)
def test_each_kind(pair: tuple[Tensor, Tensor], kind: str) -> None:
    hr, lr = pair
    made = [flaws._one(kind, hr[:1], upscale(lr[:1], 4), strength, 1) for strength in (0.0, 0.5, 1.0)]
    errors = [float((x - hr[:1]).square().mean()) for x in made]
    assert 0 < errors[0] < errors[1] < errors[2]
    details = [_detail(x) for x in (hr[:1], *made)]
    if kind == "noise":
        assert details == sorted(details)
        assert errors[2] == pytest.approx((40 / 255) ** 2, rel=0.3)
    elif kind != "jpeg":
        assert details == sorted(details, reverse=True)
    if kind == "enlarged":
        torch.testing.assert_close(made[2], upscale(lr[:1], 4))


def test_all_are_enlarged_where_that_is_the_share(pair: tuple[Tensor, Tensor]) -> None:
    hr, lr = pair
    large = upscale(lr, 4).clamp(0, 1)
    for made, one, blurred in zip(
        flawed(hr, lr, torch.Generator().manual_seed(0), enlarged=1.0), hr, large, strict=True
    ):
        share = float((made - one).norm() / (blurred - one).norm())
        assert 0.14 < share <= 1.001
        torch.testing.assert_close(made, torch.lerp(one, blurred, share), atol=1e-4, rtol=0)


def test_all_kinds_come(pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, float]] = []

    def one(kind: str, hr: Tensor, large: Tensor, strength: float, seed: int) -> Tensor:
        drawn.append((kind, strength))
        return hr

    monkeypatch.setattr(flaws, "_one", one)
    for seed in range(20):
        flawed(*pair, torch.Generator().manual_seed(seed))
    kinds = [kind for kind, _ in drawn]
    assert all(kinds.count(kind) > 30 for kind in FLAWS)
    assert max(FLAWS, key=kinds.count) == "jpeg"
    strengths = sorted(strength for _, strength in drawn)
    assert (strengths[0] < 0.05, strengths[-1] > 0.95) == (True, True)


def test_half_of_the_noise_is_gray(pair: tuple[Tensor, Tensor]) -> None:
    flat = torch.full_like(pair[0][:1], 0.5)
    same = [
        bool((x[:, 0] == x[:, 2]).all()) for x in (flaws._one("noise", flat, flat, 0.5, n) for n in (0, 1))
    ]
    assert same == [True, False]


def test_no_gradient(pair: tuple[Tensor, Tensor]) -> None:
    hr = pair[0].clone().requires_grad_()
    assert not flawed(hr, pair[1], torch.Generator().manual_seed(0)).requires_grad

"""What an image says of its blur: nothing where it is flat, half at a straight edge, less where rounds disagree."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.inference.kernel_confidence import confidence, noise_deviation


def image(luma: Any) -> Tensor:
    """(1, 3, h, w) of a gray image in [0, 1], rounded to 8 bits."""
    levels = torch.as_tensor(np.asarray(luma, np.float32)).mul(255).round().div(255)
    return levels[None, None].expand(1, 3, -1, -1)


def edge(angle: float, height: float = 0.5, side: int = 64) -> np.ndarray[Any, Any]:
    """A soft straight edge through the middle."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return 0.5 + height / 2 * np.tanh((x * math.cos(angle) + y * math.sin(angle)) / 1.2)


def texture() -> Tensor:
    """Waves both ways."""
    y, x = np.mgrid[:64, :64]
    return image(0.5 + 0.2 * np.sin(0.9 * x) * np.sin(1.1 * y))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (40, 30)], ids=str)
@pytest.mark.parametrize("value", [0.0, 0.371, 1.0])
def test_exactly_nothing_is_known_of_constant_images(size: tuple[int, int], value: float) -> None:
    found = confidence(torch.full((1, 3, *size), value))
    assert found.shape == size
    assert not found.any()


def test_it_is_a_share(rendered: Callable[..., Any]) -> None:
    for pixels in (rendered(60, 50), rendered(1, 7), rendered(3, 1), rendered(2, 2)):
        lr = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        found = confidence(lr)
        assert found.shape == pixels.shape[:2]
        assert found.min() >= 0
        assert found.max() <= 1


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 4, math.pi / 2, 2.5])
def test_an_edge_tells_half_whichever_way_it_runs(angle: float) -> None:
    found = confidence(image(edge(angle)))
    assert 0.4 < float(found[32, 32]) < 0.55
    away = found[torch.from_numpy(np.abs(edge(angle) - 0.5) > 0.2499)]
    assert float(away[away < 0.01].numel()) > 0.3 * away.numel()


def test_what_varies_both_ways_tells_more_than_an_edge() -> None:
    corner = np.minimum(edge(0.0), edge(math.pi / 2))
    assert confidence(image(corner))[32, 32] > 0.7
    assert confidence(texture())[16:48, 16:48].min() > 0.85


def test_more_contrast_tells_more() -> None:
    heights = (0.0, 0.02, 0.05, 0.1, 0.3, 0.9)
    confidences = [float(confidence(image(edge(0.3, height)))[32, 32]) for height in heights]
    assert confidences == sorted(confidences)
    assert confidences[0] == 0
    assert confidences[1] < 0.1


@pytest.mark.parametrize("deviation", [1 / 255, 5 / 255, 15 / 255])
def test_noise_tells_nothing(deviation: float) -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0.5, deviation, (128, 128))
    found = confidence(image(noise.clip(0, 1)))
    assert float(found.mean()) < 0.06
    both = edge(0.3, 0.7, 128) + noise - 0.5
    assert float(confidence(image(both.clip(0, 1)))[64, 64]) > 0.35


@pytest.mark.parametrize("deviation", [0.01, 0.05])
def test_noise_is_measured_beside_slopes(deviation: float) -> None:
    random = np.random.default_rng(1)
    y, x = np.mgrid[:200, :200] / 200
    luma = 0.2 + 0.3 * x + 0.2 * y * y + random.normal(0, deviation, (200, 200))
    assert noise_deviation(torch.from_numpy(luma)[None, None]) == pytest.approx(deviation, rel=0.05)
    assert noise_deviation(torch.zeros(1, 1, 2, 200)) == 0


def test_kernels_that_the_last_round_changed_are_believed_less() -> None:
    lr = texture()
    plain = confidence(lr)
    change = torch.linspace(0, 1, 64).expand(64, 64)
    doubted = confidence(lr, change)
    torch.testing.assert_close(confidence(lr, torch.zeros(64, 64)), plain)
    torch.testing.assert_close(confidence(lr, torch.full((64, 64), 0.2)), plain / 2)
    row = (doubted / plain)[32]
    assert (row.diff() < 0).all()

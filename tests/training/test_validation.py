"""Validation: the classical protocol on the middles of pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.data.pairs import make_lr
from srkit.ops.resize import bicubic
from srkit.training.validation import LARGEST_SIDE, psnr_validator

CPU = torch.device("cpu")


class Bicubic(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.sizes: list[tuple[int, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append((x.shape[2], x.shape[3]))
        return bicubic(x, (x.shape[2] * self.scale, x.shape[3] * self.scale))


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    y: NDArray[np.float64] = pixels.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255 + 16
    return y


@pytest.mark.parametrize("scale", [2, 3])
def test_bicubic_scores_as_by_hand(scale: int, rendered: Callable[..., NDArray[np.uint8]]) -> None:
    pictures = [rendered(61, 70), rendered(48, 50, seed=1)]
    scores = []
    for picture in pictures:
        hr = picture[: picture.shape[0] // scale * scale, : picture.shape[1] // scale * scale]
        lr = torch.from_numpy(make_lr(hr, scale)).permute(2, 0, 1)[None].float() / 255
        sr = Bicubic(scale)(lr)[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().byte().numpy()
        inner = (slice(scale, -scale), slice(scale, -scale))
        error = (_luma(sr)[inner] - _luma(hr)[inner]) / 255
        scores.append(-10 * np.log10((error**2).mean()))
    assert psnr_validator(pictures, scale, CPU, None)(Bicubic(scale)) == pytest.approx(
        np.mean(scores), abs=0.01
    )


def test_only_the_middle_of_large_pictures() -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (LARGEST_SIDE + 101, LARGEST_SIDE // 2, 3), dtype=np.uint8)
    network = Bicubic(4)
    psnr_validator([large], 4, CPU, None)(network)
    assert network.sizes == [(LARGEST_SIDE // 4, LARGEST_SIDE // 8)]


def test_a_picture_without_error_does_not_outweigh_the_others(
    rendered: Callable[..., NDArray[np.uint8]],
) -> None:
    black = np.zeros((40, 40, 3), np.uint8)
    other = rendered(40, 40)
    alone = psnr_validator([other], 2, CPU, None)(Bicubic(2))
    assert psnr_validator([black], 2, CPU, None)(Bicubic(2)) == 100
    assert psnr_validator([black, other], 2, CPU, None)(Bicubic(2)) == pytest.approx((100 + alone) / 2)


def test_no_gradients_are_kept(rendered: Callable[..., NDArray[np.uint8]]) -> None:
    class Watching(Bicubic):
        def forward(self, x: Tensor) -> Tensor:
            assert not torch.is_grad_enabled()
            return super().forward(x)

    assert psnr_validator([rendered(32, 32)], 2, CPU, torch.bfloat16)(Watching(2)) > 10

"""Validation: the classical protocol on the middles of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.data.pairs import make_lr
from srkit.ops.geometry import position_grid
from srkit.ops.resize import bicubic
from srkit.training.validation import LARGEST_SIDE, psnr_validator
from tests.helpers import conditioned_on

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
    images = [rendered(61, 70), rendered(48, 50, seed=1)]
    scores = []
    for image in images:
        hr = image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
        lr = torch.from_numpy(make_lr(hr, scale)).permute(2, 0, 1)[None].float() / 255
        sr = Bicubic(scale)(lr)[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().byte().numpy()
        inner = (slice(scale, -scale), slice(scale, -scale))
        error = (_luma(sr)[inner] - _luma(hr)[inner]) / 255
        scores.append(-10 * np.log10((error**2).mean()))
    assert psnr_validator(images, scale, CPU, None)(Bicubic(scale)) == pytest.approx(
        np.mean(scores), abs=0.01
    )


def test_only_the_middle_of_large_images() -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (LARGEST_SIDE + 101, LARGEST_SIDE // 2, 3), dtype=np.uint8)
    network = Bicubic(4)
    psnr_validator([large], 4, CPU, None)(network)
    assert network.sizes == [(LARGEST_SIDE // 4, LARGEST_SIDE // 8)]


def test_an_image_without_error_does_not_outweigh_the_others(
    rendered: Callable[..., NDArray[np.uint8]],
) -> None:
    black = np.zeros((40, 40, 3), np.uint8)
    other = rendered(40, 40)
    alone = psnr_validator([other], 2, CPU, None)(Bicubic(2))
    assert psnr_validator([black], 2, CPU, None)(Bicubic(2)) == 100
    assert psnr_validator([black, other], 2, CPU, None)(Bicubic(2)) == pytest.approx((100 + alone) / 2)


def test_lr_is_made_by_the_given_function(rendered: Callable[..., NDArray[np.uint8]]) -> None:
    """Once for each image, and another way for each."""
    images = [rendered(40, 44), rendered(48, 40, seed=1)]
    made: list[tuple[int, tuple[int, ...]]] = []

    def lower(hr: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        made.append((number, hr.shape))
        return np.full_like(make_lr(hr, 2), 100 * number)

    score = psnr_validator(images, 2, CPU, None, lower=lower)
    errors = [_luma(image)[2:-2, 2:-2] - (16 + 219 * 100 * n / 255) for n, image in enumerate(images)]
    expected = np.mean([-10 * np.log10(((error / 255) ** 2).mean()) for error in errors])
    for _ in range(2):
        assert score(Bicubic(2)) == pytest.approx(expected, abs=0.05)
    assert made == [(0, (40, 44, 3)), (1, (48, 40, 3))]


def test_no_gradients_are_kept(rendered: Callable[..., NDArray[np.uint8]]) -> None:
    class Watching(Bicubic):
        def forward(self, x: Tensor) -> Tensor:
            assert not torch.is_grad_enabled()
            return super().forward(x)

    assert psnr_validator([rendered(32, 32)], 2, CPU, torch.bfloat16)(Watching(2)) > 10


def test_the_middle_is_conditioned_on_the_whole_image_and_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the place says is also painted into the image, so that the two can be compared."""
    height, width, scale = LARGEST_SIDE + 103, LARGEST_SIDE + 38, 4
    lr_height, lr_width = height // scale, width // scale
    grid = (position_grid(lr_height, lr_width)[0] + 1) / 2 * 255
    painted = torch.cat([grid, torch.zeros(1, lr_height, lr_width)]).round().byte().permute(1, 2, 0)
    hr = np.zeros((height, width, 3), np.uint8)
    hr[: lr_height * scale, : lr_width * scale] = np.kron(
        painted.numpy(), np.ones((scale, scale, 1), np.uint8)
    )
    seen: list[tuple[int, ...]] = []

    class Watching(Bicubic):
        def forward(self, x: Tensor, whole: Tensor, position: Tensor) -> Tensor:
            seen.append((*x.shape[2:], *whole[0].tolist()))
            assert position.shape == (1, 2, *x.shape[2:])
            inner = (
                slice(None),
                slice(None),
                slice(2, -2),
                slice(2, -2),
            )  # the border's neighbours are cut off
            shown = x[:, :2] * 2 - 1
            assert float((position - shown)[inner].abs().max()) < 0.01
            return super().forward(x)

    conditioning = conditioned_on(monkeypatch, position=True, whole=lambda lr: torch.tensor([lr.shape[2:]]))
    psnr_validator([hr], scale, CPU, None, conditioning)(Watching(scale))
    assert seen == [(LARGEST_SIDE // scale, LARGEST_SIDE // scale, lr_height, lr_width)]

"""Arguments that degradations refuse, and what the error names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from experiments.degrade import degrade
from experiments.presets import preset
from srkit.degradation.defocus import defocus
from srkit.degradation.kernels import SIZE, bicubic_kernel, centre, gaussian, motion
from srkit.degradation.modes import mode_covariance
from srkit.degradation.pca import decode, encode, kernel_basis
from srkit.degradation.second_order import second_order
from srkit.degradation.spatially_variant import blur, blur_codes, blur_same, blur_window
from srkit.errors import UsageError
from srkit.recipes.degradation import MILD
from tests.helpers import refused

IMAGE = np.zeros((40, 40, 3), np.uint8)
HR, KERNELS = torch.zeros(2, 3, 16, 20), torch.zeros(2, SIZE * SIZE, 4, 5)
RAMP = torch.linspace(0, 1, 11).view(1, 1, 1, 11)


def _degrade(kind: str, image: Any = IMAGE, scale: int = 4, **more: Any) -> Any:
    return degrade(image, kind, scale, **more)


def _second(*shape: int, scale: int = 4) -> Any:
    return second_order(torch.zeros(shape), scale, MILD, torch.Generator())


def _covariance(*numbers: float) -> Tensor:
    return gaussian(torch.tensor(numbers), 4)


REFUSED: list[tuple[Callable[[], Any], tuple[object, ...]]] = [
    (lambda: _degrade("defocused"), ("defocused", "defocus", "motion")),
    (lambda: _degrade("defocus"), ("depth",)),
    (lambda: _degrade("defocus", depth=np.zeros((10, 10), np.float32)), ((10, 10), "40 x 40")),
    (lambda: _degrade("motion", IMAGE[:39]), ((39, 40, 3), 4)),
    (lambda: _degrade("motion", IMAGE[:, :, 0]), ((40, 40), 4)),
    (lambda: _degrade("motion", noise=-1.0), (-1.0,)),
    (lambda: _degrade("motion", scale=5), (5,)),
    (lambda: preset("camra", IMAGE, 4), ("camra", "camera")),
    (lambda: preset("scan", IMAGE[:39], 4), ((39, 40, 3), 4)),
    (lambda: preset("scan", IMAGE[..., 0], 4), ((40, 40), 4)),
    (lambda: preset("scan", IMAGE, 8), (8,)),
    (lambda: _second(2, 3, 30, 32), ((2, 3, 30, 32), 4)),
    (lambda: _second(2, 1, 32, 32), ((2, 1, 32, 32), 4)),
    (lambda: _second(3, 32, 32), ((3, 32, 32), 4)),
    (lambda: _second(0, 3, 32, 32), ((0, 3, 32, 32), 4)),
    (lambda: _second(2, 3, 32, 32, scale=0), (0,)),
    (lambda: mode_covariance("mode11", 8, 8, 4), ("mode11", "mode1")),
    (lambda: defocus(RAMP + 0.1, 0.5, 4), ((1, 1, 1, 11),)),
    (lambda: defocus(RAMP * torch.nan, 0.5, 4), ((1, 1, 1, 11),)),
    (lambda: defocus(RAMP, 0.5, 4, law="square"), ("square", "thin-lens", "linear")),  # type: ignore[arg-type]
    (lambda: _covariance(1.0, 2.0, 1.0), ("covariance",)),
    (lambda: _covariance(-1.0, 0.0, -1.0), ("covariance",)),
    (lambda: centre(8), (8,)),
    (lambda: bicubic_kernel(8), (8,)),
    (lambda: motion(3.0, 0.0, 8), (8,)),
    (lambda: encode(torch.zeros(1, 440, 2, 2), kernel_basis(4)), ((1, 440, 2, 2), (15, 21, 21))),
    (lambda: decode(torch.zeros(1, 14, 2, 2), kernel_basis(4)), ((1, 14, 2, 2), (15, 21, 21))),
    (lambda: kernel_basis(4, 0), (0, 1, 441)),
    (lambda: blur(HR[..., :-1], KERNELS, 4), ((2, 3, 16, 19), (2, 441, 4, 5), "x4")),
    (lambda: blur(HR, KERNELS[:, :-1], 4), ((2, 440, 4, 5), "x4")),
    (lambda: blur(HR, KERNELS, 2), ((2, 441, 4, 5), "x2")),
    (lambda: blur_codes(HR, KERNELS, kernel_basis(4), 4), ((2, 441, 4, 5), 15)),
    (lambda: blur_window(HR, KERNELS, 4, 9), (9, 10)),
    (lambda: blur_same(HR, torch.zeros(3, SIZE, SIZE), 4), ((3, 21, 21), "21 x 21")),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_it_is_refused(number: int) -> None:
    call, named = REFUSED[number]
    with refused(UsageError, *named):
        call()

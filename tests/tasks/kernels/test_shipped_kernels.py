"""The shipped networks for kernels, on images that were blurred by known ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.data.pairs import crop_to_multiple
from srkit.degradation.kernels import covariance_of, gaussian, largest_width
from srkit.degradation.spatially_variant import blur_same
from srkit.inference.kernel_estimator import Estimate, KernelEstimator
from srkit.io.image import DecodedImage
from srkit.recipes.estimate import EstimateRecipe
from srkit.rendered import render


def blurred(hr: NDArray[np.uint8], scale: int, wide: float, narrow: float, angle: float) -> DecodedImage:
    """LR of an image by one Gaussian, whose widths are in HR pixels."""
    kernel = gaussian(covariance_of(wide**2, narrow**2, angle), scale).float()
    x = torch.from_numpy(np.ascontiguousarray(hr)).permute(2, 0, 1)[None].float() / 255
    lr = (blur_same(x, kernel[None], scale)[0].permute(1, 2, 0).clamp(0, 1) * 255).round()
    return DecodedImage(lr.to(torch.uint8).numpy())


@pytest.fixture(scope="module", params=[2, 4])
def estimator(request: pytest.FixtureRequest) -> KernelEstimator:
    return KernelEstimator(EstimateRecipe(scale=request.param, device="cpu"))


def estimated(estimator: KernelEstimator, wide: float, narrow: float, angle: float = 0.0) -> Estimate:
    hr = crop_to_multiple(render("texture", 320, 320, 3), estimator.scale)
    return estimator.estimate(blurred(hr, estimator.scale, wide, narrow, angle))


def test_a_wider_blur_is_told_to_be_wider(estimator: KernelEstimator) -> None:
    half = estimator.scale / 2
    found = [estimated(estimator, width, width) for width in (0.5 * half, 0.9 * half, 1.4 * half)]
    widths = [one.blur.width for one in found]
    assert widths[0] < widths[1] < widths[2]
    assert widths[2] > 1.3 * widths[0]
    assert all(np.isfinite(one.kernels.codes).all() and one.reblur_psnr > 30 for one in found)


def test_the_direction_of_a_blur_is_told(estimator: KernelEstimator) -> None:
    wide = 0.95 * largest_width(estimator.scale) ** 0.5
    ratios = []
    for angle in (0.0, np.pi / 2):
        xx, _, yy = estimated(estimator, wide, 0.25 * wide, angle).kernels.covariance.mean((1, 2))
        ratios.append(xx / yy)
    assert ratios[0] > 1.15 > 1 / 1.15 > ratios[1]

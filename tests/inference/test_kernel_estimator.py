"""The blur of images: the algorithm step by step, tiles, odd images, and what the numbers mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.archs.dkenet import DKENet
from srkit.degradation.kernels import from_map, moments
from srkit.degradation.pca import decode, encode
from srkit.degradation.spatially_variant import blur
from srkit.encoders.depth import normalised
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.inference import kernel_estimator
from srkit.inference.kernel_confidence import confidence
from srkit.inference.kernel_estimator import Estimate, KernelEstimator
from srkit.io.image import DecodedImage
from srkit.recipes.estimate import EstimateRecipe
from srkit.zoo.header import Header
from srkit.zoo.weights import load_weights, save_weights
from tests.helpers import missing, refused

Pixels = NDArray[Any]


class Brightness:
    """A provider that takes what is bright for near, and counts what it is shown."""

    name, version, sees_images = "brightness", "1", True

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        self.seen.append((image.shape[3], image.shape[2]))
        return normalised(image.mean(1, keepdim=True), (0.0, 1.0))


@pytest.fixture
def estimator(dkenet_weights: Path, nbsr_weights: Path) -> Callable[..., KernelEstimator]:
    """An estimator with the tiny networks; by default it knows no depth."""

    def make(depth: Any = None, **settings: Any) -> KernelEstimator:
        usual = {"model": str(dkenet_weights), "restorer": str(nbsr_weights), "depth": "none"}
        recipe = EstimateRecipe(**{**usual, "device": "cpu", "dtype": "fp32", **settings})
        return KernelEstimator(recipe, depth=depth)

    return make


@pytest.fixture
def parts(dkenet_weights: Path, nbsr_weights: Path) -> tuple[Any, Any]:
    """The two networks themselves."""
    return load_weights(dkenet_weights).network, load_weights(nbsr_weights).network


def tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / np.iinfo(pixels.dtype).max).permute(2, 0, 1)[None]


def kernels_of(estimate: Estimate) -> Tensor:
    found = estimate.kernels
    return decode(torch.from_numpy(found.codes)[None], torch.from_numpy(found.basis))


def equal(a: Any, b: Any, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=tolerance, rtol=1e-4)


# -- the algorithm --------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_without_rounds_it_is_the_network_alone(
    estimator: Callable[..., Any], parts: tuple[Any, Any], rendered: Callable[..., Pixels]
) -> None:
    pixels = rendered(22, 31)
    found = estimator(refine=0).estimate(DecodedImage(pixels))
    kernels = parts[0](tensor(pixels), torch.zeros(1, 1, 22, 31))
    equal(found.kernels.codes, encode(kernels, parts[1].basis)[0])
    equal(found.kernels.covariance, moments(from_map(kernels))[1][0].permute(2, 0, 1), 1e-3)
    assert found.kernels.covariance.std() > 0.1  # else any network would pass
    assert (len(found.rounds), found.kernels.scale, found.warnings) == (0, 2, ())
    assert not found.kernels.depth.any()


@torch.inference_mode()
@pytest.mark.parametrize("rounds", [1, 2])
def test_rounds_are_those_of_the_paper(
    estimator: Callable[..., Any],
    parts: tuple[Any, Any],
    rendered: Callable[..., Pixels],
    rounds: int,
) -> None:
    """Algorithm 1 written down, with T = rounds + 1, kernels whole and all its steps."""
    estimate, restore = parts
    lr, provider = tensor(rendered(24, 20)), Brightness()

    def depth(image: Tensor) -> Tensor:
        small = torch.nn.functional.interpolate(provider.estimate(image), (24, 20), mode="area")
        return small.clamp(0, 1)

    kernels, looked_at = estimate(lr, depth(lr)), lr
    for _ in range(rounds + 1):
        new_depth = depth(looked_at)
        kernels = 0.9 * estimate(lr, new_depth) + 0.1 * kernels
        restored = restore(lr, encode(kernels, restore.basis))
        looked_at = (restored * 255).round().clamp(0, 255) / 255
    own = Brightness()
    found = estimator(own, refine=rounds).estimate(DecodedImage(rendered(24, 20)))
    equal(found.kernels.codes, encode(kernels, restore.basis)[0], 1e-4)
    equal(found.kernels.depth, new_depth[0, 0], 1e-4)
    assert len(found.rounds) == rounds
    # The first round's depth is the start's, and is not looked for twice.
    assert own.seen == [(20, 24)] + [(40, 48)] * rounds
    alone = estimator(Brightness(), refine=0).estimate(DecodedImage(rendered(24, 20)))
    assert np.abs(alone.kernels.codes - found.kernels.codes).max() > 1e-3


@pytest.mark.parametrize("gamma", [1.0, 0.25])
def test_gamma_weighs_the_new_kernels(
    estimator: Callable[..., Any], rendered: Callable[..., Pixels], gamma: float
) -> None:
    image = DecodedImage(rendered(16, 18))
    first, second, mixed = (
        estimator(Brightness(), refine=rounds, gamma=g).estimate(image).kernels
        for rounds, g in ((0, 0.9), (1, 1.0), (1, gamma))
    )
    equal(mixed.codes, gamma * second.codes + (1 - gamma) * first.codes)


def test_a_depth_that_does_not_see_the_image_needs_no_rounds(
    estimator: Callable[..., Any], rendered: Callable[..., Pixels]
) -> None:
    image = DecodedImage(rendered(16, 18))
    none = estimator(refine=2).estimate(image)
    assert none.rounds == ()
    np.testing.assert_array_equal(none.kernels.codes, estimator(refine=0).estimate(image).kernels.codes)


@torch.inference_mode()
def test_reblur_psnr_is_that_of_the_restored_image_blurred_again(
    estimator: Callable[..., Any],
    parts: tuple[Any, Any],
    rendered: Callable[..., Pixels],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = rendered(37, 25)
    found = estimator().estimate(DecodedImage(pixels))
    restored = parts[1](tensor(pixels), torch.from_numpy(found.kernels.codes)[None])
    levels = (restored * 255).round().clamp(0, 255) / 255
    again = blur(levels, kernels_of(found), 2)
    mse = float((again - tensor(pixels)).square().mean())
    assert found.reblur_psnr == pytest.approx(-10 * math.log10(mse), abs=1e-3)
    monkeypatch.setattr(kernel_estimator, "_BAND", 8)  # in bands it is the same
    assert estimator().estimate(DecodedImage(pixels)).reblur_psnr == pytest.approx(
        found.reblur_psnr, abs=1e-3
    )


# -- images of every kind -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(33, 47), (64, 71)], ids=str)
def test_tiles_are_told_of_the_whole(
    estimator: Callable[..., Any], rendered: Callable[..., Pixels], size: tuple[int, int]
) -> None:
    image = DecodedImage(rendered(*size))
    whole = estimator(Brightness(), tile="off").estimate(image)
    for tile in (16, 24, "auto"):
        tiled = estimator(Brightness(), tile=tile).estimate(image)
        equal(tiled.kernels.codes, whole.kernels.codes, 2e-3)
        equal(tiled.kernels.depth, whole.kernels.depth, 0.01)
    # Where no restored image is between, it is the same but for the order of sums.
    plain = [estimator(Brightness(), tile=t, refine=0).estimate(image).kernels for t in ("off", 16)]
    equal(plain[1].codes, plain[0].codes)
    equal(plain[1].covariance, plain[0].covariance, 1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 7), (9, 3)], ids=str)
def test_small_images(
    estimator: Callable[..., Any], rendered: Callable[..., Pixels], size: tuple[int, int]
) -> None:
    found = estimator(Brightness()).estimate(DecodedImage(rendered(*size)))
    assert (found.kernels.height, found.kernels.width) == size
    assert np.isfinite(found.reblur_psnr) or found.reblur_psnr == math.inf
    assert (
        len([w for w in found.warnings if not missing(w, (f"{size[1]} x {size[0]}", "21 x 21", "x2"))]) == 1
    )


@pytest.mark.parametrize("value", [0, 93, 255])
def test_a_constant_image_tells_nothing(estimator: Callable[..., Any], value: int) -> None:
    found = estimator(Brightness()).estimate(DecodedImage(np.full((26, 30, 3), value, np.uint8)))
    assert not found.kernels.confidence.any()
    assert any("flat" in warning for warning in found.warnings)
    assert found.blur.width > 0


def test_gray_16_bit_and_alpha(estimator: Callable[..., Any], rendered: Callable[..., Pixels]) -> None:
    pixels = rendered(24, 26)
    gray = pixels[:, :, 1:2]
    plain = estimator().estimate(DecodedImage(np.repeat(gray, 3, axis=2)))
    kinds = {
        "gray": gray,
        "16 bit": gray.astype(np.uint16) * 257,
        "alpha": np.concatenate([np.repeat(gray, 3, axis=2), pixels[:, :, :1]], axis=2),
        "gray and alpha": np.concatenate([gray, pixels[:, :, :1]], axis=2),
    }
    for name, kind in kinds.items():
        found = estimator().estimate(DecodedImage(kind))
        equal(found.kernels.codes, plain.kernels.codes)
        assert ["alpha" in warning for warning in found.warnings] == [True] * ("alpha" in name)
        # 16 bits are restored in 16 bits.
        assert (found.reblur_psnr == plain.reblur_psnr) == ("16" not in name)
        assert found.reblur_psnr == pytest.approx(plain.reblur_psnr, abs=0.3)


def test_the_image_s_own_warnings_are_kept(
    estimator: Callable[..., Any], rendered: Callable[..., Pixels]
) -> None:
    image = DecodedImage(rendered(24, 24), warnings=("only the first page was read",))
    assert estimator().estimate(image).warnings == ("only the first page was read",)


def test_depth_maps_by_name_and_what_is_said_of_them(
    estimator: Callable[..., Any], rendered: Callable[..., Pixels], tmp_path: Path
) -> None:
    ramp = np.linspace(0, 1, 15 * 13, dtype=np.float32).reshape(15, 13)
    ramp[3, 4] = np.nan
    np.save(tmp_path / "street.npy", ramp)
    ready = estimator()
    guided = KernelEstimator(replace(ready.recipe, depth=str(tmp_path)))
    image = DecodedImage(rendered(30, 26))
    found = guided.estimate(image, "street.jpg")
    assert found.rounds == ()
    assert found.kernels.depth[-1, -1] > 0.9 > 0.1 > found.kernels.depth[0, 0]
    assert len(found.warnings) == 2  # it was resized, and one of its values is no number
    assert np.abs(found.kernels.codes - ready.estimate(image).kernels.codes).max() > 1e-3
    with refused(UsageError, tmp_path, "house"):
        guided.estimate(image, "house.jpg")
    assert guided.estimate(image, "street.jpg").warnings == found.warnings


# -- what the numbers mean ------------------------------------------------------------------------------------


def test_confidence_is_of_gradients_and_of_the_last_round(
    estimator: Callable[..., Any], rendered: Callable[..., Pixels]
) -> None:
    pixels = rendered(32, 32)
    alone = estimator(Brightness(), refine=0).estimate(DecodedImage(pixels)).kernels
    equal(alone.confidence, confidence(tensor(pixels)))
    refined = estimator(Brightness(), refine=1, gamma=1.0).estimate(DecodedImage(pixels)).kernels
    change = np.linalg.norm(refined.codes - alone.codes, axis=0) / np.linalg.norm(alone.codes, axis=0)
    equal(refined.confidence, confidence(tensor(pixels), torch.from_numpy(change)))
    assert (refined.confidence <= alone.confidence).all()
    assert (refined.confidence < alone.confidence).any()


def test_the_blur_in_numbers(estimator: Callable[..., Any], rendered: Callable[..., Pixels]) -> None:
    found = estimator().estimate(DecodedImage(rendered(28, 28)))
    weight = found.kernels.confidence / found.kernels.confidence.sum()
    xx, xy, yy = (found.kernels.covariance * weight).sum((1, 2))
    large, small = np.linalg.eigvalsh([[xx, xy], [xy, yy]])[::-1]
    blur = found.blur
    assert blur.axes == pytest.approx((math.sqrt(large), math.sqrt(small)), rel=1e-4)
    assert blur.width == pytest.approx(math.sqrt((large + small) / 2), rel=1e-4)
    direction = np.array([math.cos(math.radians(blur.angle)), math.sin(math.radians(blur.angle))])
    assert direction @ np.array([[xx, xy], [xy, yy]]) @ direction == pytest.approx(large, rel=1e-4)
    assert blur.spread > 0


def test_bf16_is_near_fp32(estimator: Callable[..., Any], rendered: Callable[..., Pixels]) -> None:
    coarse, exact = (
        estimator(dtype=dtype).estimate(DecodedImage(rendered(32, 32))).kernels.codes
        for dtype in ("bf16", "fp32")
    )
    assert 0 < np.abs(coarse - exact).mean() < 0.05 * np.abs(exact).mean()


# -- what goes wrong ------------------------------------------------------------------------------------------


def test_memory_that_runs_out_halves_the_tile(
    estimator: Callable[..., Any], rendered: Callable[..., Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = DKENet.codes

    def scarce(self: DKENet, x: Tensor, depth: Tensor | None, basis: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] > 120 * 120:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(self, x, depth, basis)

    image = DecodedImage(rendered(150, 130))
    exact = estimator(refine=0).estimate(image)
    monkeypatch.setattr(DKENet, "codes", scarce)
    found = estimator(refine=0).estimate(image)
    equal(found.kernels.codes, exact.kernels.codes)
    assert [w for w in found.warnings if "memory" in w]
    with refused(SrkitError, 128):
        estimator(refine=0, tile=128).estimate(image)


def _weights(path: Path, source: Path, change: Callable[[Any], None], **header: Any) -> Path:
    model = load_weights(source)
    assert model.header is not None
    change(model.network)
    save_weights(path, model.network, Header(**{**vars(model.header), **header}))
    return path


def test_weights_whose_kernels_are_not_finite(
    estimator: Callable[..., Any],
    dkenet_weights: Path,
    rendered: Callable[..., Pixels],
    tmp_path: Path,
) -> None:
    def spoil(network: Any) -> None:
        network.head.weight.fill_(6e4)
        for parameter in network.parameters():
            parameter.abs_().clamp_(min=100.0)

    path = _weights(tmp_path / "broken.safetensors", dkenet_weights, spoil)
    with refused(SrkitError, "broken"):
        estimator(model=str(path)).estimate(DecodedImage(rendered(16, 16)))


def test_models_of_the_wrong_kind(
    estimator: Callable[..., Any],
    edsr_weights: Path,
    nbsr_weights: Path,
    dkenet_weights: Path,
    tmp_path: Path,
) -> None:
    mistaken = _weights(tmp_path / "m.safetensors", edsr_weights, lambda _network: None, task="kernels")
    empty = _weights(tmp_path / "e.safetensors", nbsr_weights, lambda network: network.basis.zero_())
    cases: list[tuple[type[SrkitError], dict[str, Any], tuple[object, ...]]] = [
        (UsageError, {"restorer": str(edsr_weights)}, ("--restorer", "tiny-x2")),
        (ResourceError, {"model": str(nbsr_weights)}, (nbsr_weights, "sr", "kernels")),
        (ResourceError, {"restorer": str(dkenet_weights)}, (dkenet_weights, "kernels", "sr")),
        (UsageError, {"scale": 4}, ("--model", "kernels-x2", "x2", "x4")),
        (ResourceError, {"model": str(mistaken)}, (mistaken, "edsr", "dkenet")),
        (ResourceError, {"restorer": str(empty)}, (empty,)),
    ]
    for error, settings, named in cases:
        with refused(error, *named):
            estimator(**settings)


def test_names_stand_for_the_shipped_models_of_a_scale(dkenet_weights: Path, nbsr_weights: Path) -> None:
    with refused(ResourceError, "dkenet-x3"):
        KernelEstimator(EstimateRecipe(scale=3, depth="none"))
    own = EstimateRecipe(model=str(dkenet_weights), restorer=str(nbsr_weights), depth="none", device="cpu")
    assert KernelEstimator(own).scale == 2

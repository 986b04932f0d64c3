"""Self-supervised adaptation by pairs: what is matched, what comes of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from srkit.conditioning.makers import UNCONDITIONED
from srkit.data.pairs import CropPlan, make_lr
from srkit.data.unlabelled import UnpairedImage
from srkit.degradation.noise import gaussian_noise
from srkit.degradation.second_order import draw
from srkit.errors import UsageError
from srkit.inference.degrader import load_degrader
from srkit.ops.layout import RGB, as_tensor
from srkit.progress import Silent
from srkit.recipes.degradation import FirstOrderPart, SecondOrderPart, SecondOrderStage
from srkit.recipes.self_supervised import PairsPart
from srkit.tasks.adapt.matching import match
from srkit.tasks.adapt.reconstructed import ReconstructedPairs
from srkit.tasks.adapt.run import AdaptResult
from srkit.zoo.header import read_header
from tests.helpers import Listening, refused
from tests.tasks.adapt.adapting import compressed, write

PAIRS = PairsPart(steps=60, draws=24, kept=3, patch=16, batch=4, rate=2e-3, judge_every=20, warmup_steps=2)
NOISE_ALONE = SecondOrderPart(
    first=FirstOrderPart(blur=0.0, up=0.0, down=0.0, gaussian=1.0, noise=(0.0, 0.0), jpeg=(100, 100)),
    second=SecondOrderStage(
        blur=0.0, up=0.0, down=0.0, gaussian=1.0, gray=0.0, noise=(1.0, 40.0), jpeg=(100, 100)
    ),
    sinc=0.0,
    full_colour=1.0,
    sharpen=False,
)
"""LR that is noisy, each image to another extent."""

BLUR_ALONE = SecondOrderPart(
    first=replace(NOISE_ALONE.first, blur=1.0, kernels={"iso": 1.0}, sinc=0.0, sigma=(0.3, 4.0)),
    second=replace(NOISE_ALONE.second, noise=(0.0, 0.0)),
    sinc=0.0,
    full_colour=1.0,
    sharpen=False,
)


@pytest.fixture
def clean(tmp_path: Path, rendered: Callable[..., RGB]) -> Path:
    """Six clean images."""
    for i in range(6):
        write(tmp_path / "clean" / f"{i}.png", rendered(96, 104, 20 + i))
    return tmp_path / "clean"


@pytest.fixture
def adapt(self_adapt: Callable[..., AdaptResult], clean: Path) -> Callable[..., AdaptResult]:
    def go(domain: Path, *arguments: Any, **changes: Any) -> AdaptResult:
        return self_adapt(domain, *arguments, **({"clean": str(clean), "pairs": PAIRS} | changes))

    return go


def test_it_learns_from_pairs_and_claims_no_more(
    adapt: Callable[..., AdaptResult], phone: Path, edsr_weights: Path
) -> None:
    result = adapt(phone)
    found = result.loop.pairs if result.loop is not None else None
    assert found is not None
    assert (found.drawn, found.kept) == (24, 3)
    assert 0 < found.distance < found.usual
    assert found.gain > 0.1
    assert (result.kept, result.stopped, result.steps) == (True, "steps", 60)
    assert f"{found.gain:+.2f} dB" in result.verdict
    assert "references" in result.verdict
    about = read_header(result.output).adapted
    assert (about["method"], about["pairs"]["gain"]) == ("pairs", found.gain)
    assert (about["recipe"]["method"], about["recipe"]["clean"]) == ("auto", "clean")
    assert result.before.metrics == ("neutral", "far", "reconstruction")


def test_the_reconstructor_degrades(adapt: Callable[..., AdaptResult], phone: Path) -> None:
    part = replace(PAIRS, steps=6, judge_every=6, degrader="reconstructor")
    one, two = (adapt(phone, output=f"{name}.safetensors", pairs=part) for name in ("one", "two"))
    assert one.output.read_bytes() == two.output.read_bytes()
    found = one.loop.pairs if one.loop is not None else None
    assert found is not None
    assert (found.drawn, found.distance, found.usual) == (0, None, None)
    assert found.kept > 0
    assert one.steps == 6


def test_reconstructed_pairs_follow_the_estimates(
    reconstructor_weights: Path, rendered: Callable[..., RGB]
) -> None:
    """LR differs by the image whose degradation is applied, and each batch is a function of its step."""
    degrader = load_degrader(str(reconstructor_weights), 2, torch.device("cpu"), None)
    hr = [rendered(96, 96, i) for i in range(3)]
    plan = CropPlan(2, 16, 4, 0)
    lows = [
        UnpairedImage("sharp", make_lr(hr[0], 2)),
        UnpairedImage("blurred", make_lr(cv2.GaussianBlur(hr[1], (0, 0), 3), 2)),
    ]
    *sources, both = (
        ReconstructedPairs(hr, plan, some, degrader, UNCONDITIONED, Silent())
        for some in (lows[:1], lows[1:], lows)
    )
    one, other = (source.draw(3) for source in sources)
    assert one.lr.shape == (4, 3, 16, 16)
    torch.testing.assert_close(one.hr, other.hr)
    assert not torch.equal(one.lr, other.lr)
    torch.testing.assert_close(one.lr, sources[0].draw(3).lr)
    assert not torch.equal(one.hr, sources[0].draw(4).hr)
    assert sources[0].lr_of(hr[0], 0).shape == (48, 48, 3)
    assert np.array_equal(both.lr_of(hr[0], 0), both.lr_of(hr[0], 0))
    assert len({both.lr_of(hr[0], number).tobytes() for number in range(8)}) > 1


def test_it_repeats_to_the_byte(adapt: Callable[..., AdaptResult], phone: Path) -> None:
    part = replace(PAIRS, steps=6, draws=6, judge_every=6)
    one, two, other = (
        adapt(phone, output=f"{name}.safetensors", seed=seed, pairs=part).output.read_bytes()
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one == two != other


def test_a_conditioned_network_and_a_loss_of_features(
    adapt: Callable[..., AdaptResult], phone: Path, cdasr_weights: Path
) -> None:
    part = replace(PAIRS, steps=4, loss={"l1": 1.0, "perceptual": 0.01})
    result = adapt(phone, model=str(cdasr_weights), pairs=part)
    assert result.steps == 4
    assert read_header(result.output).providers == read_header(cdasr_weights).providers


@pytest.mark.parametrize("deviation", [4.0, 25.0])
def test_the_noise_is_found(
    deviation: float, reconstructor_weights: Path, rendered: Callable[..., RGB]
) -> None:
    """Of settings that are noise alone, those of about the images' are kept."""
    degrader = load_degrader(str(reconstructor_weights), 2, torch.device("cpu"), None)
    hr = [rendered(128, 128, i) for i in range(6)]
    rng = torch.Generator().manual_seed(0)
    lows = []
    for one in hr[:3]:
        x = gaussian_noise(as_tensor(make_lr(one, 2), torch.device("cpu")), deviation, False, rng)
        lows.append((x[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    found = match(hr[3:], lows, degrader, NOISE_ALONE, (60, 5), torch.Generator().manual_seed(1), Silent())
    kept = found.settings.second.noise
    assert len(kept) == 5
    drawn = draw(NOISE_ALONE, 60, torch.Generator().manual_seed(1)).second.noise
    assert set(kept.tolist()) <= set(drawn.tolist())
    assert abs(float(kept.mean()) - deviation) < 4
    assert found.distance < 0.7 * found.usual


@pytest.mark.parametrize("sigma", [0.6, 2.5])
def test_the_blur_is_found(sigma: float, reconstructor_weights: Path, rendered: Callable[..., RGB]) -> None:
    """Of settings that are blur alone, those of about the images' width, in HR pixels, are kept."""
    degrader = load_degrader(str(reconstructor_weights), 2, torch.device("cpu"), None)
    hr = [rendered(128, 128, i) for i in range(6)]
    lows = [make_lr(cv2.GaussianBlur(one, (0, 0), sigma), 2) for one in hr[:3]]
    found = match(hr[3:], lows, degrader, BLUR_ALONE, (60, 5), torch.Generator().manual_seed(1), Silent())
    kernels = found.settings.first.kernel
    offset = torch.arange(kernels.shape[2]) - kernels.shape[2] // 2
    widths = (kernels.sum(1) * offset.square()).sum(1).sqrt()
    assert abs(float(widths.mean()) - sigma) < 0.5
    assert found.distance < 0.7 * found.usual


def test_its_own_images_serve_where_they_can_be_shrunk(
    adapt: Callable[..., AdaptResult], tmp_path: Path, rendered: Callable[..., RGB], phone: Path
) -> None:
    for i in range(4):
        write(tmp_path / "large" / f"{i}.png", compressed(rendered(240, 240, i)))
    result = adapt(tmp_path / "large", clean="", method="pairs", pairs=replace(PAIRS, steps=4))
    assert result.steps == 4
    with refused(UsageError, "phone", "--clean"):
        adapt(phone, clean="", method="pairs", output="other.safetensors")


def test_clean_images_are_left_alone(
    adapt: Callable[..., AdaptResult], tmp_path: Path, rendered: Callable[..., RGB]
) -> None:
    for i in range(5):
        write(tmp_path / f"smooth/{i}.png", make_lr(make_lr(rendered(256, 256, i), 2), 2))
    result = adapt(tmp_path / "smooth")
    assert (result.stopped, result.kept, result.steps) == ("clean", False, 0)


def test_what_makes_no_sense(adapt: Callable[..., AdaptResult], phone: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "few" / "a.png", np.zeros((96, 96, 3), np.uint8))
    cases: list[tuple[dict[str, Any], tuple[object, ...]]] = [
        ({"method": "loops"}, ("method", "loops", "pairs")),
        ({"method": "loop"}, ("--clean", "--method", "pairs")),
        ({"clean": str(tmp_path / "gone")}, ("--clean", tmp_path / "gone")),
        ({"clean": str(tmp_path / "few")}, ("--clean", tmp_path / "few", 2)),
        ({"pairs": replace(PAIRS, degradation="wild")}, ("wild", "wide")),
        ({"pairs": replace(PAIRS, loss={"semantic": 1.0})}, ("pairs.loss", "semantic")),
        ({"pairs": replace(PAIRS, degrader="blur")}, ("pairs.degrader", "matched", "reconstructor")),
        ({"pairs": replace(PAIRS, draws=0)}, ("pairs.draws", 0)),
        ({"pairs": replace(PAIRS, rate=-1.0)}, ("pairs.rate", -1.0)),
    ]
    for changes, named in cases:
        with refused(UsageError, *named):
            adapt(phone, Listening(), **changes)
    assert not (tmp_path / "out.safetensors").exists()

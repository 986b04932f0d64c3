"""What is found in an image, and which networks it goes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.errors import UsageError
from srkit.inference.diagnosis import Diagnosis, Look
from srkit.io.codecs import through_jpeg
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.ops.layout import RGB
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import render


@pytest.fixture(scope="module")
def look() -> Look:
    return Look(UpscaleRecipe(), torch.device("cpu"))


def _noisy(image: RGB, sigma: float) -> RGB:
    noise = np.random.default_rng(5).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("domain", ["screen", "manga", "drawing", "night", "sign"])
def test_rendered_images_are_clean(look: Look, domain: str) -> None:
    found = look(DecodedImage(render(domain, 320, 240, 77)))
    assert (found.verdict, found.chosen) == ("clean", "default")


@pytest.mark.parametrize("domain", ["drawing", "night", "sign"])
def test_rendered_images_are_seen_to_be_damaged(look: Look, domain: str) -> None:
    """On screens and manga, whose own pixels are as rough, damage of this strength is not seen."""
    image = render(domain, 320, 240, 77)
    for damaged in (_noisy(image, 20), through_jpeg(_noisy(image, 6), 40)):
        found = look(DecodedImage(damaged))
        assert (found.verdict, found.chosen) == ("damaged", "real"), found
        assert found.damage is not None and found.damage >= 0.5


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (64, 64)])
def test_what_no_measure_can_judge_goes_to_the_default(look: Look, size: tuple[int, int]) -> None:
    found = look(DecodedImage(np.full((*size, 3), 90, np.uint8)))
    assert (found.verdict, found.damage, found.chosen) == ("undetermined", None, "default")
    assert "no measure can judge" in found.words


def test_it_is_the_same_for_gray_sixteen_bits_and_opaque_alpha(
    look: Look, rendered: Callable[..., RGB]
) -> None:
    gray = np.repeat(_noisy(rendered(100, 140), 12)[..., :1], 3, axis=2)
    expected = look(DecodedImage(gray))
    opaque = np.full_like(gray[..., :1], 255)
    for pixels in (
        gray[..., :1],
        gray.astype(np.uint16) * 257,
        np.concatenate([gray, opaque], axis=2),
        np.concatenate([gray[..., :1], opaque], axis=2),
    ):
        assert look(DecodedImage(pixels)) == expected


def test_hidden_colours_do_not_count(look: Look, rendered: Callable[..., RGB]) -> None:
    image = rendered(128, 128)
    alpha = np.zeros_like(image[..., :1])
    alpha[:, 40:] = 255
    hidden = image.copy()
    hidden[:, :40] = np.random.default_rng(1).integers(0, 256, hidden[:, :40].shape)
    both = [look(DecodedImage(np.concatenate([colour, alpha], axis=2))) for colour in (image, hidden)]
    assert both[0] == both[1]
    unseen = look(DecodedImage(np.concatenate([image, np.zeros_like(alpha)], axis=2)))
    assert unseen.verdict == "undetermined"


@pytest.mark.parametrize("sigma", [6.0, 25.0])
def test_noise_is_measured(look: Look, sigma: float) -> None:
    found = look(DecodedImage(_noisy(np.full((200, 200, 3), 120, np.uint8), sigma)))
    of_luma = sigma * float(np.linalg.norm((0.299, 0.587, 0.114)))
    assert found.noise == pytest.approx(of_luma, rel=0.2)


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_the_quality_of_a_jpeg_is_read(
    look: Look, rendered: Callable[..., RGB], tmp_path: Path, quality: int
) -> None:
    path = tmp_path / "a.jpg"
    write_image(DecodedImage(rendered(96, 96)), path, format="jpg", quality=quality)
    found = look(read_image(path))
    assert found.jpeg_quality == pytest.approx(quality, abs=1)
    assert f"JPEG quality {found.jpeg_quality}" in found.words


def test_each_choice_has_its_networks_and_no_more(look: Look) -> None:
    clean = Diagnosis("clean", 0.1, "default", "")
    damaged = Diagnosis("damaged", 0.9, "real", "")
    assert look.models(clean) is look.default
    assert look.models(damaged).chain(4) == ("real-x4",)
    assert look.models(damaged) is look.models(replace(damaged, damage=0.7))
    turned_full = replace(damaged, dials={"strength": 1.0})
    assert look.models(turned_full) is look.models(damaged)


def test_dials_without_a_pair_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srkit.inference.diagnosis.REPAIRING", "nbsr")  # a family without pairs
    with pytest.raises(UsageError, match="strength"):
        Look(UpscaleRecipe(strength=0.5), torch.device("cpu"))


def test_light_damage_turns_the_dial_of_damage_alone(look: Look) -> None:
    assert look._dials(strong=False) == {"denoise": 0.5}
    assert look._dials(strong=True) == {"denoise": 1.0}
    asked = Look(UpscaleRecipe(strength=0.3), torch.device("cpu"))
    assert asked._dials(strong=False) == {"strength": 0.3}

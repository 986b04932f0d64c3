"""Rendered images of every domain: repeatable, various, of any size, each with the marks of what it claims to be."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import srkit.rendered
from srkit.errors import UsageError
from srkit.ops.resize import bicubic_uint8
from srkit.rendered import DOMAINS, LARGEST, demo_image, draw, render, spec
from srkit.rendered.canvas import reduce_bands

PACKAGE = Path(srkit.rendered.__file__).parent
SIDE = 256
SEEDS = range(3)
STREET = (
    (146.8, 98.8, 106.6, 101.6, 96.7, 102.7),
    (141.0, 127.0, 131.4, 104.5, 98.5, 133.5),
    (114.4, 99.5, 113.6, 101.2, 97.6, 124.0),
    (120.1, 115.8, 109.6, 101.0, 98.2, 98.9),
)


@lru_cache(maxsize=64)
def image(domain: str, seed: int) -> NDArray[np.uint8]:
    return render(domain, SIDE, SIDE, seed)


def gray(domain: str, seed: int) -> NDArray[np.float64]:
    return image(domain, seed).mean(axis=2)


# -- all of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(("width", "height"), [(64, 64), (101, 67), (64, 259)])
def test_any_size_and_the_same_again(domain: str, width: int, height: int) -> None:
    first = render(domain, width, height, seed=5)
    assert first.shape == (height, width, 3)
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    assert first.std() > 5
    assert np.array_equal(first, render(domain, width, height, seed=5))


def test_the_same_in_another_process_with_other_threads() -> None:
    """Nothing hangs on what was drawn before, on the order of a set, or on how many threads there are."""
    program = (
        "import hashlib, torch; torch.set_num_threads(3); from srkit.rendered import DOMAINS, render\n"
        "for name in reversed(DOMAINS): print(name, hashlib.sha256(render(name, 150, 130, 7).tobytes()).hexdigest())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    there = dict(line.split() for line in ran.stdout.splitlines())
    assert there == {
        name: hashlib.sha256(render(name, 150, 130, 7).tobytes()).hexdigest() for name in DOMAINS
    }


@pytest.mark.parametrize("domain", DOMAINS)
def test_seeds_differ(domain: str) -> None:
    a, b, c = (image(domain, seed).astype(int) for seed in SEEDS)
    # A street keeps its houses: only the sky, the leaves, the lights and the sign change.
    least = 2 if domain == "street" else 15
    assert all(np.abs(p - q).mean() > least for p, q in ((a, b), (b, c), (a, c)))


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_part_shows_something(domain: str) -> None:
    """A crop of 128 pixels, 32 of LR at x4, is never empty: training takes its patches anywhere."""
    for seed in SEEDS:
        tones = gray(domain, seed)
        for top in (0, SIDE // 2):
            for left in (0, SIDE // 2):
                assert tones[top : top + SIDE // 2, left : left + SIDE // 2].std() > 8


def test_an_unknown_domain() -> None:
    with pytest.raises(UsageError, match=r"'mango'.*'manga'"):
        render("mango", 64, 64, 0)


@pytest.mark.parametrize(("width", "height"), [(63, 64), (64, LARGEST + 1)])
def test_sizes_out_of_range(width: int, height: int) -> None:
    with pytest.raises(UsageError, match=f"{width} x {height}"):
        render("manga", width, height, 0)


def test_a_negative_seed() -> None:
    with pytest.raises(UsageError, match="-1"):
        render("manga", 64, 64, -1)


def test_every_domain_has_its_file() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py") if "domain = " in path.read_text(encoding="utf-8")}
    assert files == set(DOMAINS)


def test_the_names_cost_nothing() -> None:
    program = "import sys, srkit.rendered.table; print({'numpy', 'torch', 'PIL'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_all_lettering_has_glyphs() -> None:
    """The embedded font draws a crossed box for what it lacks, such as most of Latin-1."""
    for path in PACKAGE.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        words = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        for word in words:
            assert all(" " <= letter <= "~" or letter in "±°\n" for letter in word), (path.name, word)


@pytest.mark.parametrize("height", [40, 64, 200])
def test_reducing_in_bands_equals_reducing_at_once(height: int) -> None:
    fine = np.random.default_rng(0).integers(0, 256, (height * 4, 30 * 4, 3), dtype=np.uint8)
    whole = bicubic_uint8(torch.from_numpy(fine).permute(2, 0, 1)[None], (height, 30), scale=1 / 4)
    assert np.array_equal(
        reduce_bands(30, height, 4, lambda top, bottom: fine[top:bottom]), whole[0].permute(1, 2, 0).numpy()
    )


# -- each of them -----------------------------------------------------------------------------------------


def test_the_street_stays_as_it_was() -> None:
    """Means of blocks of 80 pixels of the demo image when it was first drawn, R, G and B together."""
    first = replace(
        spec("street", 0),
        shop="Harbour Books",
        goods="open 7 - 23   coffee 2.40   prints & maps",
        board="teal",
    )
    means = draw(first, 480, 320).pixels.reshape(4, 80, 6, 80, 3).mean(axis=(1, 3, 4))
    frozen = np.array(STREET)
    assert np.abs(means - frozen).max() < 1


@pytest.mark.parametrize("width", [64, 300])
def test_a_demo_image_shows_edges_as_a_camera_takes_them(width: int) -> None:
    pixels = demo_image(width, 364 - width)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500
    steps = np.abs(np.diff(pixels.astype(int), axis=1)).max(axis=2)
    assert steps.max() > 100  # edges a pixel wide,
    assert np.median(steps) < 12  # and neither flat nor noise


@pytest.mark.parametrize(("domain", "share"), [("manga", 0.65), ("portrait", 0.55)])
def test_comics_are_ink_on_paper(domain: str, share: float) -> None:
    for seed in SEEDS:
        pixels = image(domain, seed).astype(int)
        assert (pixels.max(axis=2) - pixels.min(axis=2)).mean() < 14  # nearly gray
        tones = gray(domain, seed)
        assert ((tones < 60) | (tones > 200)).mean() > share
        assert (tones < 60).mean() > 0.05
        assert np.abs(np.diff(tones, axis=1)).mean() > 10  # lines everywhere


def test_screens_are_flat_with_sharp_letters() -> None:
    for seed in SEEDS:
        steps = np.abs(np.diff(image("screen", seed).astype(int), axis=1)).max(axis=2)
        assert (steps == 0).mean() > 0.6
        assert (steps > 60).mean() > 0.02
        assert _largest_colours("screen", seed, 8) > 0.5


def test_drawings_are_lines_on_plain_ground() -> None:
    for seed in SEEDS:
        assert _largest_colours("drawing", seed, 8) > 0.25
        assert np.abs(np.diff(gray("drawing", seed), axis=1)).mean() > 4


def test_halftone_has_its_energy_at_the_pitch_of_its_screens() -> None:
    for seed in SEEDS:
        power, frequency = _spectrum(gray("halftone", seed))
        screens = (frequency > 1 / 9.5) & (frequency < 1 / 3.5)
        assert power[screens].sum() > 0.45 * power[frequency > 0.01].sum()
        assert power[screens].max() > 1000 * np.median(power[screens])
        steps = np.abs(np.diff(image("halftone", seed).astype(int), axis=1))
        assert steps.mean() > 20


def test_textiles_repeat_their_threads() -> None:
    for seed in SEEDS:
        power, frequency = _spectrum(gray("textile", seed))
        threads = (frequency > 1 / 40) & (frequency < 1 / 2.5)
        assert power[threads].max() > 1500 * np.median(power[threads])
        assert (np.abs(np.diff(image("textile", seed).astype(int), axis=1)).max(axis=2) == 0).mean() < 0.1


def test_textures_have_grain_and_joints() -> None:
    for seed in SEEDS:
        steps = np.abs(np.diff(image("texture", seed).astype(int), axis=1)).max(axis=2)
        assert (steps == 0).mean() < 0.3  # no flat colour
        assert 1 < steps.mean() < 25
        power, frequency = _spectrum(gray("texture", seed))
        stones = (frequency > 1 / 80) & (frequency < 1 / 8)
        assert power[stones].sum() > 0.25 * power[frequency > 0.01].sum()


def test_nights_are_dark_with_bright_spots() -> None:
    for seed in SEEDS:
        tones = gray("night", seed)
        assert np.median(tones) < 65
        assert np.quantile(tones, 0.995) > 200
        assert 0.001 < (tones > 180).mean() < 0.2


def _largest_colours(domain: str, seed: int, count: int) -> float:
    """The share of the image that its most frequent colours cover."""
    _, shares = np.unique(image(domain, seed).reshape(-1, 3), axis=0, return_counts=True)
    return float(np.sort(shares)[-count:].sum() / SIDE**2)


def _spectrum(tones: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The power of every frequency, and the frequencies in cycles a pixel."""
    window = np.hanning(SIDE)
    power = np.abs(np.fft.fft2((tones - tones.mean()) * window[:, None] * window[None, :])) ** 2
    axis = np.fft.fftfreq(SIDE)
    return power, np.hypot(axis[:, None], axis[None, :])

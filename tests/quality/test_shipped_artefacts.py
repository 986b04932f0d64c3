"""What people reject is in no image that the shipped weights make.

The networks for real images are held to all of it. Those for clean images are not made for noise, which they
sharpen with the rest; of them flat images must stay flat. What the engine sees to, whatever the weights are, is asked
of all: exact planes and paper, gray that is gray, clean alpha, the levels of 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.conditioning.makers import Extras, basis_of
from srkit.degradation.kernels import covariance_of, gaussian_map
from srkit.degradation.pca import encode
from srkit.engine.runner import Plane, Runner
from srkit.inference.chain import RESTORING_FAMILIES
from srkit.inference.upscaler import Done, Upscaler, Work
from srkit.io.image import DecodedImage
from srkit.io.kernel_map import KernelMap
from srkit.io.read import read_image
from srkit.recipes.upscale import UpscaleRecipe
from srkit.zoo.manifest import Entry, Manifest
from tests.quality.artefacts import (
    BLOCKS,
    ROUGH,
    Pixels,
    colour_blocks,
    colour_wheel,
    complaints,
    flat_complaints,
    noise_complaints,
    spilled,
    tint,
)

KERNEL_CONDITIONED = ("nbsr", "diffusion")  # architectures whose upscaler must be given kernel maps here
ALL = [entry for entry in Manifest.load().shipped() if entry.task == "sr"]
SHIPPED = [entry for entry in ALL if entry.arch not in KERNEL_CONDITIONED]
RESTORING = [entry for entry in SHIPPED if entry.name.rpartition("-x")[0] in RESTORING_FAMILIES]
COLOURS = [
    (0, 0, 0),
    (40, 40, 40),
    (128, 128, 128),
    (255, 255, 255),
    (200, 30, 30),
    (30, 60, 180),
    (240, 200, 40),
]
CROP = 96

Enlarge = Callable[[Pixels], Pixels]


def _named(entry: Entry) -> str:
    return entry.name


@pytest.fixture
def enlarge(entry: Entry) -> Enlarge:
    """Images through a shipped model, as `srkit upscale` runs it."""
    return _enlarge(entry)


def _enlarge(entry: Entry, dtype: str = "auto") -> Enlarge:
    kernel_conditioned = entry.arch in KERNEL_CONDITIONED
    recipe = UpscaleRecipe(model=entry.name, device="cpu", dtype=dtype)  # type: ignore[arg-type]
    upscaler = Upscaler(recipe, extras=("kernels", "depth") if kernel_conditioned else ())

    def run(lr: Pixels) -> Pixels:
        height, width = lr.shape[:2]
        extras = Extras()
        if kernel_conditioned:
            extras = Extras(_blur(upscaler, height, width), torch.zeros(1, 1, height, width))
        work = Work(None, DecodedImage(lr), width * entry.scale, height * entry.scale, extras=extras)
        done: Done[None]
        (done,) = upscaler.run([work])
        assert done.image is not None, done.error
        return done.image.pixels

    return run


def _blur(upscaler: Upscaler, height: int, width: int) -> KernelMap:
    """A map of Gaussian kernels that grow from the left to the right."""
    scale = upscaler.models.own_scale
    basis = basis_of(upscaler.models.get(scale).network, "")
    wide = torch.linspace(1, 3, width).expand(height, width)
    covariance = covariance_of(wide, wide * 0.7, 0.4).permute(2, 0, 1)[None]
    codes = encode(gaussian_map(covariance, scale), basis.float())[0]
    flat = np.zeros((height, width), np.float32)
    return KernelMap(codes.numpy(), basis.float().numpy(), covariance[0].numpy(), flat, flat, scale)


@pytest.mark.parametrize("entry", SHIPPED, ids=_named)
def test_networks_leave_flat_images_flat_by_themselves(entry: Entry) -> None:
    """Without the correction of flat areas, in whose surroundings this is seen."""
    upscaler = Upscaler(UpscaleRecipe(model=entry.name, device="cpu"))
    runner, conditioning = upscaler.runner(entry.name), upscaler.conditioning(entry.name)
    network = upscaler.models.named(entry.name).network
    bare = Runner(network, runner.info, replace(runner.options, hold_flat=False))

    def run(lr: Pixels) -> Pixels:
        (done,) = bare.run([Plane(lr, None, conditioning(lr))])
        assert done is not None and done.error is None
        return done.pixels

    rough = 0.8 if entry.name in ("real-x4", "real-pixels-x4") else ROUGH  # their cards name this limit
    assert flat_complaints(run, COLOURS if entry.scale <= 4 else COLOURS[1:3], rough) == []


@pytest.mark.parametrize("entry", ALL, ids=_named)
def test_planes_are_exact_to_the_border(entry: Entry, enlarge: Enlarge) -> None:
    sizes = [(24, 20), (1, 1), (3, 17)] if entry.scale <= 4 else [(12, 9), (1, 1)]
    for colour in [*COLOURS, (0, 255, 0)]:
        for height, width in sizes:
            lr = np.full((height, width, 3), colour, np.uint8)
            assert (enlarge(lr) == np.array(colour)).all(), (colour, height, width)


@pytest.mark.parametrize("entry", ALL, ids=_named)
def test_ink_on_paper(entry: Entry, enlarge: Enlarge) -> None:
    """No tint, white paper and black planes; on coloured pages blank paper is white as well."""
    page = np.full((36, 44, 3), 255, np.uint8)
    page[4:30:7, 6:20] = page[6:30, 24] = 40
    page[20:34, 28:] = 0
    sr = enlarge(page)
    assert tint(sr) == 0
    page[4:30:7, 6:20] = (200, 40, 30)
    coloured = enlarge(page)
    assert tint(coloured) > 100
    for enlarged in (sr, coloured):
        assert spilled(enlarged.max(2), page.max(2), 0, radius=2) == 0
        assert spilled(enlarged.min(2), page.min(2), 255, radius=2) == 0


@pytest.mark.parametrize("entry", ALL, ids=_named)
def test_strong_colours_show_no_blocks(entry: Entry, enlarge: Enlarge) -> None:
    """Of the size of LR pixels, as networks that add to nearest-neighbour upscaling leave them in chroma."""
    found = colour_blocks(enlarge(colour_wheel(48 if entry.scale <= 4 else 32)), entry.scale)
    assert found < (2.3 if entry.name == "srvgg-x2" else BLOCKS)  # its card names this limit


@pytest.mark.parametrize("entry", ALL, ids=_named)
def test_alpha_is_clean_around_cut_outs(entry: Entry, enlarge: Enlarge) -> None:
    y, x = np.mgrid[0:32, 0:32]
    alpha = (np.clip(11.5 - np.hypot(x - 15.5, y - 15.5), 0, 1) * 255).round().astype(np.uint8)
    sr = enlarge(np.dstack([np.full((32, 32, 3), (180, 90, 50), np.uint8), alpha]))
    assert spilled(sr[..., 3], alpha, 0, radius=1) == 0 == spilled(sr[..., 3], alpha, 255, radius=1)


@pytest.mark.parametrize("entry", ALL, ids=_named)
def test_sixteen_bits_keep_their_levels_in_bf16(entry: Entry) -> None:
    """A slope of 40 levels of 65535 a pixel, which 8 bits would make steps of 257."""
    slope = (30_000 + np.arange(40) * 40)[None, :, None] + np.zeros((16, 1, 3))
    lr = slope.astype(np.uint16)
    reduced, exact = (_enlarge(entry, dtype)(lr).astype(int) for dtype in ("bf16", "fp32"))
    assert np.abs(reduced - exact).max() < (
        192 if entry.name == "clipsr-x8" else 128
    )  # its card names this limit
    middle = reduced[len(reduced) // 2, :, 1]
    assert len(np.unique(middle)) > 0.8 * len(np.unique(exact[len(exact) // 2, :, 1])) > 30


@pytest.mark.parametrize("entry", RESTORING, ids=_named)
def test_noise_on_flat_images_does_not_grow(enlarge: Enlarge) -> None:
    assert noise_complaints(enlarge, [3, 8]) == []


@pytest.mark.data
@pytest.mark.parametrize("entry", RESTORING, ids=_named)
def test_real_images_keep_their_colour_and_have_no_pattern(enlarge: Enlarge, data_root: Path) -> None:
    images = sorted((data_root / "real" / "RealSRSet").iterdir())
    assert len(images) == 20
    found = {}
    for path in images:
        lr = _middle(path)
        if wrong := complaints(enlarge(lr), lr):
            found[path.name] = wrong
    assert found == {}


def _middle(path: Path) -> Pixels:
    """(CROP, CROP, 3) at most, from the middle of an image."""
    image = read_image(path)
    colour = np.repeat(image.colour, 3, axis=2) if image.is_gray else image.colour
    height, width = colour.shape[:2]
    rows, columns = min(CROP, height), min(CROP, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(colour[top : top + rows, left : left + columns])

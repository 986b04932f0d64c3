"""Images through networks: alpha, gray, 16 bit, any size, the self-ensemble."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.archs.edsr import EDSR
from srkit.inference.upscaler import Done, Upscaler, Work
from srkit.io.image import DecodedImage
from srkit.ops.resize import bicubic
from srkit.recipes.upscale import Target, UpscaleRecipe
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

RED = (200, 20, 30)


def _weights(path: Path, strength: float) -> Path:
    """An EDSR x2 whose trained part, a random one, is weakened; with 0 it is its bicubic skip."""
    arguments: dict[str, Any] = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EDSR(**arguments)
    with torch.no_grad():
        for parameter in network.reconstruction.parameters():
            parameter.mul_(strength)
    save_weights(path, network, Header(arch="edsr", arguments=arguments, scale=2, overlap=4))
    return path


@pytest.fixture(scope="module")
def plain_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EDSR x2 whose trained part adds nothing."""
    return _weights(tmp_path_factory.mktemp("weights") / "plain-x2.safetensors", 0)


@pytest.fixture(scope="module")
def faint_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EDSR x2 whose trained part adds some levels of 255."""
    return _weights(tmp_path_factory.mktemp("weights") / "faint-x2.safetensors", 0.1)


@pytest.fixture
def upscale(edsr_weights: Path) -> Callable[..., NDArray[Any]]:
    """Upscales pixels with the tiny random network, or with `weights`."""

    def run(
        pixels: NDArray[Any], width: int, height: int, *, weights: Path = edsr_weights, **settings: Any
    ) -> NDArray[Any]:
        recipe = UpscaleRecipe(model=str(weights), device="cpu", dtype="fp32", **settings)
        done: Done[str]
        (done,) = Upscaler(recipe).run([Work("a", DecodedImage(pixels), width, height)])
        assert done.error is None
        assert done.image is not None
        assert (done.image.width, done.image.height) == (width, height)
        assert done.image.pixels.dtype == pixels.dtype
        assert done.image.pixels.shape[2] == pixels.shape[2]
        return done.image.pixels

    return run


def noise(*shape: int, depth: int = 8, seed: int = 0) -> NDArray[Any]:
    kind = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**depth, shape).astype(kind)


def disc(side: int = 32, radius: float = 10.0) -> NDArray[Any]:
    """A red disc, antialiased, on transparent black."""
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    alpha = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[alpha > 0, :3] = RED
    pixels[..., 3] = (alpha * 255).round()
    return pixels


@pytest.mark.parametrize("factor", [2, 3, 4, 1.5, 0.5])
def test_a_disc_has_no_fringe(
    upscale: Callable[..., NDArray[Any]], plain_weights: Path, factor: float
) -> None:
    side = int(32 * factor)
    result = upscale(disc(), side, side, weights=plain_weights)
    visible = result[..., 3] > 0
    assert 0.2 < visible.mean() < 0.5
    # Exactly its colour wherever anything is seen; black would show as a dark rim.
    assert (result[visible][:, :3] == RED).all()
    # The control: colour that is upscaled as it lies there is dark at the rim.
    naive = upscale(disc()[..., :3].copy(), side, side, weights=plain_weights)
    assert naive[visible][:, 0].min() < 150


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_alpha_is_exact_where_it_is_constant_around(
    upscale: Callable[..., NDArray[Any]], depth: int, factor: int
) -> None:
    """0 where a pixel and its 8 neighbours are 0, opaque likewise; the random network rings far."""
    pixels = noise(32, 40, 4, depth=depth)
    alpha = (disc(40)[4:36, :, 3]).astype(pixels.dtype) * (1 if depth == 8 else 257)
    pixels[..., 3] = alpha
    found = upscale(pixels, 40 * factor, 32 * factor)[..., 3]
    around = np.lib.stride_tricks.sliding_window_view(np.pad(alpha, 1, mode="edge"), (3, 3))
    for level in (0, 2**depth - 1):
        constant = (around == level).all((2, 3)).repeat(factor, 0).repeat(factor, 1)
        assert 0.1 < constant.mean() < 0.9
        assert (found[constant] == level).all()


def test_alpha_of_a_disc_is_clean(upscale: Callable[..., NDArray[Any]], plain_weights: Path) -> None:
    """Opaque stays opaque and empty stays empty, whatever the network does; here, a random one too."""
    for weights in ({"weights": plain_weights}, {}):
        alpha = upscale(disc(), 64, 64, **weights)[..., 3]
        y, x = np.mgrid[0:64, 0:64] - 31.5
        assert (alpha[np.hypot(x, y) < 12] == 255).all()
        assert (alpha[np.hypot(x, y) > 29] == 0).all()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [2, 4])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_constant_alpha_is_exact(
    upscale: Callable[..., NDArray[Any]], depth: int, bands: int, level: float
) -> None:
    pixels = noise(9, 12, bands, depth=depth)
    pixels[..., -1] = round(level * (2**depth - 1))
    assert (upscale(pixels, 30, 25)[..., -1] == pixels[0, 0, -1]).all()


def test_an_opaque_image_is_the_same_with_and_without_alpha(
    upscale: Callable[..., NDArray[Any]],
) -> None:
    pixels = noise(12, 15, 3)
    opaque = np.concatenate([pixels, np.full((12, 15, 1), 255, np.uint8)], axis=2)
    assert (upscale(opaque, 30, 24)[..., :3] == upscale(pixels, 30, 24)).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_gray_stays_gray(upscale: Callable[..., NDArray[Any]], plain_weights: Path, depth: int) -> None:
    gray = noise(10, 14, 1, depth=depth)
    upscale(gray, 28, 20)
    upscale(np.concatenate([gray, noise(10, 14, 1, depth=depth, seed=1)], axis=2), 28, 20)
    # Where the network treats the channels alike, gray is what its colours would be.
    as_colour = upscale(np.repeat(gray, 3, axis=2), 28, 20, weights=plain_weights)
    assert (upscale(gray, 28, 20, weights=plain_weights)[..., 0] == as_colour[..., 1]).all()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    "settings", [{}, {"tile": 16, "overlap": 4}, {"tta": True}], ids=["whole", "tiles", "tta"]
)
@pytest.mark.parametrize("factor", [2, 3, 4], ids=["one network", "resampled", "two networks"])
def test_gray_content_in_rgb_is_treated_as_gray(
    upscale: Callable[..., NDArray[Any]], depth: int, settings: dict[str, Any], factor: int
) -> None:
    """The random network tints; RGB stays RGB. Alpha, and colours that it hides, make no difference."""
    gray = noise(20, 26, 1, depth=depth)
    size = 26 * factor, 20 * factor
    expected = upscale(gray, *size, **settings)
    rgb = np.repeat(gray, 3, axis=2)
    assert (upscale(rgb, *size, **settings) == expected).all()
    coloured = rgb.copy()
    coloured[3, 4, 0] ^= 1
    assert not (np.ptp(upscale(coloured, *size, **settings), axis=2) == 0).all()
    alpha = noise(20, 26, 1, depth=depth, seed=1) // 2 * 2
    alpha[5:9, 5:9] = 0
    hidden = rgb.copy()
    hidden[5:9, 5:9] = noise(4, 4, 3, depth=depth)
    with_alpha = upscale(np.concatenate([gray, alpha], axis=2), *size, **settings)
    found = upscale(np.concatenate([hidden, alpha], axis=2), *size, **settings)
    assert (found == with_alpha[..., [0, 0, 0, 1]]).all()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (0.2, 1, 0)])
def test_flat_areas_keep_their_colour(
    upscale: Callable[..., NDArray[Any]],
    faint_weights: Path,
    depth: int,
    factor: int,
    colour: tuple[float, ...],
) -> None:
    upscale = functools.partial(upscale, weights=faint_weights)
    top = 2**depth - 1
    plane = np.full((24, 30, 3), np.round(np.array(colour) * top), np.uint8 if depth == 8 else np.uint16)
    width, height = 30 * factor, 24 * factor
    for settings in ({}, {"tile": 16, "overlap": 4}):
        assert (upscale(plane, width, height, **settings) == plane[0, 0]).all()
    plane[:, 20:] = noise(24, 10, 3, depth=depth)
    found = upscale(
        plane, width, height
    )  # exact 8 pixels away from the noise, for each of the two networks of x4
    assert (found[:, : 7 * factor] == plane[0, 0]).all()
    assert not (found[:, 19 * factor : 20 * factor] == plane[0, 0]).all()


def test_sixteen_bits_are_used(upscale: Callable[..., NDArray[Any]], plain_weights: Path) -> None:
    ramp = np.linspace(20_000, 20_600, 40).round().astype(np.uint16)
    pixels = np.repeat(np.tile(ramp, (8, 1))[..., None], 3, axis=2)
    result = upscale(pixels, 80, 16, weights=plain_weights)
    assert len(np.unique(result)) > 70  # 8 bits would leave 3
    assert (np.diff(result[8, :, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize("size", [(30, 24), (45, 36), (31, 55), (60, 48), (7, 6), (240, 192), (15, 12)])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_any_size(upscale: Callable[..., NDArray[Any]], size: tuple[int, int], bands: int) -> None:
    upscale(noise(12, 15, bands), *size)


def test_what_no_chain_gives_is_resampled(
    upscale: Callable[..., NDArray[Any]],
) -> None:
    pixels = noise(12, 15, 3)
    doubled = upscale(pixels, 30, 24)
    tensor = torch.from_numpy(doubled).permute(2, 0, 1)[None].float()
    expected = bicubic(tensor, (18, 23)).round().clamp(0, 255)[0].permute(1, 2, 0).numpy()
    difference = np.abs(upscale(pixels, 23, 18).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001  # exact halves alone


def test_a_size_below_the_images_needs_no_network(
    edsr_weights: Path,
) -> None:
    upscaler = Upscaler(UpscaleRecipe(model=str(edsr_weights), device="cpu"))
    (done,) = upscaler.run([Work("a", DecodedImage(noise(12, 15, 4)), 10, 8)])
    assert done.passes == ()
    assert done.image is not None
    assert done.image.pixels.shape == (8, 10, 4)


def test_the_self_ensemble_is_the_mean_of_eight(
    upscale: Callable[..., NDArray[Any]],
) -> None:
    pixels = noise(12, 15, 3, depth=16)

    def turned(x: NDArray[Any], kind: int) -> NDArray[Any]:
        x = np.rot90(x, kind % 4)
        return np.ascontiguousarray(x[:, ::-1] if kind >= 4 else x)

    def turned_back(x: NDArray[Any], kind: int) -> NDArray[Any]:
        return np.rot90(x[:, ::-1] if kind >= 4 else x, -(kind % 4))

    results = []
    for kind in range(8):
        x = turned(pixels, kind)
        results.append(turned_back(upscale(x, 2 * x.shape[1], 2 * x.shape[0]), kind).astype(float))
    assert np.std(results, axis=0).max() > 1000  # the network is not symmetrical
    # Clipping comes after the mean in the one and before it in the other: compare where nothing is clipped.
    inside = (np.min(results, axis=0) > 0) & (np.max(results, axis=0) < 65535)
    assert inside.mean() > 0.2
    difference = upscale(pixels, 30, 24, tta=True) - np.mean(results, axis=0)
    assert np.abs(difference[inside]).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 400), (65, 33)])
@pytest.mark.parametrize("tile", [16, 32])
def test_tiles_do_not_show(upscale: Callable[..., NDArray[Any]], shape: tuple[int, int], tile: int) -> None:
    height, width = shape
    pixels = noise(height, width, 4)
    whole = upscale(pixels, 2 * width, 2 * height, tile="off")
    tiled = upscale(pixels, 2 * width, 2 * height, tile=tile)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_a_stream_keeps_its_order_and_its_failures(edsr_weights: Path) -> None:
    upscaler = Upscaler(UpscaleRecipe(model=str(edsr_weights), device="cpu", dtype="fp32"))
    works = [
        Work(0, DecodedImage(noise(8, 8, 3)), 16, 16),
        None,  # nothing more is ready yet
        Work(1, DecodedImage(noise(8, 8, 4)), 40, 40),
        Work(2, None, error=OSError("gone")),
        Work(3, DecodedImage(noise(6, 9, 1)), 9, 6),
        Work(4, DecodedImage(noise(8, 8, 2)), 16, 16),
    ]
    done = list(upscaler.run(works))
    assert [d.tag for d in done] == [0, 1, 2, 3, 4]
    assert [len(d.passes) for d in done] == [1, 3, 0, 0, 1]
    assert str(done[2].error) == "gone"
    alone = [next(iter(upscaler.run([work]))) for work in works if work is not None]
    for one, other in zip(done, alone, strict=True):
        if one.image is not None and other.image is not None:
            assert (one.image.pixels == other.image.pixels).all()


def test_passes_tell_how_each_network_was_run(edsr_weights: Path) -> None:
    recipe = UpscaleRecipe(
        model=str(edsr_weights), target=Target(scale=4), tile=16, overlap=3, device="cpu", dtype="bf16"
    )
    for recipe_, dtype in ((recipe, "bfloat16"), (replace(recipe, dtype="fp32"), "float32")):
        (done,) = Upscaler(recipe_).run([Work("a", DecodedImage(noise(8, 8, 3)), 32, 32)])
        assert [(p.model, p.tile, p.overlap, p.dtype) for p in done.passes] == [("tiny-x2", 16, 3, dtype)] * 2


def test_bf16_is_near_fp32(edsr_weights: Path) -> None:
    image = DecodedImage(noise(32, 32, 3))
    pixels = []
    for dtype in ("fp32", "bf16"):
        recipe = UpscaleRecipe(model=str(edsr_weights), device="cpu", dtype=dtype)  # type: ignore[arg-type]
        (done,) = Upscaler(recipe).run([Work("a", image, 64, 64)])
        assert done.image is not None
        pixels.append(done.image.pixels.astype(float))
    assert 0 < np.abs(pixels[0] - pixels[1]).mean() < 1

"""Networks conditioned on kernel maps: whose map it is, by which basis, and tiled or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.conditioning.makers import Conditioning, Extras, ModelProviders, Sources, basis_of
from srkit.degradation.kernels import covariance_of, gaussian_map
from srkit.degradation.pca import encode
from srkit.errors import ResourceError, UsageError
from srkit.inference.chain import Models
from srkit.inference.upscaler import Done, Upscaler, Work
from srkit.io.folders import Found
from srkit.io.image import DecodedImage, ImageInfo
from srkit.io.kernel_map import KernelMap, write_kernel_map
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.recipes.upscale import Target, UpscaleRecipe
from srkit.tasks.upscale import kernel_maps as kernel_maps
from srkit.tasks.upscale.kernel_maps import KernelMaps
from srkit.tasks.upscale.plan import plan_upscale
from srkit.tasks.upscale.run import UpscaleJob, run
from srkit.zoo.weights import load_weights
from tests.helpers import refused

CPU = torch.device("cpu")
Pixels = NDArray[Any]


@pytest.fixture
def kernels_for(nbsr_weights: Path) -> Callable[..., KernelMap]:
    """A map whose blur grows from the left to the right."""
    basis = basis_of(load_weights(nbsr_weights).network, "")

    def make(height: int, width: int, scale: int = 2) -> KernelMap:
        wide = torch.linspace(0.5, 4, width).expand(height, width)
        covariance = covariance_of(wide, wide * 0.5, 0.4).permute(2, 0, 1)[None]
        codes = encode(gaussian_map(covariance, 2), basis)[0]
        flat = np.zeros((height, width), np.float32)
        return KernelMap(codes.numpy(), basis.numpy(), covariance[0].numpy(), flat, flat, scale)

    return make


@pytest.fixture
def upscale(nbsr_weights: Path) -> Callable[..., Pixels]:
    """Upscales pixels with the tiny network and a map."""

    def run(pixels: Pixels, kernels: KernelMap, **settings: Any) -> Pixels:
        recipe = UpscaleRecipe(model=str(nbsr_weights), device="cpu", **{"dtype": "fp32", **settings})
        height, width = pixels.shape[:2]
        done: Done[str]
        work = Work("a", DecodedImage(pixels), 2 * width, 2 * height, extras=Extras(kernels))
        (done,) = Upscaler(recipe, extras=("kernels",)).run([work])
        assert done.error is None
        assert done.image is not None
        return done.image.pixels

    return run


def difference(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@torch.inference_mode()
def test_the_network_is_conditioned_on_the_map_s_codes(
    upscale: Callable[..., Pixels],
    kernels_for: Callable[..., KernelMap],
    nbsr_weights: Path,
    rendered: Callable[..., Pixels],
) -> None:
    pixels, kernels = rendered(31, 45), kernels_for(31, 45)
    lr = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    network = load_weights(nbsr_weights).network
    expected = network(lr, torch.from_numpy(kernels.codes)[None])[0].permute(1, 2, 0)
    levels = (expected * 255).round().clamp(0, 255).numpy().astype(np.uint8)
    assert difference(upscale(pixels, kernels, tile="off"), levels) <= 1
    other = replace(kernels, codes=np.ascontiguousarray(kernels.codes[:, :, ::-1]))
    assert difference(upscale(pixels, other, tile="off"), levels) > 3  # it listens


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 71)], ids=str)
@pytest.mark.parametrize("tile", [16, 32, "auto"])
def test_tiled_equals_untiled(
    upscale: Callable[..., Pixels],
    kernels_for: Callable[..., KernelMap],
    rendered: Callable[..., Pixels],
    size: tuple[int, int],
    tile: Any,
) -> None:
    pixels, kernels = rendered(*size), kernels_for(*size)
    assert difference(upscale(pixels, kernels, tile=tile), upscale(pixels, kernels, tile="off")) <= 1


def test_gray_alpha_and_16_bit(
    upscale: Callable[..., Pixels], kernels_for: Callable[..., KernelMap], rendered: Callable[..., Pixels]
) -> None:
    pixels, kernels = rendered(20, 24), kernels_for(20, 24)
    with_alpha = np.concatenate([pixels, rendered(20, 24, seed=1)[:, :, :1]], axis=2)
    assert upscale(with_alpha, kernels).shape == (40, 48, 4)
    wide = upscale(pixels[:, :, :1].astype(np.uint16) * 257, kernels)
    assert (wide.shape, wide.dtype) == ((40, 48, 1), np.uint16)


def test_codes_by_another_basis_are_the_same_kernels(
    upscale: Callable[..., Pixels], kernels_for: Callable[..., KernelMap], rendered: Callable[..., Pixels]
) -> None:
    pixels, kernels = rendered(24, 24), kernels_for(24, 24)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
    turned = replace(
        kernels,
        codes=np.einsum("jk,khw->jhw", turn, kernels.codes).astype(np.float32),
        basis=np.einsum("jk,kuv->juv", turn, kernels.basis).astype(np.float32),
    )
    expected = upscale(pixels, kernels)
    assert difference(upscale(pixels, turned), expected) <= 1
    mistaken = replace(turned, basis=kernels.basis)
    assert difference(upscale(pixels, mistaken), expected) > 1


def test_what_conditioning_refuses(
    kernels_for: Callable[..., KernelMap], nbsr_weights: Path, rendered: Callable[..., Pixels]
) -> None:
    model = load_weights(nbsr_weights)
    with refused(UsageError, "codes", "kernels"):
        ModelProviders(CPU).conditioning(model)
    conditioning = ModelProviders(CPU).conditioning(model, ["kernels"])
    with refused(UsageError, "16 x 16"):
        conditioning(rendered(16, 16))
    with refused(UsageError, "18 x 16", "16 x 18"):
        conditioning(rendered(18, 16), Extras(kernels_for(16, 18)))
    assert conditioning.blank(rendered(18, 16))["codes"].value.shape == (1, 6, 18, 16)
    with refused(UsageError, "position and blur"):
        Conditioning(("codes", "position and blur"), Sources(model.network), ["kernels"])


# -- whose map it is --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(kernels_for: Callable[..., KernelMap], tmp_path: Path) -> Path:
    """Maps by name, one of them of another scale and one for an image that shares its name with another."""
    place = tmp_path / "maps"
    (place / "b").mkdir(parents=True)
    for name, size in (("a", (12, 16)), ("b/c", (12, 16)), ("d.jpg", (10, 11))):
        write_kernel_map(kernels_for(*size), place / f"{name}.npz")
    write_kernel_map(kernels_for(12, 16, scale=4), place / "z.npz")
    return place


def found(name: str) -> Found:
    return Found(Path("in") / name, Path(name))


def info(width: int, height: int) -> ImageInfo:
    return ImageInfo(width, height, 3, 8, False, "png")


def test_maps_are_found_by_name(folder: Path) -> None:
    maps = KernelMaps(folder)
    assert maps.scale == 2
    assert maps.checked(found("a.png"), info(16, 12), 2) == folder / "a.npz"
    assert maps.checked(found("b/c.jpeg"), info(16, 12), 1.5) == folder / "b/c.npz"
    assert maps.checked(found("d.jpg"), info(11, 10), 2) == folder / "d.jpg.npz"
    with refused(UsageError, "d.png", folder, "d.npz"):
        maps.of(found("d.png"))
    for name, size, factor, named in (
        ("a.png", (12, 16), 2, (folder / "a.npz", "in/a.png", "16 x 12", "12 x 16")),
        ("z.png", (16, 12), 2, (folder / "z.npz", "x4", "x2")),
        ("a.png", (16, 12), 3, (folder / "a.npz", "in/a.png", "x2", 3)),
    ):
        with refused(UsageError, *named):
            maps.checked(found(name), info(*size), factor)
    single = KernelMaps(folder / "a.npz")
    assert single.of(found("whatever.png")) == folder / "a.npz"


def test_the_network_of_a_map(folder: Path, nbsr_weights: Path, edsr_weights: Path) -> None:
    maps = KernelMaps(folder / "a.npz")
    own = UpscaleRecipe(model=str(nbsr_weights))
    assert maps.models(own).own_scale == 2
    for recipe, named in (
        (replace(own, target=Target(scale=4)), ("--scale", 4, folder / "a.npz", "x2")),
        (replace(own, tta=True), ("--tta",)),
        (replace(own, model=str(edsr_weights)), ("tiny-x2",)),
    ):
        with refused(UsageError, *named):
            maps.models(recipe)
    with refused(UsageError, folder / "z.npz", "x4", "restores-x2", "x2"):
        KernelMaps(folder / "z.npz").models(own)


def test_by_default_it_is_the_shipped_one_of_the_map_s_scale(
    folder: Path, nbsr_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def models(name: str, *progress: object, **dials: object) -> Models:
        asked.append(name)
        return Models(str(nbsr_weights))

    monkeypatch.setattr(kernel_maps, "Models", models)
    KernelMaps(folder).models(UpscaleRecipe())
    assert asked == ["nbsr-x2"]


def test_folders_that_are_none(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "a.npz"):
        with refused(UsageError, place):
            KernelMaps(place)


def test_files_plans_and_recipes(
    kernels_for: Callable[..., KernelMap], nbsr_weights: Path, rendered: Callable[..., Pixels], tmp_path: Path
) -> None:
    source, place = tmp_path / "in.png", tmp_path / "in.npz"
    write_image(DecodedImage(rendered(40, 30)), source, format="png")
    write_kernel_map(kernels_for(40, 30), place)
    recipe = UpscaleRecipe(model=str(nbsr_weights), device="cpu", dtype="fp32", tile=16)
    job = UpscaleJob(recipe, str(source), tmp_path / "out.png", save_recipe=True, kernel_map=place)
    plan = plan_upscale(job)
    assert (plan.pictures[0].models, plan.pictures[0].width) == (("restores-x2",), 60)
    assert plan.seconds > 0
    (record,) = run(job)
    assert (record.status, record.models, record.width) == ("done", ("restores-x2",), 60)
    assert read_image(tmp_path / "out.png").pixels.shape == (80, 60, 3)
    saved = json.loads((tmp_path / "out.png.srkit.json").read_text())["kernel_map"]
    assert saved["path"] == str(place)
    assert len(saved["sha256"]) == 64


def test_weights_without_a_basis(edsr_weights: Path) -> None:
    with refused(ResourceError, edsr_weights):
        basis_of(load_weights(edsr_weights).network, str(edsr_weights))

"""A network conditioned on whole images, through everything that images go through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.conditioning.makers import Conditioning
from srkit.conditioning.values import Conditions
from srkit.data.pairs import make_lr
from srkit.encoders.semantic import semantic_encoder
from srkit.inference.chain import Models
from srkit.inference.upscaler import Done, Upscaler, Work
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.ops.colour import bleed, clamp_to_neighbours
from srkit.ops.geometry import position_grid
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.upscale import Target, UpscaleRecipe
from srkit.tasks.evaluate.run import EvalJob, Evaluation
from srkit.tasks.upscale.plan import plan_upscale
from srkit.tasks.upscale.run import UpscaleJob, run
from srkit.zoo.manifest import Entry, Manifest
from srkit.zoo.weights import load_weights

Pixels = NDArray[Any]


@pytest.fixture
def upscale(cdasr_weights: Path) -> Callable[..., Pixels]:
    """Upscales pixels with the tiny network."""

    def run(pixels: Pixels, factor: int = 2, **settings: Any) -> Pixels:
        recipe = UpscaleRecipe(model=str(cdasr_weights), device="cpu", **{"dtype": "fp32", **settings})
        height, width = pixels.shape[:2]
        done: Done[str]
        (done,) = Upscaler(recipe).run([Work("a", DecodedImage(pixels), factor * width, factor * height)])
        assert done.error is None
        assert done.image is not None
        assert done.image.pixels.dtype == pixels.dtype
        return done.image.pixels

    return run


@pytest.fixture
def direct(cdasr_weights: Path) -> Callable[[Pixels], Pixels]:
    """The network's own result for a colour image: embedded as a whole, run as a whole."""
    model = load_weights(cdasr_weights)

    @torch.inference_mode()
    def run(pixels: Pixels, seen: Pixels | None = None) -> Pixels:
        top = np.iinfo(pixels.dtype).max

        def tensor(image: Pixels) -> Tensor:
            return torch.from_numpy(image.astype(np.float32) / top).permute(2, 0, 1)[None]

        embedding = semantic_encoder("random", torch.device("cpu")).embed(
            tensor(pixels if seen is None else seen)
        )
        position = position_grid(*pixels.shape[:2])
        sr = model.network(
            tensor(pixels), semantic=embedding.vector, tokens=embedding.tokens, position=position
        )
        levels: Pixels = (sr[0].permute(1, 2, 0) * top).round().clamp(0, top).numpy().astype(pixels.dtype)
        return levels

    return run


def difference(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(np.int64) - b).max())


def sixteen(pixels: Pixels) -> Pixels:
    wide: Pixels = pixels.astype(np.uint16) * 257
    wide += np.random.default_rng(0).integers(0, 200, pixels.shape, dtype=np.uint16)
    return wide


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 71)], ids=str)
@pytest.mark.parametrize("tile", ["off", 16, 32, "auto"])
@pytest.mark.parametrize("depth", [8, 16])
def test_tiled_or_not_the_network_is_conditioned_on_the_whole(
    upscale: Callable[..., Pixels],
    direct: Callable[..., Pixels],
    rendered: Callable[..., Pixels],
    size: tuple[int, int],
    tile: Any,
    depth: int,
) -> None:
    pixels = rendered(*size) if depth == 8 else sixteen(rendered(*size))
    expected = direct(pixels)
    assert difference(upscale(pixels, tile=tile), expected) <= 1
    if min(size) > 1:  # else the network would not listen, and this test prove nothing
        assert difference(direct(pixels, seen=255 - pixels if depth == 8 else 65535 - pixels), expected) > 1


def test_the_self_ensemble_has_the_same_conditions_in_every_turn(
    upscale: Callable[..., Pixels], rendered: Callable[..., Pixels]
) -> None:
    pixels = sixteen(rendered(37, 50))
    whole = upscale(pixels, tile="off", tta=True)
    assert difference(upscale(pixels, tile=16, tta=True), whole) <= 2
    assert difference(upscale(pixels, tile="off"), whole) > 50


def test_the_second_network_of_a_chain_is_conditioned_on_the_first_ones_result(
    upscale: Callable[..., Pixels], direct: Callable[..., Pixels], rendered: Callable[..., Pixels]
) -> None:
    pixels = rendered(31, 22)
    expected = direct(direct(pixels))
    assert difference(upscale(pixels, 4, tile="off"), expected) <= 1
    assert difference(upscale(pixels, 4, tile=16), upscale(pixels, 4, tile="off")) <= 1


@pytest.mark.parametrize("depth", [8, 16])
def test_gray_gives_the_conditions_of_three_equal_channels(
    upscale: Callable[..., Pixels], direct: Callable[..., Pixels], rendered: Callable[..., Pixels], depth: int
) -> None:
    gray = rendered(20, 27)[:, :, :1]
    gray = gray if depth == 8 else sixteen(gray)
    colour = direct(np.repeat(gray, 3, axis=2)).astype(np.uint32)
    mean = (colour.sum(axis=2) + 1) // 3
    assert difference(upscale(gray, tile=16)[:, :, 0], mean) <= 1


def test_alpha_has_the_conditions_of_its_colours(
    upscale: Callable[..., Pixels], direct: Callable[..., Pixels], rendered: Callable[..., Pixels]
) -> None:
    colour = rendered(24, 30)
    alpha = np.random.default_rng(1).integers(
        0, 256, (24, 30, 1), dtype=np.uint8
    )  # so that little is clamped
    result = upscale(np.concatenate([colour, alpha], axis=2), tile="off")
    x, a = (torch.from_numpy(part).permute(2, 0, 1)[None].float() for part in (colour, alpha))
    seen = bleed(x, a / 255)[0].permute(1, 2, 0).round().numpy().astype(np.uint8)
    assert difference(result[:, :, :3], direct(seen)) <= 1
    as_colour = np.repeat(alpha, 3, axis=2)
    with_colours, by_itself = (
        torch.from_numpy(direct(as_colour, seen=image)).float().mean(2).round()[None, None]
        for image in (seen, as_colour)
    )
    expected, other = (clamp_to_neighbours(plane, a)[0, 0].numpy() for plane in (with_colours, by_itself))
    assert difference(expected, result[:, :, 3]) <= 1
    assert difference(other, result[:, :, 3]) > 3


def test_an_image_whose_conditions_fail_fails_alone(
    cdasr_weights: Path, rendered: Callable[..., Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Conditioning.__call__

    def failing(self: Conditioning, image: Pixels, extras: Any) -> Conditions:
        if image.shape[0] == 13:
            raise MemoryError
        return usual(self, image, extras)

    monkeypatch.setattr(Conditioning, "__call__", failing)
    upscaler = Upscaler(UpscaleRecipe(model=str(cdasr_weights), device="cpu", dtype="fp32"))
    with_alpha = np.concatenate([rendered(13, 9), rendered(13, 9)[:, :, :1]], axis=2)
    images = [rendered(12, 9), with_alpha, rendered(11, 9)]
    works = [Work(i, DecodedImage(p), 2 * p.shape[1], 2 * p.shape[0]) for i, p in enumerate(images)]
    done = list(upscaler.run([works[0], None, *works[1:]]))
    assert [type(d.error).__name__ for d in done] == ["NoneType", "MemoryError", "NoneType"]
    assert [d.tag for d in done] == [0, 1, 2]


def test_bf16_is_near_fp32(upscale: Callable[..., Pixels], rendered: Callable[..., Pixels]) -> None:
    pixels = rendered(48, 40)
    coarse, exact = (upscale(pixels, dtype=dtype).astype(float) for dtype in ("bf16", "fp32"))
    assert 0 < np.abs(coarse - exact).mean() < 1


def test_files_plans_records_and_recipes(
    cdasr_weights: Path, rendered: Callable[..., Pixels], tmp_path: Path
) -> None:
    source = tmp_path / "in.png"
    write_image(DecodedImage(rendered(40, 30)), source, format="png")
    recipe = UpscaleRecipe(model=str(cdasr_weights), target=Target(scale=4), device="cpu", dtype="fp32")
    job = UpscaleJob(recipe, str(source), tmp_path / "out.png", save_recipe=True)
    plan = plan_upscale(job)
    assert plan.pictures[0].models == ("conditioned-x2", "conditioned-x2")
    assert plan.seconds > 0
    (record,) = run(job)
    assert (record.status, record.models, record.width) == ("done", ("conditioned-x2", "conditioned-x2"), 120)
    saved = json.loads((tmp_path / "out.png.srkit.json").read_text())
    model = load_weights(cdasr_weights)
    assert model.header is not None
    assert [m["sha256"] for m in saved["models"]] == [model.sha256] * 2
    assert [m["providers"] for m in saved["models"]] == [model.header.providers] * 2


def test_evaluation_conditions_the_network_too(
    cdasr_weights: Path, direct: Callable[..., Pixels], rendered: Callable[..., Pixels], tmp_path: Path
) -> None:
    hr = rendered(64, 80)
    (tmp_path / "own/HR").mkdir(parents=True)
    write_image(DecodedImage(hr), tmp_path / "own/HR/a.png", format="png")
    recipe = EvalRecipe(models=(str(cdasr_weights),), device="cpu", dtype="fp32")
    job = EvalJob(recipe, datasets=("own",), data_root=tmp_path, save_images=tmp_path / "sr")
    (result,) = Evaluation(job).run()
    assert result.failed == ()
    expected = direct(make_lr(hr, 2))
    (made,) = (tmp_path / "sr").rglob("a.png")
    assert difference(read_image(made).pixels, expected) <= 1


# -- which models `auto` takes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shipped", "names"),
    [
        ({"edsr-x2": 37.0, "edsr-x4": 31.0}, {2: "edsr-x2", 4: "edsr-x4"}),
        ({"edsr-x2": 37.0, "edsr-x4": 31.0, "cdasr-x4": 31.2}, {2: "edsr-x2", 4: "cdasr-x4"}),
        (
            {"edsr-x2": 37.0, "srvgg-x2": 36.95, "edsr-x4": 31.2, "srvgg-x4": 31.0},
            {2: "srvgg-x2", 4: "edsr-x4"},
        ),
        ({"srvgg-x4": 31.2, "cdasr-x4": 31.1, "edsr-x4": None}, {4: "srvgg-x4"}),
        ({"srvgg-x4": None, "cdasr-x4": None, "cdasr-x16": None}, {4: "srvgg-x4", 16: "cdasr-x16"}),
        ({"cdasr-x4-perceptual": 40.0, "edsr-x4": 31.0, "compact": None}, {4: "edsr-x4"}),
    ],
)
def test_auto_takes_the_fastest_of_the_best_of_a_scale(
    shipped: dict[str, float | None], names: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def entry(name: str) -> Entry:
        scale, psnr = next((int(part[1:]) for part in name.split("-") if part[0] == "x"), 1), shipped[name]
        sets = {} if psnr is None else {"Set5": {"psnr": psnr}, "Set14": {"psnr": 28.0}}
        return Entry(
            name=name,
            file=f"{name}.safetensors",
            sha256="0",
            size=1,
            task="sr",
            scale=scale,
            arch=name.partition("-")[0],
            parameters=1,
            licence="",
            summary="",
            scores={"classical": sets | {"held out": {"psnr": 50.0 - (psnr or 0)}}},
        )

    manifest = Manifest(tuple(map(entry, shipped)))
    monkeypatch.setattr(Manifest, "load", lambda: manifest)
    models = Models("auto")
    assert {scale: models.name_of(scale) for scale in models.scales} == names

"""`srkit upscale` with networks that are conditioned on blur and draw samples: kernels by themselves, seeds, spread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image

Save = Callable[..., Path]


@pytest.fixture
def upscale(call: Callable[..., Any], diffusion_weights: Path) -> Callable[..., Any]:
    """Runs `srkit upscale` with the tiny diffusion model."""
    return lambda *arguments: call("upscale", "-m", diffusion_weights, "--dtype", "fp32", *arguments)


def _pixels(path: Path) -> NDArray[Any]:
    return read_image(path).pixels.astype(int)


def test_samples_and_their_spread(
    upscale: Callable[..., Any], save: Save, schema: Callable[[str], Any], tmp_path: Path
) -> None:
    source, out = save(tmp_path / "in.png", 30, 26), tmp_path / "out"
    ran = upscale(source, out / "a.jpg", "--samples", "3", "--seed", "7", "--json", "--quality", "95")
    assert ran.code == 0, ran.err
    (record,) = ran.records
    schema("upscale").validate(record)
    files = [out / f"a-{part}.png" for part in ("2", "3", "spread")]
    assert record["maps"] == [str(file) for file in files]
    assert sorted(out.iterdir()) == sorted([out / "a.jpg", *files])
    for number, file in enumerate(files[:2], 1):  # they are the results of the next seeds
        upscale(source, tmp_path / f"{number}.png", "--seed", 7 + number)
        assert np.array_equal(_pixels(tmp_path / f"{number}.png"), _pixels(file))
    upscale(source, tmp_path / "0.png", "--seed", "7")
    found = np.stack([_pixels(tmp_path / f"{number}.png") for number in range(3)])
    expected = np.rint(found.std(0).mean(2) * 8).clip(0, 255)
    shown = read_image(files[2])
    assert shown.is_gray
    assert expected.max() > 8
    assert np.abs(shown.pixels[:, :, 0] - expected).max() <= 1


def test_steps_and_seeds_count_and_tiles_do_not(
    upscale: Callable[..., Any], save: Save, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", 90, 40)

    def result(*flags: object) -> NDArray[Any]:
        target = tmp_path / "out.png"
        ran = upscale(source, target, "--overwrite", *flags)
        assert ran.code == 0, ran.err
        return _pixels(target)

    usual = result("--tile", "off")
    assert np.abs(result("--tile", 32) - usual).max() <= 1
    assert np.array_equal(result("--tile", "off", "--steps", 2), usual)  # the model's own
    for flags in (("--steps", 4), ("--seed", 1), ("--depth", "none")):
        assert not np.array_equal(result("--tile", "off", *flags), usual)


def test_a_map_gives_what_is_estimated_without(
    upscale: Callable[..., Any], call: Callable[..., Any], save: Save, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", 40, 32)
    assert call("estimate-kernel", source, tmp_path / "in.npz", "-s", "2", "--dtype", "fp32").code == 0
    assert upscale(source, tmp_path / "a.png", "--kernel-map", tmp_path / "in.npz").code == 0
    assert upscale(source, tmp_path / "b.png").code == 0
    assert np.abs(_pixels(tmp_path / "a.png") - _pixels(tmp_path / "b.png")).max() <= 1


def test_nbsr_estimates_by_itself(
    call: Callable[..., Any], nbsr_weights: Path, save: Save, tmp_path: Path
) -> None:
    source, out = save(tmp_path / "in.png", 20, 24), tmp_path / "out.png"
    ran = call("upscale", source, out, "-m", nbsr_weights, "-s", "4", "--json")
    assert ran.code == 0, ran.err
    assert ran.records[0]["models"] == ["restores-x2", "srvgg-x2"]  # kernels are of the input alone
    assert read_image(out).width == 80


def test_eval_estimates_by_itself(
    call: Callable[..., Any], diffusion_weights: Path, nbsr_weights: Path, save: Save, tmp_path: Path
) -> None:
    save(tmp_path / "own/HR/a.png", 64, 48)
    models = [flag for weights in (diffusion_weights, nbsr_weights) for flag in ("-m", weights)]
    ran = call("eval", "--dataset", "own", "--data-root", tmp_path, *models, "--metrics", "psnr", "--json")
    assert ran.code == 0, ran.err


def test_alpha_is_not_invented(upscale: Callable[..., Any], save: Save, tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", 24, 24)
    alpha = np.linspace(0, 255, 24).round().astype(np.uint8)[None].repeat(24, 0)
    pixels = np.dstack([read_image(source).pixels, alpha])
    write_image(DecodedImage(pixels), tmp_path / "alpha.png", format="png")
    seeds = []
    for seed in (1, 2):
        assert upscale(tmp_path / "alpha.png", tmp_path / f"{seed}.png", "--seed", seed).code == 0
        seeds.append(_pixels(tmp_path / f"{seed}.png"))
    assert np.array_equal(seeds[0][:, :, 3], seeds[1][:, :, 3])
    assert not np.array_equal(seeds[0][:, :, :3], seeds[1][:, :, :3])


def test_a_folder_of_samples(upscale: Callable[..., Any], save: Save, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, 20, 18)
    arguments = (tmp_path / "in", tmp_path / "out", "--samples", "2")
    assert upscale(*arguments).code == 0
    parts = ("a-2", "a-spread", "a", "b-2", "b-spread", "b")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(f"{p}.png" for p in parts)
    upscale(*arguments).refused(2, "--overwrite")
    ran = upscale(*arguments, "--overwrite", "--plan", "--json")
    assert len(ran.records[0]["pictures"][0]["maps"]) == 2


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--steps", "0"), ("--steps", 0)),
        (("--steps", "9"), (9, 8)),
        (("--samples", "0"), ("--samples", 0)),
        (("--samples", "2", "--debug-maps", "maps"), ("--samples", "--debug-maps")),
        (("--tta",), ("--tta", "draws-x2")),
        (("--depth", "nowhere"), ("nowhere",)),
        (("--depth", ""), ("--depth",)),
    ],
)
def test_what_makes_no_sense(
    upscale: Callable[..., Any], save: Save, tmp_path: Path, flags: tuple[str, ...], named: tuple[object, ...]
) -> None:
    source = save(tmp_path / "in.png", 16, 16)
    upscale(source, tmp_path / "out.png", *flags).refused(2, *named)
    assert not (tmp_path / "out.png").exists()


def test_samples_do_not_go_to_stdout(upscale: Callable[..., Any], save: Save, tmp_path: Path) -> None:
    upscale(save(tmp_path / "in.png", 16, 16), "-", "--samples", "2").refused(2, "--samples", "stdout")


def test_other_models_draw_no_samples(
    call: Callable[..., Any], edsr_weights: Path, save: Save, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", 16, 16)
    for flags in (("--steps", "4"), ("--samples", "2"), ("--depth", "none")):
        ran = call("upscale", source, tmp_path / "out.png", "-m", edsr_weights, *flags)
        ran.refused(2, flags[0], "tiny-x2")

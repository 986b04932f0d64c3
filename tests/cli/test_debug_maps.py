"""`srkit upscale --debug-maps`: what a network with two heads makes each image of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srkit.archs.cria import Cria
from srkit.engine.resample import resample
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.ops.geometry import TURNS, turn, turn_back
from srkit.zoo.header import Header
from srkit.zoo.weights import load_weights, save_weights

PARTS = ("align", "unif", "mask")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Cria for x2 whose heads differ and whose mask is no constant."""
    arguments: dict[str, Any] = {
        "scale": 2,
        "features": 4,
        "blocks": 1,
        "growth": 2,
        "width": 4,
        "mask_width": 4,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Cria(**arguments)
    last = network.mask[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        seen = network.mask(torch.rand(1, 3, 40, 40) - 0.4)
        contrast = 4 / (seen[:, 0] - seen[:, 1]).std()
        last.weight.mul_(contrast)
        last.bias.copy_((last.bias - seen.mean((0, 2, 3))) * contrast)
    path = tmp_path_factory.mktemp("weights") / "two-heads-x2.safetensors"
    save_weights(path, network, Header(arch="cria", arguments=arguments, scale=2), dtype=torch.float32)
    return path


@pytest.fixture
def upscale(call: Callable[..., Any], weights: Path) -> Callable[..., Any]:
    return lambda *arguments: call("upscale", "-m", weights, "--dtype", "fp32", "--device", "cpu", *arguments)


def pixels(path: Path) -> Any:
    return read_image(path).pixels


def difference(a: Any, b: Any) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize("flags", [(), ("--tile", "16"), ("--tta",)], ids=str)
def test_the_maps_are_the_network_s_parts(
    upscale: Callable[..., Any],
    save: Callable[..., Path],
    schema: Callable[[str], Any],
    weights: Path,
    tmp_path: Path,
    flags: tuple[str, ...],
) -> None:
    source = save(tmp_path / "a.png", 40, 30)
    ran = upscale(source, tmp_path / "big.png", "--debug-maps", tmp_path / "maps", "--json", *flags)
    assert (ran.code, ran.err) == (0, "1 done\n")
    (record,) = ran.records
    schema("upscale").validate(record)
    files = {part: tmp_path / "maps" / f"big-{part}.png" for part in PARTS}
    assert record["maps"] == [str(files[part]) for part in PARTS]
    assert sorted((tmp_path / "maps").iterdir()) == sorted(files.values())
    found = {part: pixels(path) for part, path in files.items()}
    assert {part: x.shape for part, x in found.items()} == {
        "align": (60, 80, 3),
        "unif": (60, 80, 3),
        "mask": (60, 80, 1),
    }
    assert all(x.dtype == np.uint8 for x in found.values())
    assert np.ptp(found["mask"]) > 60
    assert difference(found["align"], found["unif"]) > 10
    expected = _parts(weights, pixels(source), TURNS if "--tta" in flags else 1)
    assert all(difference(expected[part], found[part]) <= 1 for part in PARTS)
    if "--tta" not in flags:  # Eq. 10, where neither head was clipped
        heads = np.stack([found["align"], found["unif"]])
        inside = ((heads > 0) & (heads < 255)).all(0)
        share = found["mask"] / 255
        made = share * heads[0] + (1 - share) * heads[1]
        assert inside.mean() > 0.5
        assert difference(made[inside].round(), pixels(tmp_path / "big.png")[inside]) <= 2


@torch.inference_mode()
def _parts(weights: Path, lr: Any, turns: int) -> dict[str, Any]:
    """The network's own parts for a whole image, as the mean over turns, rounded."""
    network = load_weights(weights).network
    assert isinstance(network, Cria)
    x = torch.from_numpy(lr.copy()).permute(2, 0, 1)[None] / 255
    found = {}
    for part in PARTS:
        views = [turn_back(network.views()[part](turn(x, kind)), kind) for kind in range(turns)]
        levels = (torch.stack(views).mean(0)[0].permute(1, 2, 0) * 255).round().clamp(0, 255).numpy()
        found[part] = levels[..., :1] if part == "mask" else levels
    return found


def test_maps_have_the_size_of_the_result(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    """Resampled as it is; of the first pass where there are two; none where no network runs."""
    source = save(tmp_path / "a.png", 20, 16)
    for scale in ("2", "1.5", "4"):
        upscale(source, tmp_path / f"{scale}.png", "--debug-maps", tmp_path / "maps", "-s", scale)
    mask, smaller, larger = (pixels(tmp_path / "maps" / f"{scale}-mask.png") for scale in ("2", "1.5", "4"))
    assert np.array_equal(smaller, resample(mask, 24, 30))
    assert np.array_equal(larger, resample(mask, 64, 80))
    ran = upscale(source, tmp_path / "s.png", "--debug-maps", tmp_path / "none", "--width", "10", "--json")
    assert (ran.code, ran.records[0]["maps"]) == (0, [])
    assert "no network runs at this size" in ran.records[0]["warnings"][0]
    assert not (tmp_path / "none").exists()


def test_kinds_of_images(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    """Gray stays gray, 16 bit become 8, alpha is left out; the tree is mirrored, and names stay apart."""
    for name, arguments in {
        "gray.png": {"bands": 1},
        "deep.png": {"depth": 16},
        "sub/clear.png": {"bands": 4},
        "sub/clear.tif": {},
    }.items():
        save(tmp_path / "in" / name, 12, 10, **arguments)
    ran = upscale(tmp_path / "in", tmp_path / "out", "-r", "--debug-maps", tmp_path / "maps", "--json")
    assert ran.code == 0
    bands = {}
    for path in sorted((tmp_path / "maps").rglob("*.png")):
        x = pixels(path)
        assert (x.shape[:2], x.dtype) == ((20, 24), np.uint8)
        bands[str(path.relative_to(tmp_path / "maps"))] = x.shape[2]
    bases = {"gray": 1, "deep": 3, "sub/clear.png": 3, "sub/clear.tif": 3}
    assert bands == {f"{b}-{p}.png": 1 if p == "mask" else n for b, n in bases.items() for p in PARTS}
    assert sorted(path for record in ran.records for path in record["maps"]) == sorted(
        str(tmp_path / "maps" / name) for name in bands
    )
    shallow = save(tmp_path / "eight.png", 12, 10)
    upscale(shallow, tmp_path / "eight2.png", "--debug-maps", tmp_path / "maps")
    assert (
        difference(pixels(tmp_path / "maps/deep-align.png"), pixels(tmp_path / "maps/eight2-align.png")) <= 1
    )


def test_maps_of_gray_content_in_rgb_are_gray(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    """With as many channels as of colours, and the levels that the maps of a gray file have."""
    gray = save(tmp_path / "gray.png", 20, 16, bands=1)
    write_image(DecodedImage(pixels(gray).repeat(3, 2)), tmp_path / "rgb.png", format="png")
    for name in ("gray", "rgb"):
        upscale(tmp_path / f"{name}.png", tmp_path / f"{name}2.png", "--debug-maps", tmp_path / "maps")
    for part in PARTS:
        of_gray, of_rgb = (pixels(tmp_path / "maps" / f"{name}2-{part}.png") for name in ("gray", "rgb"))
        assert of_rgb.shape[2] == (1 if part == "mask" else 3)
        assert (of_rgb == of_gray).all()


def test_existing_maps_follow_the_rule_for_outputs(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    source, maps = save(tmp_path / "a.png"), tmp_path / "maps"
    save(maps / "b-mask.png", 3, 3)
    before = (maps / "b-mask.png").read_bytes()
    arguments = (source, tmp_path / "b.png", "--debug-maps", maps)
    ran = upscale(*arguments)
    ran.refused(2, maps / "b-mask.png")
    assert not (tmp_path / "b.png").exists()
    assert upscale(*arguments, "--skip-existing").code == 0
    assert (maps / "b-mask.png").read_bytes() == before
    assert pixels(maps / "b-unif.png").shape == (32, 48, 3)
    assert upscale(*arguments, "--overwrite").code == 0
    assert pixels(maps / "b-mask.png").shape == (32, 48, 1)


def test_a_model_without_maps_is_refused(
    call: Callable[..., Any], save: Callable[..., Path], edsr_weights: Path, tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png")
    for more in ((), ("--plan",)):
        ran = call(
            "upscale", "-m", edsr_weights, source, tmp_path / "b.png", "--debug-maps", tmp_path / "m", *more
        )
        ran.refused(2, "tiny-x2", "--debug-maps")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png"]


def test_places_that_make_no_sense(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "in/a.png")
    save(tmp_path / "in/a-mask.png")
    file = save(tmp_path / "file.png")
    for source, output, maps, named in (
        ("in", "out", "in/maps", "in/maps"),
        ("in", "out", "out", "out"),
        ("in/a.png", "out", "file.png", "file.png"),
        ("in/*.png", "out", "in", "in/a-mask.png"),
    ):
        ran = upscale(tmp_path / source, tmp_path / output, "--debug-maps", tmp_path / maps)
        ran.refused(2, named)
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["a-mask.png", "a.png"]
    assert file.is_file()


def test_streams(server: Any, weights: Path, save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(tmp_path / "a.png")
    flags = ("-m", weights, "--device", "cpu", "--debug-maps", tmp_path / "maps")
    assert server.run("upscale", "-", "-", *flags, stdin=source, stdout=tmp_path / "o.png").code == 0
    assert server.run("upscale", source, "-", *flags, stdout=tmp_path / "p.png").code == 0
    names = {path.name for path in (tmp_path / "maps").iterdir()}
    assert names == {f"{name}-{part}.png" for name in ("stdin", "a") for part in PARTS}
    assert pixels(tmp_path / "o.png").shape == pixels(tmp_path / "maps/stdin-unif.png").shape


def test_the_plan_counts_the_maps(
    upscale: Callable[..., Any], save: Callable[..., Path], schema: Callable[[str], Any], tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png", 40, 30)
    arguments = (source, tmp_path / "b.png", "--plan", "--json", "--tile", "16", "-s", "4")
    (plain,) = upscale(*arguments).records
    (plan,) = upscale(*arguments, "--debug-maps", tmp_path / "maps").records
    schema("upscale-plan").validate(plan)
    assert plan["pictures"][0]["maps"] == [str(tmp_path / "maps" / f"b-{part}.png") for part in PARTS]
    first = upscale(source, tmp_path / "c.png", "--plan", "--json", "--tile", "16").records[0]["pictures"][0]
    assert plan["pictures"][0]["windows"] == plain["pictures"][0]["windows"] + 3 * first["windows"]
    assert plan["disk_bytes"] == pytest.approx(4 * plain["disk_bytes"], abs=4)
    assert plan["memory_bytes"] > plain["memory_bytes"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png"]

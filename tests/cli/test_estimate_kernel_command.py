"""`srkit estimate-kernel`: files, flags, JSON, warnings, exit codes; and `srkit upscale` with what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srkit.archs.depth import CompactDepth
from srkit.encoders import depth_compact
from srkit.io.kernel_map import read_kernel_map
from srkit.io.read import read_image
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights


@pytest.fixture
def estimate(call: Callable[..., Any], dkenet_weights: Path, nbsr_weights: Path) -> Callable[..., Any]:
    """Runs `srkit estimate-kernel` with the tiny networks, by default without depth."""

    def run(*arguments: str | Path, depth: str | Path = "none") -> Any:
        flags = ("-m", dkenet_weights, "--restorer", nbsr_weights, "--depth", depth, "--dtype", "fp32")
        return call("estimate-kernel", *flags, *arguments)

    return run


@pytest.fixture
def upscale(call: Callable[..., Any], nbsr_weights: Path) -> Callable[..., Any]:
    """Runs `srkit upscale` with the tiny NBSR."""
    return lambda *arguments: call("upscale", "-m", nbsr_weights, "--dtype", "fp32", *arguments)


def names_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# -- one image ------------------------------------------------------------------------------------------------


def test_a_map_and_its_preview(
    estimate: Callable[..., Any], save: Callable[..., Path], schema: Callable[[str], Any], tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", 30, 26)
    ran = estimate(source, tmp_path / "out.npz", "--json")
    assert ran.code == 0
    (record,) = ran.records
    schema("estimate-kernel").validate(record)
    assert names_in(tmp_path) == ["in.png", "out.npz", "out.preview.png"]
    found = read_kernel_map(tmp_path / "out.npz")
    assert (found.height, found.width, found.scale) == (26, 30, 2)
    assert record["preview"] == str(tmp_path / "out.preview.png")
    page = read_image(tmp_path / "out.preview.png")
    assert 1000 <= page.width <= 1600
    assert (record["width"], record["height"], record["scale"]) == (30, 26, 2)
    assert record["models"] == ["kernels-x2", "restores-x2"]
    assert (record["rounds"], record["depth"], record["status"]) == (0, "none", "done")
    assert record["confidence"] == pytest.approx(float(found.confidence.mean()), abs=1e-3)
    assert record["mean_kernel"]["width"] > 0.1
    assert record["reblur_psnr"] > 10
    said = ran.err.splitlines()
    assert said[-1] == "1 done"
    assert said[0].startswith(f"{tmp_path / 'out.npz'}: blur of ")


def test_depth_is_estimated_and_rounds_are_run(
    estimate: Callable[..., Any],
    save: Callable[..., Path],
    schema: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = tmp_path / "weights/depth.safetensors"
    weights.parent.mkdir()
    arguments = {"widths": [4, 6], "side": 32}
    save_weights(weights, CompactDepth(**arguments), Header("depth", arguments, 1, task="depth"))  # type: ignore[arg-type]
    monkeypatch.setattr(depth_compact, "MODEL", str(weights))
    source = save(tmp_path / "in.png", 30, 26)
    maps = {}
    for rounds in (0, 1, 2):
        target = tmp_path / f"{rounds}.npz"
        ran = estimate(source, target, "--json", "-q", "--refine", rounds, "--no-preview", depth="auto")
        assert (ran.code, ran.err) == (0, "")
        (record,) = ran.records
        schema("estimate-kernel").validate(record)
        assert (record["rounds"], record["depth"], record["preview"]) == (rounds, "compact", None)
        maps[rounds] = read_kernel_map(target)
    assert maps[0].depth.any()
    assert np.abs(maps[0].codes - maps[1].codes).max() > 0
    assert np.abs(maps[1].codes - maps[2].codes).max() > 0
    # Beside the others, the default is none.
    ran = estimate(source, tmp_path / "default.npz", "--no-preview", depth="auto")
    assert ran.code == 0
    assert (tmp_path / "default.npz").read_bytes() == (tmp_path / "0.npz").read_bytes()


def test_it_repeats_to_the_byte(
    estimate: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", 30, 26)
    for name in ("a", "b"):
        assert estimate(source, tmp_path / f"{name}.npz", "--preview", tmp_path / f"{name}.png").code == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("bands", "depth"), [(1, 8), (2, 8), (4, 8), (3, 16), (4, 16)], ids=lambda value: str(value)
)
def test_gray_alpha_and_16_bit(
    estimate: Callable[..., Any],
    upscale: Callable[..., Any],
    save: Callable[..., Path],
    tmp_path: Path,
    bands: int,
    depth: int,
) -> None:
    source = save(tmp_path / "in.png", 24, 22, bands=bands, depth=depth)
    ran = estimate(source, tmp_path / "map.npz", "--json")
    assert ran.code == 0
    assert ran.records[0]["warnings"] == (["alpha was ignored"] if bands in (2, 4) else [])
    assert (f"warning: {source}: alpha was ignored" in ran.err) == (bands in (2, 4))
    assert upscale(source, tmp_path / "out.png", "--kernel-map", tmp_path / "map.npz").code == 0
    assert read_image(tmp_path / "out.png").pixels.shape == (44, 48, bands)


def test_small_and_constant_images(estimate: Callable[..., Any], tmp_path: Path) -> None:
    from srkit.io.image import DecodedImage
    from srkit.io.write import write_image

    write_image(DecodedImage(np.full((5, 7, 3), 77, np.uint8)), tmp_path / "small.png", format="png")
    ran = estimate(tmp_path / "small.png", tmp_path / "out.npz", "--json")
    assert ran.code == 0
    (record,) = ran.records
    assert record["confidence"] == 0
    assert any("smaller than a kernel" in warning for warning in record["warnings"])
    assert any("nothing can be known of its blur" in warning for warning in record["warnings"])
    assert not read_kernel_map(tmp_path / "out.npz").confidence.any()


def test_depth_maps(estimate: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a", "b", "c"):
        save(folder / f"{name}.png", 30, 26)
    depths = tmp_path / "depths"
    save(depths / "a.png", 40, 40, bands=1, depth=16)
    ramp = np.linspace(0, 1, 26 * 30, dtype=np.float32).reshape(26, 30)
    ramp[2, 3] = np.nan
    np.save(depths / "b.npy", ramp)
    ran = estimate(folder, tmp_path / "out", "--json", depth=depths)
    assert ran.code == 3
    a, b, c = ran.records
    assert (a["status"], b["status"], c["status"]) == ("done", "done", "failed")
    assert ["resized" in warning for warning in a["warnings"]] == [True]
    assert ["no numbers" in warning for warning in b["warnings"]] == [True]
    assert "no depth map for 'c'" in c["error"]
    assert (a["depth"], a["rounds"]) == (str(depths), 0)
    assert read_kernel_map(tmp_path / "out/b.npz").depth[-1, -1] == 1
    assert names_in(tmp_path / "out") == ["a.npz", "a.preview.png", "b.npz", "b.preview.png"]


# -- folders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(save: Callable[..., Path], tmp_path: Path) -> Path:
    """Three images, two of which share a name, and one that is none."""
    for name in ("a.png", "b.png", "b.jpg", "deep/c.png"):
        save(tmp_path / "in" / name, 24, 22)
    (tmp_path / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "in"


def test_a_folder(
    estimate: Callable[..., Any],
    upscale: Callable[..., Any],
    schema: Callable[[str], Any],
    folder: Path,
    tmp_path: Path,
) -> None:
    ran = estimate(folder, tmp_path / "maps", "-r", "--json", "--no-preview")
    assert ran.code == 3
    for record in ran.records:
        schema("estimate-kernel").validate(record)
    assert ran.status["broken.png"] == "failed"
    assert names_in(tmp_path / "maps") == ["a.npz", "b.jpg.npz", "b.png.npz", "deep/c.npz"]
    again = estimate(folder, tmp_path / "maps", "-r", "--json", "--no-preview", "--skip-existing")
    assert again.code == 3
    assert set(again.status.values()) == {"skipped", "failed"}
    # And each image finds its own.
    done = upscale(folder, tmp_path / "out", "-r", "--json", "--kernel-map", tmp_path / "maps")
    assert done.code == 3
    assert [r["status"] for r in done.records].count("done") == 4
    (tmp_path / "maps/a.npz").unlink()
    fewer = upscale(folder, tmp_path / "out2", "--json", "--kernel-map", tmp_path / "maps")
    assert fewer.status["a.png"] == "failed"
    assert fewer.status["b.png"] == "done"
    assert any("no kernel map for 'a.png'" in str(record["error"]) for record in fewer.records)


def test_existing_outputs(estimate: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    source, target = save(tmp_path / "in.png"), tmp_path / "out.npz"
    target.write_text("earlier")
    ran = estimate(source, target)
    ran.refused(2, target)
    assert target.read_text() == "earlier"
    assert estimate(source, target, "--overwrite").code == 0
    read_kernel_map(target)
    target.unlink()
    ran = estimate(source, target)  # the preview is there still
    ran.refused(2, tmp_path / "out.preview.png")
    assert estimate(source, target, "--overwrite", "--skip-existing").code == 2


def test_a_disk_that_is_full_midway(
    server: Any, save: Callable[..., Path], dkenet_weights: Path, nbsr_weights: Path, tmp_path: Path
) -> None:
    for name, side in (("a", 8), ("b", 60), ("c", 8)):
        save(tmp_path / f"in/{name}.png", side, side)
    out = tmp_path / "out"
    models = ("-m", dkenet_weights, "--restorer", nbsr_weights, "--depth", "none", "--no-preview")
    ran = server.run(
        *("estimate-kernel", tmp_path / "in", out, "--json", *models),
        setup="import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20480, 20480))",
    )
    assert ran.code == 3
    assert [record["status"] for record in ran.records] == ["done", "failed", "failed"]
    assert str(out / "b.npz") in ran.records[1]["error"]
    assert ran.records[2]["error"] not in (None, ran.records[1]["error"])  # not tried
    assert [p.name for p in out.iterdir()] == ["a.npz"]


# -- what is refused before any work --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("in.png", "out.npz", "--scale", "0"), ("--scale", 0)),
        (("in.png", "out.npz", "--scale", "17"), ("--scale", 17, 2, 3, 4)),
        (("in.png", "out.npz", "--scale", "nan"), ("--scale",)),
        (("in.png", "out.npz", "--refine", "-1"), ("--refine", -1)),
        (("in.png", "out.npz", "--refine", "99"), ("--refine", 99)),
        (("in.png", "out.npz", "--grid", "0"), ("--grid", 0)),
        (("in.png", "out.npz", "--tile", "1"), ("--tile", 1)),
        (("in.png", "out.npz", "--tile", "x"), ("--tile", "x", "auto", "off")),
        (("in.png", "out.npz", "--threads", "0"), ("--threads", 0)),
        (("in.png", "out.npz", "--device", "toaster"), ("--device", "toaster")),
        (("in.png", "out.npz", "--depth", ""), ("--depth",)),
        (("in.png", "out.npz", "--depth", "nothing-like-it"), ("nothing-like-it",)),
        (("in.png", "out.png"), ("out.png", ".npz")),
        (("missing.png", "out.npz"), ("missing.png",)),
        (("in.png", "out.npz", "--preview", "a.jpg"), ("a.jpg", ".png")),
        (("in.png", "out.npz", "--preview", "no/a.png"), ("no/a.png",)),
        (("in.png", "out.npz", "--preview", "a.png", "--no-preview"), ("--preview", "--no-preview")),
        (("in.png", "out.npz", "--preview", "in.png", "--overwrite"), ("in.png",)),
        ((".", "../out", "--preview", "a.png"), ("--preview",)),
        ((".", "out"), ("out",)),
    ],
    ids=lambda value: " ".join(map(str, value))[-30:],
)
def test_values_and_paths_that_make_no_sense(
    estimate: Callable[..., Any],
    save: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    named: tuple[object, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in.png")
    estimate(*arguments).refused(2, *named)
    assert names_in(tmp_path) == ["in.png"]


def test_weights_that_are_missing_or_others(
    call: Callable[..., Any],
    save: Callable[..., Path],
    edsr_weights: Path,
    dkenet_weights: Path,
    tmp_path: Path,
) -> None:
    source, target = save(tmp_path / "in.png"), tmp_path / "new/out.npz"
    none = tmp_path / "none.safetensors"
    for flags, named in (
        (("-s", "3"), ("dkenet-x3",)),
        (("-m", none), (none,)),
        (("-m", edsr_weights), (edsr_weights, "sr", "kernels")),
        (("-m", dkenet_weights, "--restorer", none), (none,)),
    ):
        call("estimate-kernel", source, target, "--depth", "none", *flags).refused(5, *named)
    assert not target.parent.exists()


def test_help_imports_nothing_heavy(program: Callable[..., Any]) -> None:
    ran = program("estimate-kernel", "--help", interpreter=("-X", "importtime"))
    assert ran.code == 0
    modules = {line.rpartition("|")[2].strip() for line in ran.err.splitlines()}
    assert "srkit_cli.commands.estimate_kernel" in modules
    assert modules & {"torch", "numpy", "pyvips", "cv2", "PIL", "safetensors"} == set()


# -- upscale --kernel-map -------------------------------------------------------------------------------------------


@pytest.fixture
def pair(estimate: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """An image and its map."""
    source, target = save(tmp_path / "in.png", 30, 26), tmp_path / "in.npz"
    assert estimate(source, target, "--no-preview").code == 0
    return source, target


def test_the_map_is_put_to_use(
    upscale: Callable[..., Any],
    schema: Callable[[str], Any],
    pair: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    source, kernels = pair
    images = []
    for name, flags in (("a.png", ()), ("b.png", ("--tile", "16")), ("c.png", ("-s", "2"))):
        ran = upscale(source, tmp_path / name, "--json", "-q", "--kernel-map", kernels, *flags)
        assert (ran.code, ran.err) == (0, "")
        schema("upscale").validate(ran.records[0])
        assert ran.records[0]["models"] == ["restores-x2"]
        images.append(read_image(tmp_path / name).pixels.astype(int))
    assert images[0].shape == (52, 60, 3)
    assert np.abs(images[1] - images[0]).max() <= 1
    np.testing.assert_array_equal(images[2], images[0])
    ran = upscale(source, tmp_path / "d.png", "--width", "45", "--kernel-map", kernels)
    assert ran.code == 0
    assert read_image(tmp_path / "d.png").width == 45


def test_maps_that_do_not_fit(
    upscale: Callable[..., Any],
    call: Callable[..., Any],
    save: Callable[..., Path],
    pair: tuple[Path, Path],
    edsr_weights: Path,
    tmp_path: Path,
) -> None:
    source, kernels = pair
    other = save(tmp_path / "other.png", 26, 30)
    not_ours = tmp_path / "not-ours.npz"
    np.savez(not_ours, image=np.zeros(3))
    with np.load(kernels) as file:
        np.savez(tmp_path / "later.npz", **{**{k: file[k] for k in file.files}, "version": np.array(2)})
    target = tmp_path / "new/out.png"
    cases = [
        (other, ("--kernel-map", kernels), (kernels, "30 x 26", other)),
        (source, ("--kernel-map", kernels, "-s", "4"), ("--scale", 4, kernels)),
        (source, ("--kernel-map", kernels, "--width", "90"), (kernels, 3)),
        (source, ("--kernel-map", kernels, "--tta"), ("--tta",)),
        (source, ("--kernel-map", kernels, "-m", edsr_weights), ("tiny-x2",)),
        (source, ("--kernel-map", not_ours), (not_ours,)),
        (source, ("--kernel-map", tmp_path / "later.npz"), (tmp_path / "later.npz", 2, 1)),
        (source, ("--kernel-map", tmp_path / "missing.npz"), (tmp_path / "missing.npz",)),
        (source, ("--kernel-map", kernels, "--depth", "none"), ("--depth", "--kernel-map")),
        (tmp_path, ("--kernel-map", kernels), (kernels, tmp_path)),
    ]
    for given, flags, named in cases:
        for more in ((), ("--plan",)):
            output = target if given != tmp_path else tmp_path.parent / "elsewhere"
            upscale(given, output, *flags, *more).refused(2, *named)
    assert not target.parent.exists()


def test_through_standard_streams(
    server: Any, pair: tuple[Path, Path], nbsr_weights: Path, tmp_path: Path
) -> None:
    source, kernels = pair
    ran = server.run(
        *("upscale", "-", "-", "-m", nbsr_weights, "--kernel-map", kernels),
        stdin=source,
        stdout=tmp_path / "out.png",
    )
    assert ran.code == 0, ran.err
    assert read_image(tmp_path / "out.png").width == 60

"""Depth providers: what each gives, and what they say of what they cannot use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.archs.depth import CompactDepth
from srkit.encoders.depth import depth_provider, normalised, resized
from srkit.errors import ImageError, ResourceError, UsageError
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights
from tests.helpers import Listening, missing, refused
from tests.hostile import damaged

CPU = torch.device("cpu")
ARGUMENTS = {"widths": [4, 6, 8], "side": 32}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a tiny, randomly initialised depth network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CompactDepth(**ARGUMENTS)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("depth") / "tiny.safetensors"
    save_weights(path, network, Header("depth", ARGUMENTS, 1, task="depth"))
    return path


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """A map in 16 bit, one in 8 bit, one as an array."""
    ramp = np.linspace(0, 65535, 6 * 8).reshape(6, 8, 1).astype(np.uint16)
    write_image(DecodedImage(ramp), tmp_path / "fine.png", format="png")
    write_image(DecodedImage((ramp // 257).astype(np.uint8)), tmp_path / "coarse.png", format="png")
    np.save(tmp_path / "array.npy", 3 + 0.5 * ramp[:, :, 0].astype(np.float64) / 65535)
    return tmp_path


def _image(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))


def test_none_knows_nothing() -> None:
    provider = depth_provider("none", CPU)
    assert (provider.name, provider.sees_images) == ("none", False)
    assert torch.equal(provider.estimate(_image(3, 5)), torch.zeros(1, 1, 3, 5))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 24), (90, 70)])
def test_compact_gives_a_map_of_the_images_size(weights: Path, size: tuple[int, int]) -> None:
    provider = depth_provider("compact", CPU, weights=weights)
    x = _image(*size)
    found = provider.estimate(x)
    assert found.shape == (1, 1, *size)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.equal(found, provider.estimate(x, "a name"))
    if min(size) > 1:
        assert (float(found.min()), float(found.max())) == (0.0, 1.0)


def test_compact_sees_images_at_one_size(weights: Path) -> None:
    provider = depth_provider("auto", CPU, weights=weights)
    assert (provider.name, provider.sees_images) == ("compact", True)
    assert provider.version.startswith("sha256 ")
    low = torch.nn.functional.avg_pool2d(_image(64, 64), 8)
    x = torch.nn.functional.interpolate(low, scale_factor=8.0, mode="bicubic").clamp(0, 1)
    small = torch.nn.functional.interpolate(x, (32, 32), mode="area")
    found = resized(provider.estimate(x), (32, 32))
    assert float((found - provider.estimate(small)).abs().mean()) < 0.05


def test_maps_are_found_by_the_images_name(maps: Path) -> None:
    progress = Listening()
    provider = depth_provider(str(maps), CPU, progress=progress)
    assert not provider.sees_images
    x, ramp = _image(6, 8), torch.linspace(0, 1, 48).view(1, 1, 6, 8)
    for name, tolerance in (("fine.jpg", 1e-4), ("shots/coarse.tiff", 4e-3), ("array", 1e-4)):
        torch.testing.assert_close(provider.estimate(x, name), ramp, atol=tolerance, rtol=0)
    assert progress.warned == []
    for name in ("other.png", None):
        with refused(UsageError, maps, "array", "coarse", "fine", *(["other"] if name else [])):
            provider.estimate(x, name)


def test_maps_of_another_size_are_resized_and_that_is_said(maps: Path) -> None:
    progress = Listening()
    provider = depth_provider(str(maps), CPU, progress=progress)
    for size in ((3, 4), (12, 16)):
        found = provider.estimate(_image(*size), "fine")
        assert found.shape == (1, 1, *size)
        assert (float(found.min()), float(found.max())) == (0.0, 1.0)
        assert bool((found[0, 0, 1:] > found[0, 0, :-1]).all())  # still rising downwards
    assert not missing(progress.warned[0], ("fine.png", "8 x 6", "4 x 3"))
    assert len(progress.warned) == 2


def test_maps_with_what_is_no_number(maps: Path) -> None:
    progress = Listening()
    values = np.arange(1.0, 7).reshape(2, 3)
    values[1, 2], values[0, 1] = np.nan, np.inf
    np.save(maps / "holes.npy", values)
    provider = depth_provider(str(maps), CPU, progress=progress)
    found = provider.estimate(_image(2, 3), "holes")
    torch.testing.assert_close(found[0, 0], torch.tensor([[0, 0, 0.5], [0.75, 1, 0]]))
    assert len(progress.warned) == len(progress.about("holes.npy", 2)) == 1


def test_maps_that_cannot_be_used(maps: Path) -> None:
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[..., 0] = 9
    write_image(DecodedImage(colours), maps / "colour.png", format="png")
    np.save(maps / "empty.npy", np.full((3, 3), np.nan))
    np.save(maps / "deep.npy", np.zeros((3, 3, 3)))
    np.save(maps / "words.npy", np.array([["a"]]))
    (maps / "broken.npy").write_bytes(b"\x93NUMPY\x01")
    provider = depth_provider(str(maps), CPU)
    for name, named in (
        ("colour", "colour.png"),
        ("empty", "empty.npy"),
        ("deep", (3, 3, 3)),
        ("words", "<U1"),
        ("broken", "broken.npy"),
    ):
        with refused(ImageError, maps / f"{name}{'.png' if name == 'colour' else '.npy'}", named):
            provider.estimate(_image(4, 4), name)


def test_a_gray_map_saved_in_colour_and_one_with_a_third_side(maps: Path) -> None:
    gray = np.repeat(np.array([[[0], [255]]], np.uint8), 3, axis=2)
    write_image(DecodedImage(gray), maps / "rgb.png", format="png")
    np.save(maps / "first.npy", np.array([[[0.0, 2.0]]]))
    np.save(maps / "last.npy", np.array([[[0.0], [2.0]]]))
    provider = depth_provider(str(maps), CPU)
    for name in ("rgb", "first", "last"):
        assert provider.estimate(_image(1, 2), name).tolist() == [[[[0.0, 1.0]]]]


def test_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with refused(ResourceError, "transformers", "srkit[depth]"):
        depth_provider("depth-anything", CPU)


def test_normalised_by_percentiles() -> None:
    depth = torch.arange(1000.0).view(1, 1, 20, 50)
    depth[0, 0, 0, 0], depth[0, 0, 0, 1] = -1e6, 1e6  # outliers
    found = normalised(depth)
    assert float(found.min()) == 0
    assert float(found.max()) == 1
    assert float(found.flatten()[500]) == pytest.approx(0.5, abs=0.01)
    assert float((found == 0).float().mean()) == pytest.approx(0.02, abs=0.003)
    exact = normalised(depth, (0.0, 1.0))
    assert float(exact.flatten()[500]) == pytest.approx(0.5, abs=1e-3)
    assert float((exact == 0).sum()) == 1


@pytest.mark.parametrize("value", [0.0, 0.3, -7e8])
def test_a_flat_map_tells_nothing(value: float) -> None:
    assert not bool(normalised(torch.full((1, 1, 5, 6), value)).any())


def test_normalised_takes_large_maps() -> None:
    depth = torch.linspace(0, 1, 4500 * 4000).view(1, 1, 4500, 4000)  # more than torch.quantile takes
    assert float(normalised(depth)[0, 0, 2250, 0]) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("names", [["._a.npy", "a.npy"], ["a.png", "a.npy", ".a.png"], ["a.jpg"], ["a.TIF"]])
def test_which_files_of_a_folder_are_maps(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        if name.startswith("."):
            (tmp_path / name).write_bytes(b"not ours")
        elif name.endswith(".npy"):
            np.save(tmp_path / name, np.array([[0.0, 1.0], [2.0, 4.0]]))
        else:
            gray = DecodedImage(np.array([[[0], [64]], [[128], [255]]], np.uint8))
            write_image(gray, tmp_path / name, format={"TIF": "tiff"}.get(name[-3:], name.split(".")[1]))
    depth = depth_provider(str(tmp_path), CPU).estimate(torch.zeros(1, 3, 2, 2), "a.jpg")
    assert depth.shape == (1, 1, 2, 2)
    assert depth[0, 0, 1, 0] == pytest.approx(0.5, abs=0.02)


def test_damaged_arrays_are_refused_or_read(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", np.random.default_rng(0).random((6, 7)))
    whole = (tmp_path / "whole.npy").read_bytes()
    maps = depth_provider(str(tmp_path), CPU)
    refused = 0
    for seed in range(300):
        (tmp_path / "whole.npy").write_bytes(damaged(whole, np.random.default_rng(seed)))
        try:
            depth = maps.estimate(torch.zeros(1, 3, 6, 7), "whole.png")
        except ImageError:
            refused += 1
        else:
            assert bool(depth.isfinite().all())
    assert 150 < refused < 300

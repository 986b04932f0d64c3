"""Weights between those of two networks, and the pairs that dials go between."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from srkit.archs.edsr import EDSR
from srkit.errors import UsageError
from srkit.inference.chain import Models
from srkit.zoo import manifest as manifest_module
from srkit.zoo.blend import blend, header_pair, pair_of, turned
from srkit.zoo.files import sha256_of
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.manifest import read_entries, register
from srkit.zoo.weights import load_weights, save_weights
from tests.helpers import refused

ARGUMENTS = {"scale": 2, "features": 4, "blocks": 1, "upsampler": "single"}
HEADER = Header(arch="edsr", arguments=ARGUMENTS, scale=2, overlap=3, recipe="psnr", licence="CC0-1.0")


def _saved(path: Path, seed: int, header: Header = HEADER) -> LoadedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_weights(path, EDSR(**header.arguments), header)
    return load_weights(path)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[LoadedModel, LoadedModel]:
    end = replace(HEADER, overlap=5, recipe="gan", licence="MIT", pairs={"strength": "start.safetensors"})
    return _saved(tmp_path / "start.safetensors", 1), _saved(tmp_path / "end.safetensors", 2, end)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shipped: start-x2, light-x2, and real-x2, which has both as pairs."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for seed, name in enumerate(("start-x2", "light-x2", "real-x2")):
        _saved(folder / f"{name}.safetensors", seed)
        pairs = {"strength": "start-x2", "denoise": "light-x2"} if name == "real-x2" else None
        register(folder / f"{name}.safetensors", name, "Tiny.", pairs)
    monkeypatch.setattr(manifest_module, "weights_dir", lambda: folder)
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_weights_lie_between(pair: tuple[LoadedModel, LoadedModel], alpha: float) -> None:
    start, end = pair
    before = {name: tensor.clone() for name, tensor in start.network.state_dict().items()}
    found = blend(start, end, alpha).network.state_dict()
    for name, tensor in end.network.state_dict().items():
        expected = (1 - alpha) * start.network.state_dict()[name].double() + alpha * tensor.double()
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-3, atol=1e-6)
        assert torch.equal(before[name], start.network.state_dict()[name])


def test_the_header_says_what_it_was_made_of(pair: tuple[LoadedModel, LoadedModel], tmp_path: Path) -> None:
    start, end = pair
    between = blend(start, end, 0.4)
    path = tmp_path / "between.safetensors"
    assert between.header is not None
    save_weights(path, between.network, between.header)
    read = load_weights(path)
    assert read.header is not None
    assert read.header.blended == {
        "alpha": 0.4,
        "of": [
            {"name": "start", "sha256": sha256_of(start.path), "licence": "CC0-1.0"},
            {"name": "end", "sha256": sha256_of(end.path), "licence": "MIT"},
        ],
    }
    assert read.header.licence == "CC0-1.0 and MIT"
    assert read.overlap == 5
    # What is made at loading is what the file holds.
    assert read.sha256 == between.sha256
    x = torch.rand(1, 3, 6, 6)
    assert torch.equal(read.network(x), between.network(x))


@pytest.mark.parametrize("alpha", [-0.1, 1.5, math.nan, math.inf])
def test_alphas_that_are_none(pair: tuple[LoadedModel, LoadedModel], alpha: float) -> None:
    with refused(UsageError, "alpha", f"{alpha:g}"):
        blend(*pair, alpha)


def test_other_networks_are_refused(pair: tuple[LoadedModel, LoadedModel], tmp_path: Path) -> None:
    _, end = pair
    wide = _saved(tmp_path / "wide.safetensors", 3, replace(HEADER, arguments=ARGUMENTS | {"features": 8}))
    large = _saved(
        tmp_path / "large.safetensors", 3, replace(HEADER, scale=4, arguments=ARGUMENTS | {"scale": 4})
    )
    with refused(UsageError, "wide", "end", "arguments", "features"):
        blend(wide, end, 0.5)
    with refused(UsageError, "large", "arguments", "scale"):
        blend(large, end, 0.5)
    with refused(UsageError, "providers"):
        blend(_with(end, providers={"semantic": "a"}), _with(end, providers={"semantic": "b"}), 0.5)
    with refused(UsageError, end.path):
        blend(end, replace(end, header=None), 0.5)


def _with(model: LoadedModel, **values: object) -> LoadedModel:
    assert model.header is not None
    return replace(model, header=replace(model.header, **values))  # type: ignore[arg-type]


def test_dials_go_from_the_other_network_to_the_model(shipped: Path) -> None:
    x = torch.rand(1, 3, 6, 6)
    real, start, light = (load_model(f"{name}-x2") for name in ("real", "start", "light"))

    def given(**dials: float) -> torch.Tensor:
        out: torch.Tensor = Models("real", dials=dials).get(2).network(x)
        return out

    for dial, other in (("strength", start), ("denoise", light)):
        assert torch.equal(given(**{dial: 1}), real.network(x))
        assert torch.equal(given(**{dial: 0}), other.network(x))
        assert torch.equal(given(**{dial: 0.3}), blend(other, real, 0.3).network(x))
    both = blend(light, blend(start, real, 0.5), 0.25)
    assert torch.equal(given(strength=0.5, denoise=0.25), both.network(x))
    assert both.header is not None
    assert both.header.blended["of"][1]["blended"]["of"][0]["name"] == "start-x2"


def test_a_model_without_a_pair_is_refused(shipped: Path) -> None:
    with refused(UsageError, "strength", "start-x2", "real-x2"):
        turned(load_model("start-x2"), {"strength": 0.5})
    with refused(UsageError, "denoise", "real-x2"):
        Models("light", dials={"denoise": 0.5})
    with refused(UsageError, "strength", "1.5"):
        turned(load_model("real-x2"), {"strength": 1.5})


def test_a_file_names_its_start(pair: tuple[LoadedModel, LoadedModel], shipped: Path, tmp_path: Path) -> None:
    start, end = pair
    assert pair_of(end, "strength") == start.path
    assert pair_of(end, "denoise") is None
    assert header_pair(str(start.path), tmp_path / "run") == "../start.safetensors"
    assert header_pair("start-x2", tmp_path) == "start-x2"
    # A file that is called as a shipped model is none.
    copy = tmp_path / "real-x2.safetensors"
    copy.write_bytes(start.path.read_bytes())
    assert pair_of(load_weights(copy), "strength") is None
    x = torch.rand(1, 3, 6, 6)
    assert torch.equal(
        Models(str(end.path), dials={"strength": 0.3}).get(2).network(x), blend(start, end, 0.3).network(x)
    )


def test_registering_anew_keeps_the_pairs(shipped: Path) -> None:
    register(shipped / "real-x2.safetensors", "real-x2", "Another word.")
    pairs = {entry.name: entry.pairs for entry in read_entries(shipped / "manifest.json")}
    assert pairs == {
        "start-x2": {},
        "light-x2": {},
        "real-x2": {"strength": "start-x2", "denoise": "light-x2"},
    }

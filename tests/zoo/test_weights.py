"""Our own weights files: header, saving, loading, and everything that can be wrong with one."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from srkit.archs.edsr import EDSR
from srkit.errors import ResourceError
from srkit.zoo.files import sha256_of
from srkit.zoo.header import METADATA_KEY, Header
from srkit.zoo.load import load_model
from srkit.zoo.weights import has_header, load_weights, read_header, read_tensors, save_weights
from tests.helpers import refused

ARGUMENTS = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}
HEADER = Header(
    arch="edsr",
    arguments=ARGUMENTS,
    scale=2,
    overlap=3,
    normalisation="minus the DIV2K mean",
    providers={"semantic": "compact 1"},
    recipe="edsr",
    recipe_sha256="0" * 64,
    licence="Apache-2.0",
    training_data="rendered",
    scores={"classical": {"Set5": {"psnr": 31.25, "ssim": 0.88}}},
)


@pytest.fixture
def network() -> EDSR:
    torch.manual_seed(0)
    return EDSR(**ARGUMENTS)  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path, network: EDSR) -> Path:
    path = tmp_path / "small-x2.safetensors"
    save_weights(path, network, HEADER)
    return path


def test_a_header_says_what_was_built(tmp_path: Path, network: EDSR) -> None:
    """Blocks between stages that the network does not have are not claimed."""
    asked = replace(HEADER, arguments=ARGUMENTS | {"blocks_between": 2})
    save_weights(tmp_path / "asked.safetensors", network, asked)
    written = read_header(tmp_path / "asked.safetensors")
    assert written == replace(asked, arguments=ARGUMENTS | {"blocks_between": 0})


def test_header_survives_the_file(weights: Path) -> None:
    assert read_header(weights) == HEADER
    assert has_header(weights)


def test_loaded_network_is_the_saved_one(weights: Path, network: EDSR) -> None:
    model = load_weights(weights)
    x = torch.rand(1, 3, 9, 7)
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    assert torch.equal(model.network(x), network(x))
    assert (model.name, model.source, model.overlap, model.info) == ("small-x2", "srkit", 3, network.info)
    assert model.sha256 == sha256_of(weights)
    assert model.header == HEADER
    assert not model.network.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in model.network.parameters())


def test_float32_is_exact(tmp_path: Path, network: EDSR) -> None:
    path = tmp_path / "exact.safetensors"
    save_weights(path, network, HEADER, dtype=torch.float32)
    x = torch.rand(1, 3, 5, 5)
    assert torch.equal(load_weights(path).network(x), network(x))


def test_overlap_defaults_to_the_receptive_field(tmp_path: Path, network: EDSR) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, network, replace(HEADER, overlap=None))
    assert load_weights(path).overlap == network.info.receptive_field


def test_equal_weights_make_equal_files(tmp_path: Path, network: EDSR, weights: Path) -> None:
    again = tmp_path / "again.safetensors"
    save_weights(again, network, HEADER)
    assert again.read_bytes() == weights.read_bytes()


def test_saving_leaves_nothing_beside_and_replaces(weights: Path, network: EDSR) -> None:
    save_weights(weights, network, replace(HEADER, recipe="other"))
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]
    assert read_header(weights).recipe == "other"


def test_loading_leaves_random_numbers_alone(weights: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_weights(weights)
    assert torch.equal(torch.rand(3), expected)


def test_values_beyond_fp16_are_refused(tmp_path: Path, network: EDSR) -> None:
    network.trunk.head.weight.data[0] = 1e6
    path = tmp_path / "w.safetensors"
    with refused(ResourceError, "trunk.head.weight", "torch.float16"):
        save_weights(path, network, HEADER)
    assert not path.exists()
    save_weights(path, network, HEADER, dtype=torch.float32)
    assert path.exists()


def test_a_header_must_fit_json(tmp_path: Path, network: EDSR) -> None:
    with refused(ResourceError, "edsr", "JSON"):
        save_weights(tmp_path / "w.safetensors", network, replace(HEADER, scores={"psnr": float("nan")}))
    assert list(tmp_path.iterdir()) == []


# -- learned rates ------------------------------------------------------------------------------------------


def _rates(network: EDSR) -> dict[str, torch.Tensor]:
    """One for all of a tensor, and one for each element of another."""
    return {
        "trunk.head.weight": torch.tensor(-4.123456),
        "trunk.tail.bias": torch.randn(network.trunk.tail.bias.shape) - 7,  # type: ignore[union-attr]
    }


def test_rates_travel_beside_the_weights(tmp_path: Path, network: EDSR, weights: Path) -> None:
    path, rates = tmp_path / "w.safetensors", _rates(network)
    save_weights(path, network, HEADER, rates=rates)
    model, without = load_weights(path), load_weights(weights)
    assert model.rates.keys() == rates.keys()
    assert all(torch.equal(model.rates[name], rate) for name, rate in rates.items())
    assert without.rates == {}
    x = torch.rand(1, 3, 5, 5)
    assert torch.equal(model.network(x), without.network(x))
    assert load_model(path).rates.keys() == rates.keys()


@pytest.mark.parametrize(
    ("name", "rate", "named"),
    [
        ("trunk.head.weights", torch.zeros(()), ()),
        ("trunk.head.bias", torch.zeros(3), ((3,), (8,))),
        ("trunk.head.bias", torch.tensor(float("-inf")), ()),
    ],
)
def test_rates_that_do_not_fit(
    tmp_path: Path, network: EDSR, name: str, rate: torch.Tensor, named: tuple[object, ...]
) -> None:
    path = tmp_path / "w.safetensors"
    with refused(ResourceError, path, name, *named):
        save_weights(path, network, HEADER, rates={name: rate})
    assert not path.exists()
    tensors = {n: t.contiguous() for n, t in network.state_dict().items()} | {f"rates.{name}": rate}
    save_file(tensors, path, metadata=HEADER.to_metadata())
    with refused(ResourceError, path, name, *named):
        load_weights(path)


def _with_header(path: Path, network: EDSR, text: str) -> Path:
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata={METADATA_KEY: text})
    return path


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format_version": 2}, (2, 1)),
        ({"arch": "edrs"}, ("edrs", "edsr")),
        ({"arguments": {"colour": 3}}, ("edsr", "colour")),
        ({"arguments": {**ARGUMENTS, "scale": 5}}, ("EDSR", 5)),
        ({"arguments": {**ARGUMENTS, "features": 9}}, ()),
        ({"arguments": {**ARGUMENTS, "blocks": 2}}, ()),
        ({"scale": 4}, ("scale", 4)),
        ({"scale": "2"}, ("scale", "'2'")),
        ({"scale": True}, ("scale", True)),
        ({"overlap": "wide"}, ("overlap", "wide")),
        ({"task": "kernel"}, ("kernel", "sr")),
    ],
)
def test_headers_that_do_not_describe_the_file(
    tmp_path: Path, network: EDSR, change: dict[str, object], named: tuple[object, ...]
) -> None:
    content = json.loads(HEADER.to_metadata()[METADATA_KEY]) | change
    path = _with_header(tmp_path / "w.safetensors", network, json.dumps(content))
    with refused(ResourceError, path, *named):
        load_model(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"arch": "edsr"}'])
def test_damaged_headers(tmp_path: Path, network: EDSR, text: str) -> None:
    with refused(ResourceError, tmp_path / "w.safetensors"):
        read_header(_with_header(tmp_path / "w.safetensors", network, text))


def test_fields_of_later_versions_are_passed_over(tmp_path: Path, network: EDSR) -> None:
    content = json.loads(HEADER.to_metadata()[METADATA_KEY]) | {"mood": "good"}
    path = _with_header(tmp_path / "w.safetensors", network, json.dumps(content))
    assert read_header(path) == HEADER


def test_no_header(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    assert not has_header(path)
    with refused(ResourceError, path):
        read_header(path)
    assert torch.equal(read_tensors(path)["x"], torch.zeros(1))


@pytest.mark.parametrize("kept", [4, 100, -20])
def test_truncated(weights: Path, kept: int) -> None:
    weights.write_bytes(weights.read_bytes()[:kept])
    with refused(ResourceError, weights):
        load_weights(weights)


def test_header_length_beyond_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with refused(ResourceError, path):
        read_header(path)

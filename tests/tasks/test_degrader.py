"""A reconstructor with the providers that it was trained with, or a sentence that says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from srkit.archs.reconstructor import Reconstructor
from srkit.encoders.compact import random_compact
from srkit.errors import ResourceError
from srkit.tasks.degrader import Degrader, load_degrader, shipped_reconstructors
from srkit.training.controller import Controller
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

CPU = torch.device("cpu")
ARGUMENTS: dict[str, Any] = {
    "scale": 2,
    "features": 6,
    "image_blocks": 1,
    "degradation_blocks": 1,
    "blocks": 1,
    "embedding": 8,
    "described": 24,
}


def _header(**changes: Any) -> Header:
    version = random_compact(CPU).version
    providers = {"distance": "random", "distance version": version}
    providers |= {"far": "random", "far stage": "stage1", "far version": version}
    header = Header(
        "reconstructor",
        ARGUMENTS,
        2,
        "reconstructor",
        providers=providers,
        controller={"reference": 0.4, "noise_std": 0.1},
    )
    return replace(header, **changes)


def _file(folder: Path, header: Header) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Reconstructor(**ARGUMENTS)
    path = folder / "small.safetensors"
    save_weights(path, network, header)
    return str(path)


@pytest.fixture
def degrader(tmp_path: Path) -> Degrader:
    return load_degrader(_file(tmp_path, _header()), 2, CPU, None)


def test_what_it_is_made_of(degrader: Degrader) -> None:
    assert degrader.controller == Controller(0.4, 0.1)
    assert (degrader.distance.name, degrader.stage.encoder, degrader.stage.stage) == (
        "random",
        "random",
        "stage1",
    )
    assert not any(parameter.requires_grad for parameter in degrader.network.parameters())
    assert not degrader.network.training
    assert degrader.header["reconstructor"] == "small"
    assert degrader.header["distance version"] == degrader.distance.version


def test_its_parts_are_the_network_s(degrader: Degrader) -> None:
    lr, hr = torch.rand(2, 3, 24, 24), torch.rand(2, 3, 48, 48)
    embedding, features = degrader.embed(lr), degrader.image_features(hr)
    assert torch.equal(embedding, degrader.network.embed(lr))
    made = degrader.reconstruct(embedding, features)
    assert torch.equal(made, degrader.network.reconstruct(embedding, features))
    assert degrader.far(degrader.network, hr).shape == (2,)
    assert degrader.quality_distance(lr, hr).shape == (2,)


def test_gradient_reaches_the_picture_alone(degrader: Degrader) -> None:
    lr, hr = torch.rand(1, 3, 24, 24), torch.rand(1, 3, 48, 48, requires_grad=True)
    made = degrader.reconstruct(degrader.embed(lr), degrader.image_features(hr))
    torch.autograd.backward((made - lr).abs().mean() + degrader.far(degrader.network, hr).mean())
    assert hr.grad is not None
    assert bool((hr.grad != 0).any())
    assert all(parameter.grad is None for parameter in degrader.network.parameters())


def test_without_a_controller(tmp_path: Path) -> None:
    assert load_degrader(_file(tmp_path, _header(controller={})), 2, CPU, None).controller is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"providers": {}}, "name a provider that is not to be had: There is no perceptual distance ''"),
        ({"controller": {"reference": 0.4}}, "expected 'reference' and 'noise_std'"),
        ({"task": "sr"}, "for the task 'sr'; expected 'reconstructor'"),
    ],
)
def test_headers_that_do_not_serve(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ResourceError, match=words):
        load_degrader(_file(tmp_path, _header(**changes)), 2, CPU, None)


def test_another_encoder_than_it_was_trained_with(tmp_path: Path) -> None:
    header = _header()
    other = replace(header, providers=header.providers | {"far version": "compact, seed 1"})
    with pytest.raises(
        ResourceError, match=r"trained with 'random' \(compact, seed 1\), and here it is another"
    ):
        load_degrader(_file(tmp_path, other), 2, CPU, None)


def test_another_scale_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"is for x2, and x4 is needed.*arguments.scale=4"):
        load_degrader(_file(tmp_path, _header()), 4, CPU, None)
    with pytest.raises(ResourceError, match="There is no shipped reconstructor for x7"):
        load_degrader("auto", 7, CPU, None)
    with pytest.raises(ResourceError, match=r"There is no model and no file 'reconstructor-x7'"):
        load_degrader("reconstructor-x7", 4, CPU, None)


def test_auto_is_what_is_shipped() -> None:
    for scale, name in shipped_reconstructors().items():
        assert load_degrader("auto", scale, CPU, None).model.name == name

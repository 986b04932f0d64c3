"""A reconstructor with the providers that it was trained with, or a sentence that says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from srkit.errors import ResourceError
from srkit.inference.degrader import Degrader, load_degrader, shipped_reconstructors
from srkit.training.controller import Controller
from srkit.zoo.header import read_header
from srkit.zoo.weights import load_weights, save_weights
from tests.helpers import refused

CPU = torch.device("cpu")


def _changed(weights: Path, folder: Path, **changes: Any) -> str:
    """The file once more, with another header."""
    model = load_weights(weights)
    assert model.header is not None
    path = folder / "changed.safetensors"
    save_weights(path, model.network, replace(model.header, **changes))
    return str(path)


@pytest.fixture(scope="module")
def degrader(reconstructor_weights: Path) -> Degrader:
    return load_degrader(str(reconstructor_weights), 2, CPU, None)


def test_what_it_is_made_of(degrader: Degrader) -> None:
    assert degrader.controller == Controller(0.1)
    assert (degrader.distance.name, degrader.stage.encoder, degrader.stage.stage) == (
        "random",
        "random",
        "stage1",
    )
    assert not any(parameter.requires_grad for parameter in degrader.network.parameters())
    assert not degrader.network.training
    assert degrader.header["reconstructor"] == "degrades-x2"
    assert degrader.header["distance version"] == degrader.distance.version


def test_its_parts_are_the_network_s(degrader: Degrader) -> None:
    lr, hr = torch.rand(2, 3, 24, 24), torch.rand(2, 3, 48, 48)
    estimated, features = degrader.estimate(lr), degrader.image_features(hr)
    assert all(map(torch.equal, estimated, degrader.network.estimate(lr)))
    made = degrader.reconstruct(estimated.embedding, features)
    assert torch.equal(made, degrader.network.reconstruct(estimated.embedding, features))
    assert degrader.far(degrader.network, hr).shape == (2,)
    assert degrader.quality_distance(lr, hr).shape == (2,)


def test_gradient_reaches_the_image_alone(degrader: Degrader) -> None:
    lr, hr = torch.rand(1, 3, 24, 24), torch.rand(1, 3, 48, 48, requires_grad=True)
    made = degrader.reconstruct(degrader.estimate(lr).embedding, degrader.image_features(hr))
    torch.autograd.backward((made - lr).abs().mean() + degrader.far(degrader.network, hr).mean())
    assert hr.grad is not None
    assert bool((hr.grad != 0).any())
    assert all(parameter.grad is None for parameter in degrader.network.parameters())


def test_without_a_controller(reconstructor_weights: Path, tmp_path: Path) -> None:
    without = _changed(reconstructor_weights, tmp_path, controller={})
    assert load_degrader(without, 2, CPU, None).controller is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"providers": {}}, ("''",)),
        ({"providers": {"far version": "compact, seed 1"}}, ("random", "compact, seed 1")),
        ({"controller": {"deviation": 0.4}}, ("noise_std",)),
        ({"task": "sr"}, ("sr", "reconstructor")),
    ],
)
def test_headers_that_do_not_serve(
    reconstructor_weights: Path, tmp_path: Path, changes: dict[str, Any], named: tuple[str, ...]
) -> None:
    if changes.get("providers"):
        changes = {"providers": read_header(reconstructor_weights).providers | changes["providers"]}
    with refused(ResourceError, *named):
        load_degrader(_changed(reconstructor_weights, tmp_path, **changes), 2, CPU, None)


def test_another_scale_and_none_at_all(reconstructor_weights: Path) -> None:
    for model, scale, named in (
        (str(reconstructor_weights), 4, ("x2", "x4")),
        ("auto", 7, ("x7",)),
        ("reconstructor-x7", 4, ("reconstructor-x7",)),
    ):
        with refused(ResourceError, *named):
            load_degrader(model, scale, CPU, None)


def test_auto_is_what_is_shipped() -> None:
    for scale, name in shipped_reconstructors().items():
        assert load_degrader("auto", scale, CPU, None).model.name == name

"""Networks and the encoders that their weights name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.conditioning.makers import Conditioning, ModelProviders, Sources
from srkit.conditioning.values import Condition, Coordinates
from srkit.encoders.semantic import semantic_encoder
from srkit.errors import ResourceError, UsageError
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import load_weights
from tests.helpers import refused

CPU = torch.device("cpu")
ALL = ("semantic", "tokens", "position")


@pytest.fixture
def model(cdasr_weights: Path) -> LoadedModel:
    return load_weights(cdasr_weights)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_encoder_sees_the_whole_image(rendered: Callable[..., NDArray[Any]], dtype: type) -> None:
    encoder = semantic_encoder("random", CPU)
    pixels = rendered(61, 47)
    image = pixels if dtype is np.uint8 else pixels.astype(np.uint16) * 257
    made = Conditioning(ALL, Sources(providers={"semantic": encoder}))(image)
    assert list(made) == list(ALL)
    with torch.inference_mode():
        expected = encoder.embed(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
    for name, value in (("semantic", expected.vector), ("tokens", expected.tokens)):
        condition = made[name]
        assert isinstance(condition, Condition)
        assert not condition.spatial
        torch.testing.assert_close(condition.value, value)
    assert isinstance(made["position"], Coordinates)


def test_only_what_the_network_takes() -> None:
    encoder = semantic_encoder("random", CPU)
    image = np.zeros((4, 4, 3), np.uint8)
    assert Conditioning()(image) == {}
    assert list(Conditioning(("position",))(image)) == ["position"]
    assert list(Conditioning(("semantic",), Sources(providers={"semantic": encoder}))(image)) == ["semantic"]


@pytest.mark.parametrize("names", [("prompt",), ("position", "tokens")])
def test_a_condition_that_nothing_gives(names: tuple[str, ...]) -> None:
    with refused(UsageError, names[-1]):
        Conditioning(names)


def test_models_of_one_encoder_share_it(model: LoadedModel) -> None:
    providers = ModelProviders(CPU)
    first, second = (providers.conditioning(model).sources.providers for _ in range(2))
    assert first is not second
    assert first["semantic"] is second["semantic"] is not None


def test_a_network_without_conditions_needs_no_encoder(model: LoadedModel) -> None:
    assert model.header is not None
    header = replace(model.header, providers={"semantic": "compakt", "semantic version": "1"})
    blind = replace(model, header=header, info=replace(model.info, conditioning=()))
    assert ModelProviders(CPU).conditioning(blind)(np.zeros((4, 4, 3), np.uint8)) == {}


@pytest.mark.parametrize(
    ("providers", "named"),
    [
        ({"semantic version": "compact, seed 1"}, ("random", "compact, seed 1")),
        ({"semantic": "randon"}, ("randon", "random")),
        ({"semantic": ""}, ()),
        ({"semantic version": ""}, ()),
    ],
)
def test_another_encoder_is_an_error(
    model: LoadedModel, providers: dict[str, str], named: tuple[str, ...]
) -> None:
    assert model.header is not None
    header = replace(model.header, providers={**model.header.providers, **providers})
    with refused(ResourceError, model.path, *named):
        ModelProviders(CPU).conditioning(replace(model, header=header))

"""Encoders by their names, and what the compact one promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.archs.compact import CompactEncoder
from srkit.encoders.compact import Compact
from srkit.encoders.semantic import Embedding, SemanticEncoder, semantic_encoder
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

CPU = torch.device("cpu")
ARGUMENTS: dict[str, Any] = {"widths": [8, 12], "blocks": [1, 0], "dim": 6, "side": 40}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = CompactEncoder(**ARGUMENTS)
    network.scales.copy_(torch.tensor([2.0, 4.0]))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, network, Header(arch="compact", arguments=ARGUMENTS, scale=1, task="encoder"))
    return path


@pytest.fixture(scope="module")
def encoder(file: Path) -> SemanticEncoder:
    return semantic_encoder("compact", CPU, weights=file)


def _images(rendered: Callable[..., NDArray[np.uint8]], height: int, width: int) -> Tensor:
    images = [torch.from_numpy(rendered(height, width, seed)).permute(2, 0, 1) for seed in (0, 1)]
    return torch.stack(images).float() / 255


def test_shapes_and_unit_length(encoder: SemanticEncoder, rendered: Callable[..., Any]) -> None:
    for height, width in ((40, 40), (96, 64), (20, 30)):
        embedding = encoder.embed(_images(rendered, height, width))
        assert isinstance(embedding, Embedding)
        assert embedding.vector.shape == (2, encoder.dim) == (2, 6)
        assert embedding.tokens.shape == (2, encoder.token_channels, 10, 10) == (2, 12, 10, 10)
        torch.testing.assert_close(embedding.vector.norm(dim=1), torch.ones(2))
        assert embedding.vector.dtype == embedding.tokens.dtype == torch.float32


def test_it_is_frozen_and_differentiable(encoder: SemanticEncoder, rendered: Callable[..., Any]) -> None:
    images = _images(rendered, 64, 48).requires_grad_()
    embedding = encoder.embed(images)
    torch.autograd.backward(embedding.vector[:, 0].sum() + embedding.tokens.square().sum())
    assert images.grad is not None
    assert bool((images.grad != 0).any((1, 2, 3)).all())
    assert isinstance(encoder, Compact)
    assert not any(parameter.requires_grad for parameter in encoder._network.parameters())


def test_the_whole_image_counts(encoder: SemanticEncoder, rendered: Callable[..., Any]) -> None:
    image = _images(rendered, 80, 80)[:1]
    changed = image.clone()
    changed[:, :, -8:, -8:] = 1 - changed[:, :, -8:, -8:]
    before, after = encoder.embed(image), encoder.embed(changed)
    assert not torch.equal(before.vector, after.vector)
    moved = (before.tokens - after.tokens).abs().amax(1)[0]
    assert float(moved[-1, -1]) > 0.01
    assert float(moved[0, 0]) == 0


def test_features_are_at_native_size_and_of_unit_scale(
    encoder: Compact, rendered: Callable[..., Any]
) -> None:
    images = _images(rendered, 64, 48)
    maps = encoder.features(images)
    assert [tuple(m.shape) for m in maps] == [(2, 8, 32, 24), (2, 12, 16, 12)]
    plain = encoder._network.stages(images)
    for scaled, stage, scale in zip(maps, plain, (2.0, 4.0), strict=True):
        torch.testing.assert_close(scaled * scale, stage)


def test_the_version_names_the_weights(encoder: SemanticEncoder, file: Path, tmp_path: Path) -> None:
    assert encoder.name == "compact"
    assert semantic_encoder("compact", CPU, weights=file).version == encoder.version
    other = tmp_path / "other.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = CompactEncoder(**ARGUMENTS)
    save_weights(other, network, Header(arch="compact", arguments=ARGUMENTS, scale=1, task="encoder"))
    assert semantic_encoder("compact", CPU, weights=other).version != encoder.version


def test_random_is_the_same_each_time(rendered: Callable[..., Any]) -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, second = (semantic_encoder("random", CPU) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    images = _images(rendered, 64, 64)
    assert torch.equal(first.embed(images).vector, second.embed(images).vector)
    assert (first.name, first.dim, first.token_channels) == ("random", 128, 256)
    assert first.version == second.version


def test_the_shipped_one_is_what_the_readme_says(rendered: Callable[..., Any]) -> None:
    encoder = semantic_encoder("compact", CPU)
    embedding = encoder.embed(_images(rendered, 128, 96))
    assert embedding.vector.shape == (2, 128)
    assert embedding.tokens.shape == (2, 256, 10, 10)

"""The gates of experiments/reconstructor_gates.py: they measure what they say, and the shipped reconstructors pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments import reconstructor_gates as gates
from srkit.archs.reconstructor import Reconstructor
from srkit.encoders.distance import perceptual_distance
from srkit.encoders.stages import encoder_stage
from srkit.inference.degrader import Degrader, load_degrader, shipped_reconstructors
from srkit.training.controller import Controller
from srkit.zoo.loaded import LoadedModel

CPU = torch.device("cpu")
SHIPPED = shipped_reconstructors()
COUNT = 40


@pytest.fixture(scope="module")
def images(rendered: Callable[..., NDArray[np.uint8]]) -> Tensor:
    cuts = [rendered(128, 128, seed) for seed in range(4)]
    return torch.stack([torch.from_numpy(cut).permute(2, 0, 1) for cut in cuts]).float() / 255


@pytest.fixture(scope="module")
def untrained() -> Degrader:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Reconstructor(4, 4, 1, 1, 1, 6, 24).eval().requires_grad_(False)
    model = LoadedModel(
        "untrained", network, network.info, 0, "", None, Path("none"), "srkit", "reconstructor"
    )
    distance, stage = perceptual_distance("random", CPU), encoder_stage("random", "stage1", CPU)
    return Degrader(model, network, distance, stage, Controller(), None)


def test_flaws_are_each_image_s_own(images: Tensor) -> None:
    for flaw in gates.FLAWS:
        found = gates.flawed(images, flaw)
        assert found.shape == images.shape
        assert all(float((a - b).abs().mean()) > 1e-3 for a, b in zip(found, images, strict=True))


def test_ridge_finds_what_is_linear() -> None:
    own = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    theirs = own @ torch.randn(5, 7, generator=torch.Generator().manual_seed(1)) + 3
    predicted, found = gates.Ridge(own[:100], theirs[:100])(own[100:], theirs[100:])
    assert float((predicted - found).norm() / found.norm()) < 0.05


def test_the_table_is_whole(untrained: Degrader, images: Tensor) -> None:
    lines = list(gates.table(untrained, images))
    assert sum(line.startswith("| fitted to clean") for line in lines) == 4
    assert sum("s adapting" in line for line in lines) == 2
    assert sum(line.startswith("- Embedding of another image") for line in lines) == len(gates.SWAPS)
    assert not any("nan" in line for line in lines)


def test_an_untrained_one_does_not_pass(untrained: Degrader, images: Tensor) -> None:
    assert min(gates.far_aucs(untrained, images).values()) < 0.8


def test_a_network_that_ignores_the_embedding_reacts_to_nothing(untrained: Degrader, images: Tensor) -> None:
    class Deaf(Reconstructor):
        def reconstruct(self, embedding: Tensor, features: Tensor, rng: Any = None) -> Tensor:
            return super().reconstruct(0 * embedding, features, rng)

    network = Deaf(4, 4, 1, 1, 1, 6, 24).eval()
    deaf = replace(untrained, network=network)
    assert gates.reaction(deaf, images) == 0
    assert gates.reaction(untrained, images) > 0
    for kind in gates.SWAPS:
        found = gates.swap(deaf, images, kind)
        assert (found.right, found.ratio) == (0, 1)
    assert gates.swap(deaf, images, "noise, sigma 20 in LR").own > 1
    assert gates.swap(deaf, images, "blur, sigma 1.5 LR pixels").own < 1


@pytest.fixture(scope="module")
def unseen() -> Tensor:
    """Centre crops of benchmarks, on which nothing was trained."""
    return gates.held_out_images(COUNT)


@pytest.fixture(scope="class")
def degrader(scale: int) -> Degrader:
    return load_degrader(SHIPPED[scale], scale, CPU, None)


@pytest.mark.data
@pytest.mark.parametrize("scale", sorted(SHIPPED), scope="class")
class TestShipped:
    def test_far_tells_flaws_from_none(self, degrader: Degrader, unseen: Tensor) -> None:
        found = gates.far_aucs(degrader, unseen)
        assert min(found.values()) >= 0.8, found

    @pytest.mark.parametrize("settings", ["mild", "real-esrgan"])
    def test_worse_images_are_reconstructed_less_well(
        self, degrader: Degrader, unseen: Tensor, settings: str
    ) -> None:
        found = gates.curves(degrader, unseen, settings)
        assert all(a > b for a, b in itertools.pairwise(found["adapting"])), found
        assert found["pretraining"][2] > found["pretraining"][0], found  # what the controller is for

    def test_it_reacts_to_the_controller(self, degrader: Degrader, unseen: Tensor) -> None:
        assert gates.reaction(degrader, unseen) > 0.1

    @pytest.mark.parametrize("kind", gates.SWAPS)
    def test_embeddings_of_others_change_it_the_right_way(
        self, degrader: Degrader, unseen: Tensor, kind: str
    ) -> None:
        assert gates.swap(degrader, unseen, kind).right >= 0.8

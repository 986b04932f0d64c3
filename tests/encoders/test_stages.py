"""A stage of an encoder by its name, and what there is none of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srkit.encoders.compact import Compact
from srkit.encoders.stages import STAGES, encoder_stage
from tests.encoders import clip_files

CPU = torch.device("cpu")


@pytest.mark.parametrize("number", range(4))
def test_stages_of_our_own_encoder(number: int) -> None:
    stage = encoder_stage("compact", STAGES[number], CPU)
    images = torch.rand(2, 3, 64, 48, requires_grad=True)
    maps = stage.maps(images)
    encoder = Compact(CPU)
    assert torch.equal(maps, encoder.features(images)[number])
    assert maps.shape == (2, stage.channels, 64 // 2 ** (number + 1), 48 // 2 ** (number + 1))
    assert (stage.encoder, stage.stage, stage.version) == ("compact", STAGES[number], encoder.version)
    (slope,) = torch.autograd.grad(maps.square().sum(), images)
    assert bool((slope != 0).any())


def test_stages_of_a_resnet_of_clip_s(tmp_path: Path) -> None:
    clip_files.register(tmp_path)
    network = clip_files.network("tiny-resnet")
    torch.save(network.state_dict(), tmp_path / "tiny.pt")
    stage = encoder_stage(f"open_clip:tiny-resnet:{tmp_path / 'tiny.pt'}", "stage2", CPU)
    assert stage.channels == 64
    assert stage.version.startswith("open_clip ")
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        wanted = network.visual.layer2(network.visual.layer1(network.visual.stem((images - mean) / std)))
    torch.testing.assert_close(stage.maps(images), wanted, atol=1e-4, rtol=1e-4)


def test_random_ones_are_others() -> None:
    ours, random = (encoder_stage(name, "stage2", CPU) for name in ("compact", "random"))
    x = torch.rand(1, 3, 32, 32)
    assert ours.version != random.version
    assert not torch.equal(ours.maps(x), random.maps(x))

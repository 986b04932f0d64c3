"""Names that no provider has, and weights that are another network's: what the errors name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from srkit.archs.edsr import EDSR
from srkit.encoders.depth import depth_provider
from srkit.encoders.distance import perceptual_distance
from srkit.encoders.features import perceptual_features
from srkit.encoders.judge import Judge
from srkit.encoders.semantic import semantic_encoder
from srkit.encoders.stages import encoder_stage
from srkit.errors import ResourceError, UsageError
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights
from tests.helpers import refused

CPU = torch.device("cpu")
WHOLE = "open_clip:MODEL:PRETRAINED_OR_FILE"
NAMES: list[tuple[Callable[..., Any], tuple[str, ...], tuple[str, ...]]] = [
    (semantic_encoder, ("compcat",), ("compcat", "compact", "random", WHOLE)),
    (semantic_encoder, ("",), ("''", "compact")),
    (semantic_encoder, ("compact:x",), ("compact:x", "compact")),
    *(
        (semantic_encoder, (f"open_clip{rest}",), (WHOLE,))
        for rest in ("", ":", ":ViT-B-32", ":ViT-B-32:", "::openai")
    ),
    (perceptual_features, ("vgg91",), ("vgg91", "vgg19", "compact")),
    (perceptual_features, ("vgg19:",), ("vgg19:", "vgg19:conv5_4")),
    (perceptual_features, ("vgg19:conv3_5",), ("conv3_5", "conv3_4")),
    (perceptual_distance, ("lpip",), ("lpip", "lpips", "auto", "compact", "random")),
    (encoder_stage, ("compact", "stage5"), ("stage5", "stage1", "stage4")),
    (encoder_stage, ("compakt", "stage1"), ("compakt", "compact")),
    (encoder_stage, ("vgg19", "stage1"), ("vgg19", "open_clip:RN50:PRETRAINED_OR_FILE")),
    (encoder_stage, ("open_clip:RN50", "stage1"), ("open_clip:RN50", "open_clip:RN50:PRETRAINED_OR_FILE")),
    (depth_provider, ("compcat",), ("compcat", "compact")),
    (depth_provider, ("/nowhere/at/all",), ("/nowhere/at/all", "depth-anything[:ID_OR_DIR]")),
    (depth_provider, ("dpt:",), ("dpt:", "dpt[:ID_OR_DIR]")),
]


@pytest.mark.parametrize(("make", "names", "named"), NAMES, ids=lambda x: getattr(x, "__name__", str(x)[:40]))
def test_names_that_are_none(
    make: Callable[..., Any], names: tuple[str, ...], named: tuple[str, ...]
) -> None:
    with refused(UsageError, *named):
        make(*names, CPU)


def test_a_folder_without_depth_maps(tmp_path: Path) -> None:
    with refused(UsageError, tmp_path):
        depth_provider(str(tmp_path), CPU)


def test_weights_of_another_network(edsr_weights: Path, tmp_path: Path) -> None:
    of_depth = tmp_path / "edsr.safetensors"
    save_weights(
        of_depth, EDSR(2, 4, 1), Header("edsr", {"scale": 2, "features": 4, "blocks": 1}, 2, "depth")
    )
    gone = tmp_path / "none.safetensors"
    cases: list[tuple[Callable[[], Any], tuple[object, ...]]] = [
        (lambda: semantic_encoder("compact", CPU, weights=gone), (gone,)),
        (lambda: semantic_encoder("compact", CPU, weights=edsr_weights), (edsr_weights, "sr", "encoder")),
        (lambda: Judge(CPU, edsr_weights), (edsr_weights, "sr", "judge")),
        (lambda: depth_provider("compact", CPU, weights=edsr_weights), (edsr_weights, "sr", "depth")),
        (lambda: depth_provider("compact", CPU, weights=of_depth), (of_depth, "edsr", "depth")),
    ]
    for make, named in cases:
        with refused(ResourceError, *named):
            make()

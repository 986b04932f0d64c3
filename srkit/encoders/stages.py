"""Single stages of frozen encoders, whose feature statistics differ between clean and degraded images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.encoders.semantic import OPEN_CLIP
from srkit.errors import UsageError, check_known, nearest
from srkit.progress import Progress

STAGES = ("stage1", "stage2", "stage3", "stage4")
_NAMES = _COMPACT, _RANDOM = "compact", "random"
_FORMS = (*_NAMES, f"{OPEN_CLIP}:RN50:PRETRAINED_OR_FILE")
_PROBE_SIDE = 64


@dataclass(frozen=True)
class EncoderStage:
    """Stage of an encoder; see `encoder_stage`."""

    encoder: str
    """Name of the encoder in recipes, and in headers of weights trained with it."""
    stage: str
    """Name of the stage, one of `STAGES`."""
    version: str
    """Identifier of the encoder's weights; equal versions give equal results."""
    channels: int
    """Number of channels C."""
    maps: Callable[[Tensor], Tensor]
    """Function from images (N, 3, H, W) in [0, 1], at their own size, to maps (N, C, h, w); differentiable."""


def encoder_stage(
    encoder: str, stage: str, device: torch.device, *, progress: Progress | None = None
) -> EncoderStage:
    """Load a stage of an encoder by name on a device, in fp32 or in the dtype of a surrounding autocast.

    Args:
        encoder: `compact` (small, trained by this project, shipped), `open_clip:RN50:PRETRAINED_OR_FILE` (a ResNet of
            CLIP's: `stage1` is its layer1), or `random` (`compact`'s network with random weights of a fixed seed, for
            tests).
        stage: one of `STAGES`, from bottom to top, each of half the resolution of the previous. The first has half the
            image's resolution in `compact`, a quarter in a ResNet.
        progress: display of downloads.

    Raises:
        UsageError: no such encoder or stage, or an encoder without stages.
        ResourceError: the weights are missing, damaged or unavailable, or a required package is.
    """
    check_known("stage", stage, STAGES)
    stages, version = _stages_of(encoder, device, progress)
    number = STAGES.index(stage)

    def maps(images: Tensor) -> Tensor:
        return stages(images)[number]

    with torch.no_grad():
        channels = maps(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE, device=device)).shape[1]
    return EncoderStage(encoder, stage, version, channels, maps)


def _stages_of(
    encoder: str, device: torch.device, progress: Progress | None
) -> tuple[Callable[[Tensor], list[Tensor]], str]:
    """Function from images to the maps of all four stages, and the version."""
    kind, _, rest = encoder.partition(":")
    if kind == OPEN_CLIP:
        model, _, pretrained = rest.partition(":")
        if not model or not pretrained:
            raise UsageError(f"The encoder '{encoder}' is not whole; expected {_FORMS[-1]}.")
        from srkit.encoders.open_clip import OpenClip

        clip = OpenClip(model, pretrained, device, progress)
        return clip.stages, clip.version
    if encoder not in _NAMES:
        raise UsageError(
            f"There is no encoder with stages '{encoder}'; known are {', '.join(_FORMS)}."
            f"{nearest(encoder, (*_NAMES, OPEN_CLIP))}"
        )
    from srkit.encoders.compact import Compact

    compact = Compact(device, random=encoder == _RANDOM)
    return compact.features, compact.version

"""ESRGAN's generator (Wang et al. 2018, ECCVW), as in Real-ESRGAN (Wang et al. 2021, ICCVW) at x4, x2 and x1.

Published weights use three naming schemes (`model.0`, `RRDB_trunk`, `body`); `own_names` converts all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import DIV2K_MEAN, NearestReconstruction, centred, check_min, check_scale
from srkit.archs.info import ArchInfo
from srkit.archs.trunks import RADIUS, RRDBTrunk
from srkit.errors import ResourceError
from srkit.ops.resize import upscale

_UNSHUFFLE = {4: 1, 2: 2, 1: 4}
"""Factor of PixelUnshuffle before the trunk, by scale; the rest of the network always upscales x4."""
SCALES = tuple(_UNSHUFFLE)
PUBLISHED_GROWTH = 32


class RRDBNet(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    Below x4 PixelUnshuffle reduces the image first and the trunk works at a smaller size, so both sides must be
    multiples of 2 (x2) or 4 (x1).

    Args:
        scale: 4, 2 or 1.
        features: channels of the trunk.
        blocks: RRDBs of the trunk (23 as published, 6 in the small variants).
        growth: channels that each convolution of a dense block adds.
        skip: False, as published: predict the image itself from the image. True: predict the residual over bicubic
            upscaling from the image less the mean colour, and take the sum in fp32, so that the network can run in
            bf16.

    Raises:
        UsageError: unsupported scale, or a number below 1.
    """

    def __init__(
        self, scale: int = 4, features: int = 64, blocks: int = 23, growth: int = 32, skip: bool = False
    ) -> None:
        super().__init__()
        check_scale("RRDBNet", scale, _UNSHUFFLE)
        check_min("RRDBNet", 1, features=features, blocks=blocks, growth=growth)
        self.scale, self.skip, self.growth = scale, skip, growth
        self.fold = _UNSHUFFLE[scale]
        self.trunk = RRDBTrunk(features, blocks, growth, 3 * self.fold**2)
        self.reconstruction = NearestReconstruction(features, (2, 2))
        radius = 2 + RADIUS * blocks + self.reconstruction.radius
        self.info = ArchInfo(
            scale=scale,
            receptive_field=self.fold * radius + self.fold - 1,
            multiple_of=self.fold,
            fp16_ok=True,
            fp32_sum=skip,
            bf16_ok=skip,  # 8 bits of mantissa are too few for computations on an 8-bit image
        )

    def forward(self, x: Tensor) -> Tensor:
        dtype = self.trunk.head.weight.dtype
        h = (centred(x) if self.skip else x).to(dtype)
        out: Tensor = self.reconstruction(self.trunk(F.pixel_unshuffle(h, self.fold) if self.fold > 1 else h))
        out = out.to(x.dtype)
        if not self.skip:
            return out
        return out + (upscale(x, self.scale) if self.scale > 1 else x)

    def published_state(self) -> dict[str, Tensor] | None:
        """Weights under the names of Real-ESRGAN's files, fp32; None for a variant that was not published."""
        if self.skip or self.growth != PUBLISHED_GROWTH:
            return None
        return {_published_name(name): value.float() for name, value in self.state_dict().items()}


def centred_trunk(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert a published x4 trunk for a network that feeds its trunk `centred` images.

    The subtracted mean colour moves into the first bias; the features differ only at the border, which is padded by
    zeros.

    Raises:
        ResourceError: the checkpoint has no x4 trunk.
    """
    state = {name: tensor for name, tensor in own_names(checkpoint).items() if name.startswith("trunk.")}
    weight, bias = state.get("trunk.head.weight"), state.get("trunk.head.bias")
    if weight is None or bias is None or weight.shape[1] != 3:
        raise _not_published("no trunk that takes three channels is there")
    state["trunk.head.bias"] = bias + weight.sum((2, 3)) @ weight.new_tensor(DIV2K_MEAN)
    return state


def own_names(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename a published checkpoint's tensors to `RRDBNet`'s names; unknown names are kept.

    Args:
        checkpoint: tensors by name, bare or under `params_ema`, `params` or `state_dict`, as `torch.load` gives them.
    """
    return {_own_name(name): tensor for name, tensor in published_tensors(checkpoint).items()}


def published_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, without the nesting and prefixes added by training and parallelism.

    Args:
        checkpoint: as in `own_names`.
    """
    inner = next(
        (checkpoint[key] for key in ("params_ema", "params", "state_dict") if key in checkpoint), None
    )
    tensors = inner if isinstance(inner, Mapping) else checkpoint
    return {name.removeprefix("module."): t for name, t in tensors.items() if isinstance(t, Tensor)}


_NAMES = tuple(
    (re.compile(rf"(?:{published})\.(weight|bias)"), ours)
    for published, ours in (
        # ESRGAN of 2018 | ESRGAN of 2019, RealSR, BSRGAN | BasicSR, Real-ESRGAN
        (r"model\.0|conv_first", r"trunk.head.\1"),
        (
            r"(?:model\.1\.sub|RRDB_trunk|body)\.(\d+)\.(?:RDB|rdb)(\d)\.conv(\d)(?:\.0)?",
            r"trunk.blocks.\1.rdb\2.conv\3.\4",
        ),
        (r"model\.1\.sub\.\d+|trunk_conv|conv_body", r"trunk.tail.\1"),
        (r"model\.3|upconv1|conv_up1", r"reconstruction.stages.0.\1"),
        (r"model\.6|upconv2|conv_up2", r"reconstruction.stages.1.\1"),
        (r"model\.8|HRconv|conv_hr", r"reconstruction.full.\1"),
        (r"model\.10|conv_last", r"reconstruction.last.\1"),
    )
)


def _own_name(name: str) -> str:
    for pattern, ours in _NAMES:
        if found := pattern.fullmatch(name):
            return found.expand(ours)
    return name


_PUBLISHED = (
    ("trunk.head.", "conv_first."),
    ("trunk.blocks.", "body."),
    ("trunk.tail.", "conv_body."),
    ("reconstruction.stages.0.", "conv_up1."),
    ("reconstruction.stages.1.", "conv_up2."),
    ("reconstruction.full.", "conv_hr."),
    ("reconstruction.last.", "conv_last."),
)


def _published_name(name: str) -> str:
    return next(f"{theirs}{name.removeprefix(ours)}" for ours, theirs in _PUBLISHED if name.startswith(ours))


def _not_published(reason: str) -> ResourceError:
    return ResourceError(
        f"These are no weights of ESRGAN's or Real-ESRGAN's generator at x4, x2 or x1 ({reason}); choose another file."
    )

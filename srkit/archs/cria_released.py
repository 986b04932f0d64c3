"""Cria-CL as released by its authors (Shi et al. 2022, github.com/House-Leo/RealSR-CCL), to load their weights.

The graph `cria_released`: both branches and the mask take the output of an ESRGAN, at the result's resolution, and the
mask is a softmax over its 64 channels. It is therefore no partition of the image (each channel has a mean of 1/64 by
construction) and cannot be displayed; `srkit.archs.cria` is the graph that the paper describes. RWSR-EDL, by the same
authors, has the same network and names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from srkit.archs.blocks import NearestReconstruction, check_min, check_scale, conv3x3, nearest_radius
from srkit.archs.cria import UNITS, units
from srkit.archs.esrgan import published_tensors
from srkit.archs.info import ArchInfo
from srkit.archs.trunks import RADIUS, RRDBTrunk
from srkit.errors import ResourceError

_FACTORS = {4: (2, 2), 1: (1, 1)}


class CriaReleased(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    Args:
        scale: 4; or 1, for the weights trained on CameraSR, which do not upsample.
        features: channels of all parts (64 as published).
        blocks: RRDBs of the trunk (23 as published).
        growth: channels that each convolution of a dense block adds (32 as published).

    Raises:
        UsageError: unsupported scale, or a number below 1.
    """

    def __init__(self, scale: int = 4, features: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        check_scale("Cria-CL's released network", scale, _FACTORS)
        check_min("Cria-CL's released network", 1, features=features, blocks=blocks, growth=growth)
        self.scale = scale
        self.trunk = RRDBTrunk(features, blocks, growth)
        self.reconstruction = NearestReconstruction(features, _FACTORS[scale])
        self.align, self.unif, self.mask = (nn.Sequential(*units(3, features)) for _ in range(3))
        self.align_tail, self.unif_tail = (conv3x3(features, 3) for _ in range(2))
        after = 2 + 2 * UNITS + 1  # reconstruction, branch, tail
        self.info = ArchInfo(
            scale=scale,
            receptive_field=2 + RADIUS * blocks + nearest_radius(_FACTORS[scale], after),
            fp16_ok=True,
            bf16_ok=False,  # 8 bits of mantissa are too few for computations on an 8-bit image
        )

    def forward(self, x: Tensor) -> Tensor:
        image = self.reconstruction(self.trunk(x.to(self.trunk.head.weight.dtype)))
        mask = self.mask(image).softmax(1)
        align = self.align_tail(mask * self.align(image))
        unif = self.unif_tail((1 - mask) * self.unif(image))
        out: Tensor = align.to(x.dtype) + unif.to(x.dtype)
        return out


def is_released(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint is of this network: an ESRGAN of 2019 followed by branches."""
    parts = {name.partition(".")[0] for name in published_tensors(checkpoint)}
    return "RRDB_trunk" in parts and not parts.isdisjoint(
        {"branch1", "branch2", "sm", "tail_conv1", "tail_conv2"}
    )


def released_sizes(checkpoint: Mapping[str, Any], where: str) -> dict[str, int]:
    """Arguments of the network, except the scale, from the shapes of a published checkpoint's tensors.

    Args:
        checkpoint: tensors by name, bare or under `params_ema`, `params` or `state_dict`, as `torch.load` gives them.
        where: name of the checkpoint in messages.

    Raises:
        ResourceError: tensors that determine the arguments are missing.
    """
    state = published_tensors(checkpoint)
    head = state.get("conv_first.weight")
    dense = state.get("RRDB_trunk.0.RDB1.conv1.weight")
    if head is None or dense is None or head.ndim != 4 or dense.ndim != 4:
        raise _misfit(where, "its first convolution or its first dense block is missing")
    numbers = [int(found[1]) for name in state if (found := re.match(r"RRDB_trunk\.(\d+)\.", name))]
    return {"features": head.shape[0], "blocks": max(numbers) + 1, "growth": dense.shape[0]}


def from_released(checkpoint: Mapping[str, Any], scale: int, where: str) -> CriaReleased:
    """Build the network of a published checkpoint and load its weights.

    Args:
        checkpoint: as in `released_sizes`.
        scale: 4 or 1; it cannot be inferred, since the tensors of both are alike.
        where: name of the checkpoint in messages.

    Raises:
        ResourceError: tensors are missing, unexpected, or of other shapes than the network's.
    """
    state = published_tensors(checkpoint)
    with torch.random.fork_rng(devices=[]):
        network = CriaReleased(scale, **released_sizes(checkpoint, where))
    own = {released_name(name): name for name in network.state_dict()}
    shapes = {name: tuple(network.state_dict()[own[name]].shape) for name in own}
    for name, shape in shapes.items():
        if name not in state:
            raise _misfit(where, f"'{name}' is missing")
        if tuple(state[name].shape) != shape:
            raise _misfit(where, f"'{name}' is {tuple(state[name].shape)}, expected {shape}")
    if extra := sorted(set(state) - set(own)):
        raise _misfit(where, f"it has no '{extra[0]}'")
    network.load_state_dict({own[name]: tensor for name, tensor in state.items()})
    return network.eval()


_NAMES = tuple(
    (re.compile(rf"{ours}\.(weight|bias)"), published)
    for ours, published in (
        (r"trunk\.head", r"conv_first.\1"),
        (r"trunk\.blocks\.(\d+)\.rdb(\d)\.conv(\d)", r"RRDB_trunk.\1.RDB\2.conv\3.\4"),
        (r"trunk\.tail", r"trunk_conv.\1"),
        (r"reconstruction\.stages\.0", r"upconv1.\1"),
        (r"reconstruction\.stages\.1", r"upconv2.\1"),
        (r"reconstruction\.full", r"HRconv.\1"),
        (r"reconstruction\.last", r"conv_last.\1"),
        *(
            (rf"{ours}\.(\d)\.{layer}", rf"{published}.\1.{theirs}.\2")
            for ours, published in (("align", "branch1"), ("unif", "branch2"), ("mask", "sm"))
            for layer, theirs in (("conv1", "block.0"), ("conv2", "block.2"), ("skip", "conv"))
        ),
        (r"align_tail", r"tail_conv1.\1"),
        (r"unif_tail", r"tail_conv2.\1"),
    )
)


def released_name(name: str) -> str:
    """Name of a tensor of this network in the published files."""
    for pattern, published in _NAMES:
        if found := pattern.fullmatch(name):
            return found.expand(published)
    raise KeyError(name)


def _misfit(where: str, reason: str) -> ResourceError:
    return ResourceError(
        f"{where} looks like the published network of Cria-CL but does not fit it ({reason}); the file is damaged or "
        "of another variant: fetch it again, or choose another model."
    )

"""The trunks that a network may be built on, by name."""

from __future__ import annotations

from typing import Literal, get_args

from srkit.archs.blocks import ResidualTrunk
from srkit.archs.rrdb import RADIUS, RRDBTrunk
from srkit.errors import UsageError, nearest

Trunk = Literal["rrdb", "edsr"]


def make_trunk(trunk: Trunk, features: int, blocks: int, growth: int) -> ResidualTrunk | RRDBTrunk:
    """RGB to features; both kinds have the parts `head`, `blocks` and `tail`.

    Args:
        trunk: `rrdb` (residual-in-residual dense blocks), or `edsr`, whose tensors have the names and shapes of the
            trunk of `srkit.archs.edsr.EDSR`, so that a network on it can start from one.
        features: channels out.
        blocks: RRDBs, or residual blocks.
        growth: channels that a convolution adds in the dense blocks of `rrdb`.

    Raises:
        UsageError: a trunk that there is none of.
    """
    known = get_args(Trunk)
    if trunk not in known:  # it comes from a recipe or a header
        raise UsageError(
            f"There is no trunk '{trunk}'; known are {', '.join(known)}.{nearest(str(trunk), known)}"
        )
    return ResidualTrunk(features, blocks) if trunk == "edsr" else RRDBTrunk(features, blocks, growth)


def blocks_radius(trunk: Trunk, blocks: int) -> int:
    """Pixels that the blocks of a trunk see to each side, without its first and last convolution."""
    return blocks * (2 if trunk == "edsr" else RADIUS)

"""How near each part of an image is: the protocol, and every provider by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.errors import UsageError, nearest
from srkit.progress import Progress, Silent

AUTO, COMPACT, NONE = "auto", "compact", "none"
PUBLIC = {"depth-anything": "depth-anything/Depth-Anything-V2-Small-hf", "dpt": "Intel/dpt-swinv2-tiny-256"}
"""Providers with public weights, and the repository of the Hugging Face Hub that is meant where none is named."""
_FORMS = (COMPACT, *(f"{kind}[:ID_OR_DIR]" for kind in PUBLIC), NONE)

_PERCENTILES = (0.02, 0.98)
_SAMPLED = 1 << 20  # values that percentiles are taken of: torch.quantile takes no more than 16 million
_FLAT = 1e-6  # of the largest value: spread of a map that says nothing


class DepthProvider(Protocol):
    """Relative inverse depth of whole images."""

    name: str
    """As `depth_provider` takes it."""
    version: str
    """Network and weights, so that equal versions mean equal numbers."""
    sees_images: bool
    """Whether another image of the same name gives another depth."""

    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        """Inverse depth (1, 1, h, w), float32 in [0, 1], 1 nearest; zeros where nothing is known.

        Args:
            image: the whole image, (1, 3, h, w) in [0, 1].
            name: the image's, where the provider has depths by name.

        Raises:
            SrkitError: there is no depth for this image.
        """


class NoDepth:
    """Zeros: nothing is known."""

    name, version, sees_images = NONE, NONE, False

    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        """See `DepthProvider`."""
        return torch.zeros(1, 1, *image.shape[2:], device=image.device)


def depth_provider(
    name: str, device: torch.device, *, weights: Path | None = None, progress: Progress | None = None
) -> DepthProvider:
    """The provider of that name, on a device.

    Args:
        name: `compact` (small, trained by this project, shipped; also `auto`), `depth-anything[:ID_OR_DIR]` or
            `dpt[:ID_OR_DIR]` (public weights through transformers, of a repository of the Hugging Face Hub, fetched
            when asked for, or of a folder), a folder of depth maps, or `none`.
        weights: file of `compact`'s weights in place of the shipped one.
        progress: shows downloads; warns of maps that were changed.

    Raises:
        UsageError: no such provider or folder.
        ResourceError: its weights are missing, damaged or unavailable, or a package that it needs is.
    """
    kind, colon, rest = name.partition(":")
    if name == NONE:
        return NoDepth()
    if name in (AUTO, COMPACT):
        from srkit.encoders.depth_compact import Compact

        return Compact(device, weights)
    if kind in PUBLIC:
        if colon and not rest:
            raise UsageError(f"The depth provider '{name}' is not whole; expected {kind}[:ID_OR_DIR].")
        from srkit.encoders.depth_transformers import PublicDepth

        return PublicDepth(kind, rest or PUBLIC[kind], device, progress)
    if Path(name).expanduser().is_dir():
        from srkit.encoders.depth_maps import DepthMaps

        return DepthMaps(Path(name).expanduser(), device, progress or Silent())
    raise UsageError(
        f"There is no depth provider and no folder '{name}'; known are {', '.join(_FORMS)}, or give a folder of depth "
        f"maps.{nearest(name, (COMPACT, *PUBLIC, NONE))}"
    )


def normalised(depth: Tensor, percentiles: tuple[float, float] = _PERCENTILES) -> Tensor:
    """A map (1, 1, h, w) moved and scaled so that these percentiles become 0 and 1, and clipped; float32.

    A flat map says nothing and becomes zeros.
    """
    depth = depth.float()
    values = depth.flatten()
    values = values[:: -(-len(values) // _SAMPLED)]
    marks = torch.tensor(percentiles, device=values.device)
    low, high = torch.quantile(values, marks) if percentiles != (0.0, 1.0) else depth.aminmax()
    if float(high - low) <= _FLAT * float(depth.abs().max()):
        return torch.zeros_like(depth)
    return ((depth - low) / (high - low)).clamp_(0, 1)


def resized(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """A map (1, 1, h, w) at another size: means of areas where it shrinks, bilinear where it grows."""
    if tuple(depth.shape[2:]) == size:
        return depth
    shrinks = size[0] < depth.shape[2] or size[1] < depth.shape[3]
    if shrinks:
        return F.interpolate(depth, size, mode="area")
    return F.interpolate(depth, size, mode="bilinear", align_corners=False)

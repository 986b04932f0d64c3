"""Depth estimation: the protocol, and all providers by name."""

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
"""Providers with public weights, and their default repository on the Hugging Face Hub."""
_FORMS = (COMPACT, *(f"{kind}[:ID_OR_DIR]" for kind in PUBLIC), NONE)

_PERCENTILES = (0.02, 0.98)
_SAMPLED = 1 << 20  # maximum number of values for percentiles: torch.quantile accepts at most 16 million
_FLAT = 1e-6  # relative spread below which a map counts as constant


class DepthProvider(Protocol):
    """Provider of relative inverse depth of whole images."""

    name: str
    """Name for `depth_provider`."""
    version: str
    """Identifier of network and weights; equal versions give equal results."""
    sees_images: bool
    """True if the depth depends on the image and not only on its name."""

    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        """Inverse depth (1, 1, h, w), float32 in [0, 1], 1 nearest; zeros if unknown.

        Args:
            image: the whole image, (1, 3, h, w) in [0, 1].
            name: name of the image, for providers that find depths by name.

        Raises:
            SrkitError: no depth for this image.
        """


class NoDepth:
    """Provider of zeros, for unknown depth."""

    name, version, sees_images = NONE, NONE, False

    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        """Zeros; see `DepthProvider`."""
        return torch.zeros(1, 1, *image.shape[2:], device=image.device)


def depth_provider(
    name: str, device: torch.device, *, weights: Path | None = None, progress: Progress | None = None
) -> DepthProvider:
    """Load a provider by name on a device.

    Args:
        name: `compact` (small, trained by this project, shipped; also `auto`), `depth-anything[:ID_OR_DIR]` or
            `dpt[:ID_OR_DIR]` (public weights through transformers, from a repository of the Hugging Face Hub,
            downloaded on request, or from a folder), a folder of depth maps, or `none`.
        weights: file of `compact`'s weights in place of the shipped one.
        progress: display of downloads, and warned of maps that were changed.

    Raises:
        UsageError: no such provider or folder.
        ResourceError: the weights are missing, damaged or unavailable, or a required package is.
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
    """Normalise a map (1, 1, h, w) such that these percentiles become 0 and 1, and clip it; float32.

    Constant maps become zeros.
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
    """Resize a map (1, 1, h, w): area mean for downscaling, bilinear for upscaling."""
    if tuple(depth.shape[2:]) == size:
        return depth
    shrinks = size[0] < depth.shape[2] or size[1] < depth.shape[3]
    if shrinks:
        return F.interpolate(depth, size, mode="area")
    return F.interpolate(depth, size, mode="bilinear", align_corners=False)

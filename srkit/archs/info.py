"""Description of a network for other modules: its `ArchInfo`, and the protocols for views and guides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

Tiling = Literal["exact", "blend", "none"]

PRIOR = "prior"
"""Role of the frozen generative network in `srkit.archs.latent_fusion` (`ArchInfo.frozen`)."""


@dataclass(frozen=True)
class ArchInfo:
    """Facts about a network that the engine needs to run it on images of any size.

    A network maps images (N, channels, h, w), float32 in [0, 1], to (N, channels, scale h, scale w), float32.
    It casts to its parameters' dtype internally, and keeps in fp32 what needs it (a bicubic skip, the final sum).
    """

    scale: int
    """Output pixels per input pixel along each side."""
    receptive_field: int
    """Radius in input pixels beyond which a pixel cannot influence the output (an upper bound)."""
    channels: int = 3
    multiple_of: int = 1
    """Both input sides must be multiples of this."""
    min_size: int = 1
    """Smallest input side."""
    tiling: Tiling = "exact"
    """exact: convolutional, tiles overlap by the receptive field at most; blend: tiles must be cross-faded
    (attention over windows); none: works on whole images only."""
    fp16_ok: bool = False
    bf16_ok: bool = True
    fp32_sum: bool = False
    """Outputs in reduced precision are added to the image in fp32, so that 16-bit images keep their levels in any
    precision. If False, 16-bit images are run in fp32."""
    conditioning: tuple[str, ...] = ()
    """Names of the conditions, which the network takes as keyword arguments."""
    frozen: tuple[str, ...] = ()
    """Roles of frozen networks that are not part of its weights and are passed to its method `attach`."""


class View(nn.Module):
    """Network that returns one part of another network's result, usable wherever that network is."""

    info: ArchInfo
    gray: bool = False
    """True if its images are gray for any input (a mask)."""


@runtime_checkable
class Viewable(Protocol):
    """A network that has views."""

    def views(self) -> dict[str, View]:
        """Views by the names of the parts."""
        ...


def views_of(network: nn.Module) -> dict[str, View]:
    """Views of a network by name; empty if it has none."""
    return network.views() if isinstance(network, Viewable) else {}


class PromptedBlocks(Protocol):
    """Frozen transformer blocks of an encoder that accept prompts (CLIP-SR's Map)."""

    def __call__(self, maps: Tensor, prompts: Tensor) -> Tensor:
        """Pass maps (N, C, g, g) through the blocks, with one of `prompts` (N, K, C) in each; to (N, C, g, g)."""


@runtime_checkable
class Guided(Protocol):
    """Network that computes a guide from the whole image and a text, once per image (CLIP-SR)."""

    side: int
    """Side in pixels of the image that the guide is computed from."""

    def guide(
        self, thumbnail: Tensor, sentence: Tensor | None = None, blocks: PromptedBlocks | None = None
    ) -> Tensor:
        """See `srkit.archs.clipsr.CLIPSR.guide`."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

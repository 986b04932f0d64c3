"""What others need to know of a network, whichever it is: its `ArchInfo`, and the views or guide that some have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

Tiling = Literal["exact", "blend", "none"]

PRIOR = "prior"
"""Role of the frozen network that draws images in `srkit.archs.latent_fusion` (`ArchInfo.frozen`)."""


@dataclass(frozen=True)
class ArchInfo:
    """What the engine must know to run a network on images of any size.

    A network maps images (N, channels, h, w), float32 in [0, 1], to (N, channels, scale h, scale w), float32.
    It casts to its parameters' dtype inside; whatever must stay in fp32 (a bicubic skip, the final sum), it
    keeps there itself.
    """

    scale: int
    """Output pixels for one input pixel, along each side."""
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
    """What is computed in reduced precision is added to the image in fp32, so that 16-bit images keep their levels
    in any precision. Else these are run in fp32."""
    conditioning: tuple[str, ...] = ()
    """Names of the conditions that the network takes as keyword arguments."""
    frozen: tuple[str, ...] = ()
    """Roles of networks that are no part of its weights; its method `attach` is given them."""


class View(nn.Module):
    """A network that gives one part of another's result in place of it, and runs wherever that one does."""

    info: ArchInfo
    gray: bool = False
    """Whether its images are gray whatever the input is (a mask)."""


@runtime_checkable
class Viewable(Protocol):
    """A network that has views."""

    def views(self) -> dict[str, View]:
        """By the parts' names."""
        ...


def views_of(network: nn.Module) -> dict[str, View]:
    """The views of a network by their names; empty where it has none."""
    return network.views() if isinstance(network, Viewable) else {}


class PromptedBlocks(Protocol):
    """The frozen transformer blocks of an encoder, that prompts are put into (CLIP-SR's Map)."""

    def __call__(self, maps: Tensor, prompts: Tensor) -> Tensor:
        """maps (N, C, g, g) through the blocks, `prompts` (N, K, C) beside them, one in each; to (N, C, g, g)."""


@runtime_checkable
class Guided(Protocol):
    """A network that makes a guide of the whole image and a text, once for each image (CLIP-SR)."""

    side: int
    """Pixels along the sides of the image that the guide is made of."""

    def guide(
        self, thumbnail: Tensor, sentence: Tensor | None = None, blocks: PromptedBlocks | None = None
    ) -> Tensor:
        """See `srkit.archs.clipsr.CLIPSR.guide`."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

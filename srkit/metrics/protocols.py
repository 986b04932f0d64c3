"""Protocols of PSNR and SSIM in super-resolution.

Values depend on the colour space and on the excluded border, so every value names its protocol. All protocols compare
8-bit images: the SR image is rounded to 8 bit, and the reference is cropped, at its right and bottom, to a multiple of
the scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from srkit.errors import ImageError, check_known
from srkit.metrics.ssim import WINDOW
from srkit.ops.colour import luma_limited

Colour = Literal["y", "rgb"]
DEFAULT_PROTOCOL = "classical"


@dataclass(frozen=True)
class Protocol:
    """Settings for the comparison of an image with its reference."""

    name: str
    colour: Colour
    """y: luma of BT.601 in limited range, unrounded; rgb: all three channels."""
    border_scales: int
    """Excluded border in multiples of the scale."""
    border_pixels: int
    """Excluded border in HR pixels, in addition."""
    makes_lr: bool
    """If True, missing LR images are made from the reference; otherwise they must be given."""

    def border(self, scale: int) -> int:
        """Excluded HR pixels on each side."""
        return self.border_scales * scale + self.border_pixels

    def describe(self, scale: int) -> str:
        """Description in one line, for the foot of a report."""
        colour = "luma of BT.601, limited range" if self.colour == "y" else "RGB"
        return (
            f"protocol {self.name}: {colour}, {self.border(scale)} pixels of border left out, SR rounded to 8 bit, "
            f"reference cropped to a multiple of {scale}"
        )


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("classical", "y", 1, 0, True),  # Set5, Set14, BSD100, Urban100 and Manga109 in papers
        Protocol("rgb", "rgb", 1, 0, True),  # the same sets, in colour
        Protocol("div2k", "rgb", 1, 6, True),  # DIV2K's validation images
        Protocol("ntire", "rgb", 1, 0, False),  # the NTIRE challenges
        Protocol("real", "y", 0, 4, False),  # pairs photographed at two focal lengths, as RealSR
    )
}


def find_protocol(name: str) -> Protocol:
    """Find a protocol by name.

    Raises:
        UsageError: unknown name; the message lists the known ones and the nearest.
    """
    check_known("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def to_8bit(image: Tensor) -> Tensor:
    """Convert an image in [0, 1] to uint8: clipped, times 255, rounded. uint8 is returned unchanged.

    Raises:
        ImageError: it has NaN or infinite values.
    """
    if image.dtype == torch.uint8:
        return image
    if not bool(torch.isfinite(image).all()):
        raise ImageError("The SR image holds values that are not numbers; no metric can be taken of it.")
    return (image.clamp(0, 1) * 255).round_().to(torch.uint8)


def compared(sr: Tensor, hr: Tensor, protocol: Protocol, scale: int) -> tuple[Tensor, Tensor]:
    """Inputs of PSNR and SSIM: both images at 8 bit, in the protocol's colour space, without its border.

    Args:
        sr: (N, 3, H, W), uint8, or floating in [0, 1], which is rounded to 8 bit.
        hr: (N, 3, H, W), in the same format; already cropped to a multiple of the scale.
        scale: factor between LR and HR.

    Returns:
        Two tensors (N, 1 or 3, H - 2 border, W - 2 border), float64 in [0, 1].

    Raises:
        ImageError: mismatched shapes, an image too small for the border and SSIM's window, or NaN.
    """
    if sr.shape != hr.shape:
        raise ImageError(
            f"The SR image has {sr.shape[3]} x {sr.shape[2]} pixels, its reference {hr.shape[3]} x {hr.shape[2]}; "
            "they must be of one size."
        )
    border = protocol.border(scale)
    smallest = 2 * border + WINDOW
    height, width = sr.shape[2:]
    if min(height, width) < smallest:
        raise ImageError(
            f"The image has {width} x {height} pixels; protocol '{protocol.name}' leaves out {border} at every side "
            f"and SSIM's window takes {WINDOW}, so both sides must be at least {smallest}: leave the image out."
        )
    inner = (..., slice(border, height - border), slice(border, width - border))
    return _in_colour(to_8bit(sr)[inner], protocol.colour), _in_colour(to_8bit(hr)[inner], protocol.colour)


def _in_colour(image: Tensor, colour: Colour) -> Tensor:
    return luma_limited(image) if colour == "y" else image.to(torch.float64).div_(255)

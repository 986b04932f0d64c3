"""CDASR: CLIP-aware domain-adaptive super-resolution (Lu et al. 2025, Multimedia Systems; arXiv 2505.12391).

An EDSR whose features, between trunk and reconstruction, are aligned with a frozen encoder's embedding of the whole
image. The alignment is zero at initialisation, so a CDASR initialised from an EDSR's weights gives the EDSR's images.
"""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from srkit.archs.blocks import (
    Reconstruction,
    ResidualTrunk,
    Upsampler,
    begin_at_zero,
    built_between,
    centred,
    check_min,
    check_scale,
    conv3x3,
    receptive_field,
)
from srkit.archs.info import ArchInfo
from srkit.errors import UsageError, check_known
from srkit.ops.geometry import sample
from srkit.ops.resize import upscale

SCALES = (2, 3, 4, 8, 16)

M = TypeVar("M", bound=nn.Module)
Spatial = Literal["tokens", "global"]
Source = Literal["encoder", "constant"]


class CDASR(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    Args:
        scale: 2, 3, 4, 8 or 16.
        features: channels of the trunk.
        blocks: residual blocks of the trunk.
        upsampler: `edsr` or `single` (see `Reconstruction`).
        blocks_between: as in `EDSR` (the paper does not give the number).
        semantic_dim: length D of the encoder's vector.
        token_channels: channels C of the encoder's tokens.
        hidden, aligned: widths of the MLP on the vector (Eq. 3: 1024 and 512).
        token_features: channels that the tokens are projected to before they are sampled at each LR pixel.
        spatial: `tokens` conditions the features on local content; `global` is Eq. 4 as printed, which is constant over
            the image.
        condition: `constant` uses a learned vector and learned tokens instead of the encoder's (for ablation: the
            same capacity, without a condition).
        token_grid: side of the grid of learned tokens.

    Raises:
        UsageError: unsupported scale, width or variant.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 64,
        blocks: int = 16,
        upsampler: Upsampler = "edsr",
        blocks_between: int = 2,
        semantic_dim: int = 512,
        token_channels: int = 768,
        hidden: int = 1024,
        aligned: int = 512,
        token_features: int = 16,
        spatial: Spatial = "tokens",
        condition: Source = "encoder",
        token_grid: int = 7,
    ) -> None:
        super().__init__()
        check_scale("CDASR", scale, SCALES)
        check_min("CDASR", 0, blocks=blocks, blocks_between=blocks_between)
        check_min("CDASR", 1, features=features, semantic_dim=semantic_dim, token_channels=token_channels)
        check_min(
            "CDASR", 1, hidden=hidden, aligned=aligned, token_features=token_features, token_grid=token_grid
        )
        check_known("spatial of CDASR", spatial, get_args(Spatial))
        check_known("condition of CDASR", condition, get_args(Source))
        between = built_between(scale, upsampler, blocks_between)
        self.scale, self.blocks_between = scale, between
        self.trunk = ResidualTrunk(features, blocks)
        self.alignment: TokenAlignment | GlobalAlignment
        if spatial == "tokens":
            self.alignment = TokenAlignment(
                features, semantic_dim, token_channels, hidden, aligned, token_features
            )
        else:
            self.alignment = GlobalAlignment(features, semantic_dim, hidden, aligned)
        self.reconstruction = Reconstruction(features, scale, upsampler, between)
        self._constant = condition == "constant"
        if self._constant:
            self.semantic = nn.Parameter(torch.randn(1, semantic_dim) / semantic_dim**0.5)
            if spatial == "tokens":
                self.tokens = nn.Parameter(torch.randn(1, token_channels, token_grid, token_grid))
        self.info = ArchInfo(
            scale=scale,
            receptive_field=receptive_field(scale, blocks, upsampler, between)
            + 1,  # the fusion's convolution
            fp16_ok=True,
            fp32_sum=True,
            conditioning=_conditioning(spatial, condition),
        )

    def forward(
        self,
        x: Tensor,
        semantic: Tensor | None = None,
        tokens: Tensor | None = None,
        position: Tensor | None = None,
    ) -> Tensor:
        """Upscale an image, or a piece of one, given the conditions of the whole image.

        Args:
            x: (N, 3, h, w) in [0, 1].
            semantic: unit vectors (N, semantic_dim).
            tokens: (N, token_channels, gh, gw), covering the whole image.
            position: (N, 2, h, w), position of each pixel in the whole image (see `srkit.ops.geometry`).

        Raises:
            UsageError: a condition named in `info.conditioning` is missing.
        """
        if self._constant:
            semantic = self.semantic.expand(len(x), -1)
            if isinstance(self.alignment, TokenAlignment):
                tokens = self.tokens.expand(len(x), -1, -1, -1)
        weight = self.trunk.head.weight
        features: Tensor = self.trunk(centred(x).to(weight.dtype))
        if isinstance(self.alignment, TokenAlignment):
            if semantic is None or tokens is None or position is None:
                raise UsageError(f"CDASR was not given all of its conditions: {_listed(self.info)}.")
            features = self.alignment(features, semantic, tokens, position)
        else:
            if semantic is None:
                raise UsageError(f"CDASR was not given all of its conditions: {_listed(self.info)}.")
            features = self.alignment(features, semantic)
        residual: Tensor = self.reconstruction(features)
        return upscale(x, self.scale) + residual.to(x.dtype)


class TokenAlignment(nn.Module):
    """Features modulated by the vector (FiLM), then fused with the tokens sampled at each pixel.

    f' = (1 + g) f + b with (g, b) of the MLP (Eq. 3), and f' + Conv_fuse([f'; tokens at the pixel]) in place of Eqs. 4
    and 5, which have no spatial dependence.
    """

    def __init__(
        self,
        features: int,
        semantic_dim: int,
        token_channels: int,
        hidden: int,
        aligned: int,
        token_features: int,
    ) -> None:
        super().__init__()
        self.mlp = _mlp(semantic_dim, hidden, aligned)
        self.film = _zeroed(nn.Linear(aligned, 2 * features))
        self.project = nn.Sequential(
            nn.Conv2d(token_channels, token_features, 1), nn.ReLU(), conv3x3(token_features, token_features)
        )
        self.fuse = _zeroed(conv3x3(features + token_features, features))

    def forward(self, features: Tensor, semantic: Tensor, tokens: Tensor, position: Tensor) -> Tensor:
        """Map features (N, features, h, w) to the same shape; other arguments as in `CDASR.forward`."""
        dtype = self.fuse.weight.dtype
        factor, shift = self.film(self.mlp(semantic.to(dtype)))[:, :, None, None].chunk(2, dim=1)
        features = torch.addcmul(shift, features, 1 + factor)
        there = self.place(tokens, position).to(features.dtype, memory_format=torch.channels_last)
        fused: Tensor = self.fuse(torch.cat([features, there], dim=1))
        return features + fused

    def place(self, tokens: Tensor, position: Tensor) -> Tensor:
        """Token features at each pixel, (N, token_features, h, w), of the dtype of `position`."""
        return sample(self.project(tokens.to(self.fuse.weight.dtype)), position)


class GlobalAlignment(nn.Module):
    """Eqs. 3 to 5 as printed: the vector spread over the image, two convolutions, fused in.

    With replicate padding the spread features are the same vector at every pixel, so they are computed for one pixel,
    and their part of the fusion is a shift. (With zero padding, which the paper does not mention, the border of the
    image would determine the condition.)
    """

    def __init__(self, features: int, semantic_dim: int, hidden: int, aligned: int) -> None:
        super().__init__()
        self.mlp = _mlp(semantic_dim, hidden, aligned)
        self.spread = nn.Sequential(
            nn.Conv2d(aligned, features, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1, padding_mode="replicate"),
        )
        self.fuse = _zeroed(conv3x3(2 * features, features))

    def forward(self, features: Tensor, semantic: Tensor) -> Tensor:
        """Map features (N, features, h, w) and unit vectors (N, semantic_dim) to (N, features, h, w)."""
        own, given = self.fuse.weight.chunk(2, dim=1)
        everywhere = self.spread(self.mlp(semantic.to(own.dtype))[:, :, None, None])
        shift = nn.functional.conv2d(everywhere, given.sum((2, 3), keepdim=True), self.fuse.bias)
        return features + nn.functional.conv2d(features, own, padding=1) + shift


def _mlp(semantic_dim: int, hidden: int, aligned: int) -> nn.Sequential:
    """MLP of Eq. 3, followed by the normalisation that the paper mentions without its position."""
    return nn.Sequential(
        nn.Linear(semantic_dim, hidden),
        nn.ReLU(),
        nn.Linear(hidden, aligned),
        nn.ReLU(),
        nn.LayerNorm(aligned),
    )


def _zeroed(layer: M) -> M:
    begin_at_zero(*layer.parameters())
    return layer


def _conditioning(spatial: Spatial, condition: Source) -> tuple[str, ...]:
    names = {"tokens": ("semantic", "tokens", "position"), "global": ("semantic",)}[spatial]
    # The positions of the learned tokens are still an input.
    return names if condition == "encoder" else tuple(name for name in names if name == "position")


def _listed(info: ArchInfo) -> str:
    return ", ".join(info.conditioning)

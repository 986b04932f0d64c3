"""Degradation estimation and re-degradation: the frozen networks of self-supervised adaptation.

HR-aware super-resolution (Zhang and Yao 2024, arXiv 2411.16175, Section 3): a degradation encoder E_deg, an image
encoder E_img, and a reconstruction network R that computes LR from a high-resolution image and the degradation
embedding. Details missing from the paper follow its source networks (DegAE, Liu et al. 2023, CVPR).
"""

from __future__ import annotations

import itertools
import math
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import (
    ResidualBlock,
    begin_at_zero,
    centred,
    check_min,
    check_scale,
    conv3x3,
    mean_colour,
)
from srkit.archs.info import ArchInfo
from srkit.errors import UsageError, check_known
from srkit.ops.descriptors import gram_descriptors
from srkit.ops.layout import in_precision

Modulation = Literal["gfm", "stylegan2", "stylegan2_nodemod"]
SCALES = (2, 4)
MIN_SIDE = 22
"""Shortest side of an image for degradation estimation by E_deg, in LR pixels."""
_SLOPE = 0.1  # negative slope of the leaky ReLUs
_CONTRAST = 4.0  # one over the typical deviation of images in [0, 1]
_DEMODULATION = 1e-8
_FINE = 30.0  # one over the linear range around 0 of a descriptor of unit deviation
_MIN_DEVIATION = 1e-3  # lower bound for nearly constant descriptors; smaller values vanish in fp16


class DegradationEstimate(NamedTuple):
    """Degradation estimate of N LR images by E_deg."""

    embedding: Tensor
    """Degradation embedding e_d (N, D), float32."""
    distance: Tensor
    """l* (N,), float32, in [0, 1]: expected distance (the controller's) between the true image and the upscaled one;
    an upper quantile of it rather than the mean (`controller.quantile` of the recipe)."""


class Reconstructor(nn.Module):
    """E_deg, E_img, R, and the layers that align E_img's features with another encoder's (T_a, T_m).

    Args:
        scale: s, ratio between the sizes of R's input and output; 2 or 4.
        features: channels F of all convolutions (64 in the paper).
        image_blocks: residual blocks of E_img.
        degradation_blocks: residual blocks of E_deg.
        blocks: pairs of a residual block and a modulation in R.
        embedding: length D of E_deg's embedding.
        described: channels C of the other encoder's maps, whose descriptors T_a and T_m predict.
        modulation: modulation of R's features by the embedding: `gfm` scales and shifts them; `stylegan2` (the paper's)
            scales a convolution's weights per channel, and its demodulation cancels the embedding's length, hence
            nearly cancels the controller's factor; `stylegan2_nodemod` is the same without demodulation.

    Raises:
        UsageError: unsupported scale or modulation, or a number out of range.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 64,
        image_blocks: int = 6,
        degradation_blocks: int = 16,
        blocks: int = 4,
        embedding: int = 512,
        described: int = 512,
        modulation: Modulation = "gfm",
    ) -> None:
        super().__init__()
        check_scale("The reconstructor", scale, SCALES)
        check_min("The reconstructor", 1, features=features, embedding=embedding, described=described)
        numbers = {"image_blocks": image_blocks, "degradation_blocks": degradation_blocks, "blocks": blocks}
        check_min("The reconstructor", 0, **numbers)
        check_known("modulation", modulation, get_args(Modulation))
        self.scale, self.embedding, self.described = scale, embedding, described
        self.degradation = _DegradationEncoder(features, degradation_blocks, embedding)
        # Predicts l*; the paper has one value for all images.
        self.expect = _layers(8 * features, embedding, 1)
        self.image = nn.Sequential(
            _before_leaky(conv3x3(3, features)), *(ResidualBlock(features) for _ in range(image_blocks))
        )
        self.degrade = _Degrade(scale, features, blocks, embedding, modulation)
        self.to_average = nn.Linear(features, described)
        self.to_most = nn.Linear(features, described)
        self.usual: Tensor
        usual = torch.tensor([1.0, 0.0, 1.0])[:, None].expand(2, -1, described).clone()
        self.register_buffer("usual", usual)  # S_avg and S_max: deviation; log mean and deviation
        self.info = ArchInfo(
            scale=scale, receptive_field=1 + 2 * image_blocks, multiple_of=scale, tiling="none"
        )

    def forward(
        self, lr: Tensor, images: Tensor, factor: Tensor, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Outputs for training: reconstructed LR (M, 3, h, w), both results of `predict` (M, C), and l* (N,).

        Args:
            lr: (N, 3, h, w) in [0, 1].
            images: (M, 3, s h, s w), M from N to 2 N: first the images that LR was made from, then the first of these
                with flaws, which are degraded in the same way.
            factor: factor on the embeddings, (M, D) or (M, 1): the controller's.
            rng: as in `reconstruct`.
        """
        features = self.image_features(images)
        estimate = self.estimate(lr)
        embedding = torch.cat([estimate.embedding, estimate.embedding[: len(images) - len(lr)]])
        return self.reconstruct(embedding * factor, features, rng), *self.predict(features), estimate.distance

    def estimate(self, lr: Tensor) -> DegradationEstimate:
        """Estimate the degradation of images (N, 3, h, w) in [0, 1], sides at least `MIN_SIDE`.

        Raises:
            UsageError: a side below `MIN_SIDE`.
        """
        if min(lr.shape[2:]) < MIN_SIDE:
            raise UsageError(
                f"A degradation cannot be estimated from images of shape {tuple(lr.shape)}; their sides must be "
                f"at least {MIN_SIDE}."
            )
        embedding, seen = self.degradation(self._shown(lr))
        return DegradationEstimate(
            embedding.float(), _perceptron(self.expect, seen).float().sigmoid().squeeze(1)
        )

    def image_features(self, images: Tensor) -> Tensor:
        """Image features e_im (N, F, H, W) of images (N, 3, H, W) in [0, 1]."""
        found: Tensor = self.image(self._shown(images))
        return found

    def reconstruct(self, embedding: Tensor, features: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Degrade the image of e_im as e_d describes: (N, 3, H / s, W / s), float32, may slightly leave [0, 1].

        Args:
            embedding: e_d (N, D), times the controller's factor.
            features: e_im (N, F, H, W), sides multiples of the scale.
            rng: generator, on the features' device, of the noise that R adds to its features. None: torch's global
                generator in training mode, no noise in evaluation mode.
        """
        made: Tensor = self.degrade(embedding, features, rng)
        return made.float() + mean_colour(torch.float32, made.device)

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Predict descriptors T_a S_avg and T_m S_max from e_im (N, F, H, W): (N, C) each, float32 (Eqs. 10 and 11).

        The targets are the other encoder's descriptors after `relative`; the inputs are E_img's, compressed alike.
        """
        average, peak = gram_descriptors(features)
        with in_precision(features, None):
            layers = ((self.to_average, average), (self.to_most, peak))
            found = [
                F.linear(_compressed(x), layer.weight.float(), layer.bias.float()) for layer, x in layers
            ]
        return found[0], found[1]

    def relative(self, average: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised log descriptors S_avg and S_max (N, C) of the other encoder's maps, over their deviations.

        The paper does not specify the scaling of Gram matrices. Unscaled, the strongest channels dominate, and blurred
        images, whose maps are weak, are close to everything. Flaws change descriptors by factors, which on a
        logarithmic scale are equal for images of high and low contrast.
        """
        found = [
            (_compressed(x / size) - mean) / deviation
            for x, (size, mean, deviation) in zip((average, peak), self.usual.float(), strict=True)
        ]
        return found[0], found[1]

    def set_usual(self, average: Tensor, peak: Tensor) -> None:
        """Set the normalisation of `relative` from descriptors (M, C) of M images without flaws, M at least 2."""
        for usual, x in zip(self.usual, (average, peak), strict=True):
            size = x.std(0).clamp_min(_MIN_DEVIATION)
            small = _compressed(x / size)
            usual.copy_(torch.stack([size, small.mean(0), small.std(0).clamp_min(_MIN_DEVIATION)]))

    def _shown(self, images: Tensor) -> Tensor:
        """Normalise images to roughly zero mean and unit variance, so that training starts well."""
        return (centred(images.float()) * _CONTRAST).to(self.to_average.weight.dtype)


class _DegradationEncoder(nn.Module):
    """E_deg: residual blocks at the image's size, three downsamplings, global mean, and a perceptron (as in DegAE)."""

    def __init__(self, features: int, blocks: int, dim: int) -> None:
        super().__init__()
        self.head = _before_leaky(conv3x3(3, features))
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.down = nn.ModuleList(
            _before_leaky(nn.Conv2d(features * 2**i, features * 2 ** (i + 1), 4, stride=2)) for i in range(3)
        )
        self.tell = _layers(8 * features, dim, dim, dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (N, 3, h, w) to e_d (N, D), and the pooled features (N, 8 F) it is computed from."""
        h: Tensor = self.blocks(F.leaky_relu(self.head(x), _SLOPE))
        for layer in self.down:
            h = F.leaky_relu(layer(h), _SLOPE)
        h = h.mean((2, 3))
        return _perceptron(self.tell, h), h


class _Degrade(nn.Module):
    """R: image features and an embedding to the degraded image, less the mean colour."""

    def __init__(self, scale: int, features: int, blocks: int, dim: int, modulation: Modulation) -> None:
        super().__init__()
        # PixelUnshuffle and a 3x3 convolution in one, so that no information is lost on the way to LR's size.
        self.shrink = nn.Conv2d(features, features, 3 * scale, stride=scale, padding=scale)
        self.blocks = nn.ModuleList(ResidualBlock(features) for _ in range(blocks))
        self.modulations = nn.ModuleList(
            _Scaled(features, dim)
            if modulation == "gfm"
            else _Styled(features, dim, demodulate=modulation == "stylegan2")
            for _ in range(blocks)
        )
        self.full = _before_leaky(conv3x3(features, features))
        self.last = conv3x3(features, 3)

    def forward(self, embedding: Tensor, features: Tensor, rng: torch.Generator | None) -> Tensor:
        h: Tensor = self.shrink(features)
        for block, modulation in zip(self.blocks, self.modulations, strict=True):
            h = modulation(block(h), embedding, rng)
        out: Tensor = self.last(F.leaky_relu(self.full(h), _SLOPE))
        return out


class _Noise(nn.Module):
    """Add one channel of normal noise to all channels, with a learned strength, initially 0 (StyleGAN2)."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor, rng: torch.Generator | None) -> Tensor:
        if rng is None and not self.training:
            return h
        noise = torch.randn((len(h), 1, *h.shape[2:]), generator=rng, device=h.device)
        return h + (noise * self.strength).to(h.dtype)


class _Scaled(nn.Module):
    """GFM: convolution and noise, then channels scaled and shifted by the embedding, leaky ReLU.

    The noise is added first, so that the embedding can scale it.
    """

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.convolution = _before_leaky(conv3x3(features, features))
        self.noise = _Noise()
        self.scale, self.shift = nn.Linear(dim, features), nn.Linear(dim, features)

    def forward(self, h: Tensor, embedding: Tensor, rng: torch.Generator | None) -> Tensor:
        h = self.noise(self.convolution(h), rng)
        scale, shift = (
            layer(embedding.to(layer.weight.dtype)).to(h.dtype)[:, :, None, None]
            for layer in (self.scale, self.shift)
        )
        return F.leaky_relu(torch.addcmul(shift, h, 1 + scale), _SLOPE)


class _Styled(nn.Module):
    """StyleGAN2's modulated convolution (Karras et al. 2020, CVPR, Eqs. 1 to 3) and noise, convolution, leaky ReLU.

    Weights are w_oi style_i / sqrt(9 F), normalised over each output channel o. Scaling the input and dividing the
    output is equivalent and needs no weights per image.
    """

    def __init__(self, features: int, dim: int, demodulate: bool) -> None:
        super().__init__()
        self.style = nn.Linear(dim, features)
        self.weight = nn.Parameter(torch.randn(features, features, 3, 3))
        self.noise = _Noise()
        self.convolution = _before_leaky(conv3x3(features, features))
        self.demodulate = demodulate
        self._size = 1 / math.sqrt(9 * features)

    def forward(self, h: Tensor, embedding: Tensor, rng: torch.Generator | None) -> Tensor:
        style = self.style(embedding.to(self.style.weight.dtype)).float() * self._size
        out = F.conv2d(h * style.to(h.dtype)[:, :, None, None], self.weight, padding=1)
        if self.demodulate:
            with in_precision(h, None):
                squares = style.square() @ self.weight.float().square().sum((2, 3)).T
                out = out * torch.rsqrt(squares + _DEMODULATION).to(out.dtype)[:, :, None, None]
        return F.leaky_relu(self.convolution(self.noise(out, rng)), _SLOPE)


def _layers(*widths: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))


def _perceptron(layers: nn.ModuleList, h: Tensor) -> Tensor:
    *between, last = layers
    for layer in between:
        h = F.leaky_relu(layer(h), _SLOPE)
    out: Tensor = last(h)
    return out


def _compressed(descriptors: Tensor) -> Tensor:
    """Signed logarithm that is linear near 0: asinh."""
    return torch.asinh(descriptors * _FINE)


def _before_leaky(convolution: nn.Conv2d) -> nn.Conv2d:
    """Initialise a convolution so that the signal's variance is kept through the leaky ReLU after it."""
    nn.init.kaiming_normal_(convolution.weight, _SLOPE)
    begin_at_zero(convolution.bias)
    return convolution

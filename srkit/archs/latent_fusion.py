"""SSR's diffusion stage as published: kernels, depth and LR fused into a frozen latent diffusion model.

Lin et al. 2024, ECCV (arXiv 2403.05808), Section 3.2. This module has the trained part: encoders of the conditions and
an AMF after each level's residual blocks. The frozen part, a `Prior`, is attached separately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from srkit.archs.amf import AMF, resized
from srkit.archs.blocks import check_min
from srkit.archs.condition_encoders import Pyramid
from srkit.archs.info import PRIOR, ArchInfo
from srkit.archs.nbsr import Coded
from srkit.errors import ResourceError, UsageError
from srkit.ops.resize import upscale
from srkit.ops.wavelets import low_pass

FACTOR = 8
"""Side in HR pixels of a latent pixel."""
LATENT = 4
"""Channels of a latent image."""
_COLOUR_LEVELS = 5  # as in StableSR
_WINDOW = 64  # side in latent pixels (512 HR pixels), as in the training of the public models
_OVERLAP = 16
_DEFAULT_STEPS = 50
_MAX_STEPS = 1000

Fuse = Callable[[int, Tensor], Tensor]
"""Function from level and features (N, C, h, w) to the features that replace them."""
Maps = Sequence[Sequence[Tensor]]


class Prior(Protocol):
    """Frozen latent diffusion model with an empty prompt."""

    widths: tuple[int, ...]
    """Channels of the U-Net's levels."""

    def encode(self, image: Tensor) -> Tensor:
        """Encode (N, 3, H, W) in [0, 1] to a latent image (N, 4, H / 8, W / 8)."""

    def decode(self, latent: Tensor) -> Tensor:
        """Decode a latent image to (N, 3, H, W), approximately in [0, 1]."""

    def epsilon(self, latent: Tensor, time: Tensor, fuse: Fuse | None = None) -> Tensor:
        """Estimate the noise in a noisy latent image at times (N,)."""

    def times(self, steps: int) -> list[int]:
        """Timesteps of a sampler with `steps` steps, descending."""

    def step(self, eps: Tensor, time: int, latent: Tensor) -> Tensor:
        """Latent image at the next timestep."""

    def noised(self, latent: Tensor, eps: Tensor, time: Tensor) -> Tensor:
        """Noisy latent image at times (N,)."""


class _Shared:
    """Holder of a prior that copies of a network share."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior

    def __deepcopy__(self, memo: Any) -> _Shared:
        return self


class LatentFusion(Coded):
    """LR (N, 3, h, w) in [0, 1], codes, depth and noise to (N, 3, 4 h, 4 w), with the attached `Prior`.

    Attention and normalisation over the whole image rule out exact tiles: larger images are processed in windows whose
    noise estimates are averaged at every step of the sampler.

    Args:
        widths: channels of the prior's levels.
        code: length K of a kernel's code.
        width: channels of the conditions' maps.
        hidden: hidden channels of the AMFs' perceptrons (128 in the paper).
        steps: default number of sampler steps.

    Raises:
        UsageError: unsupported number.
    """

    def __init__(
        self,
        widths: Sequence[int] = (320, 640, 1280, 1280),
        code: int = 15,
        width: int = 128,
        hidden: int = 128,
        steps: int = _DEFAULT_STEPS,
    ) -> None:
        super().__init__()
        check_min("A latent fusion", 1, widths=widths, code=code, width=width, hidden=hidden)
        self.scale, self._widths = 4, tuple(widths)
        self.register_codes(code)
        factors = [1 / (1 << level) for level in range(len(widths))]
        channels = {"kernels": code, "depth": 1, "lr": LATENT}
        self.encoders = nn.ModuleDict({n: Pyramid(c, width, factors) for n, c in channels.items()})
        self.fusion = nn.ModuleList(AMF(w, [width] * len(channels), hidden) for w in widths)
        self._shared: _Shared | None = None
        self.steps = steps
        self.info = ArchInfo(
            scale=4,
            receptive_field=1,
            multiple_of=FACTOR // 4 << (len(widths) - 1),
            min_size=FACTOR // 4 << (len(widths) - 1),
            tiling="none",
            bf16_ok=False,
            fp32_sum=True,
            conditioning=("codes", "depth", "noise"),
            frozen=(PRIOR,),
        )

    @property
    def steps(self) -> int:
        """Number of sampler steps."""
        return self._steps

    @steps.setter
    def steps(self, steps: int) -> None:
        if not 1 <= steps <= _MAX_STEPS:
            raise UsageError(
                f"A latent diffusion model was given {steps} steps; it takes from 1 to {_MAX_STEPS}."
            )
        self._steps = steps

    def attach(self, prior: Prior) -> None:
        """Attach the frozen network, which copies share and weights files omit.

        Raises:
            UsageError: the prior has other levels.
        """
        if tuple(prior.widths) != self._widths:
            raise UsageError(
                f"The prior has levels of {list(prior.widths)} channels, and the fusion is for {list(self._widths)}; "
                "choose the prior that it was trained with."
            )
        self._shared = _Shared(prior)

    @property
    def prior(self) -> Prior:
        """The attached frozen network.

        Raises:
            ResourceError: no prior is attached.
        """
        if self._shared is None:
            raise ResourceError(
                "A latent fusion runs with the latent diffusion model that it was trained with."
            )
        return self._shared.prior

    def forward(
        self, x: Tensor, codes: Tensor | None = None, depth: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Upscale a whole image whose sides are multiples of `info.multiple_of`.

        Args:
            x: (N, 3, h, w) in [0, 1].
            codes: (N, K, h, w), in terms of `basis`.
            depth: (N, 1, h, w), inverse depth in [0, 1]; zeros or None if unknown.
            noise: (N, 3, 4 h, 4 w), standard normal; images whose noise is 0 everywhere get the bicubic image.

        Raises:
            UsageError: `codes` or `noise` is None.
            ResourceError: no prior is attached.
        """
        if codes is None or noise is None:
            raise UsageError("A latent fusion was not given codes of kernels and noise; give both.")
        large = upscale(x, self.scale)
        drawn = noise.flatten(1).any(1)
        if not bool(drawn.any()):
            return large
        z = self.sample(latent_noise(noise), self.maps(large, codes, depth))
        image = self.prior.decode(z).to(large.dtype)
        kept = image - low_pass(image, _COLOUR_LEVELS) + low_pass(large, _COLOUR_LEVELS)
        return torch.where(drawn[:, None, None, None], kept, large)

    def maps(self, large: Tensor, codes: Tensor, depth: Tensor | None) -> list[tuple[Tensor, ...]]:
        """Condition maps: for each level, one per modality.

        Args:
            large: (N, 3, H, W), LR after bicubic upscaling, in [0, 1].
        """
        size = (large.shape[2] // FACTOR, large.shape[3] // FACTOR)
        depth = codes.new_zeros(len(codes), 1, *codes.shape[2:]) if depth is None else depth
        latent = self.prior.encode(large.clamp(0, 1))
        inputs = {"kernels": self.normalised(codes), "depth": depth, "lr": latent}
        dtype = self.basis.dtype
        return list(
            zip(*(self.encoders[n](resized(v.to(dtype), *size)) for n, v in inputs.items()), strict=True)
        )

    def fused(self, maps: Maps) -> Fuse:
        """Function that modulates the features of each level by `maps`."""
        return lambda level, h: self.fusion[level](h, maps[level])

    def sample(self, z: Tensor, maps: Maps) -> Tensor:
        """Sample a latent image from noise (N, 4, h, w)."""
        height, width = z.shape[2:]
        for time in self.prior.times(self.steps):
            total, weights = torch.zeros_like(z), z.new_zeros(1, 1, height, width)
            for rows, columns in windows(height, width, 1 << (len(self._widths) - 1)):
                weight = _weight(rows, columns, z)
                part = [tuple(_cut(m, rows, columns, level) for m in one) for level, one in enumerate(maps)]
                eps = self.prior.epsilon(
                    z[:, :, rows, columns], z.new_full((len(z),), time), self.fused(part)
                )
                if weight is None:  # a single window needs no averaging
                    total, weights = eps, z.new_ones(1)
                    break
                total[:, :, rows, columns] += weight * eps
                weights[:, :, rows, columns] += weight
            z = self.prior.step(total / weights if weights.ndim > 1 else total, time, z)
        return z


def latent_noise(noise: Tensor) -> Tensor:
    """Subsample normal noise (N, 3, H, W) to latent noise (N, 4, H / 8, W / 8)."""
    return torch.cat([noise[:, :, ::FACTOR, ::FACTOR], noise[:, :1, FACTOR // 2 :: FACTOR, ::FACTOR]], dim=1)


def windows(height: int, width: int, multiple: int) -> Iterator[tuple[slice, slice]]:
    """Overlapping windows of a latent image, processed one at a time; they begin at multiples of `multiple`."""
    for top in _starts(height, multiple):
        for left in _starts(width, multiple):
            yield slice(top, min(top + _WINDOW, height)), slice(left, min(left + _WINDOW, width))


def _starts(length: int, multiple: int) -> list[int]:
    if length <= _WINDOW:
        return [0]
    count = -(-(length - _OVERLAP) // (_WINDOW - _OVERLAP))
    return [i * (length - _WINDOW) // (count - 1) // multiple * multiple for i in range(count)]


def _weight(rows: slice, columns: slice, z: Tensor) -> Tensor | None:
    """Weights (1, 1, h, w) that fall towards a window's edges; None for the whole image."""
    sides = (rows.stop - rows.start, columns.stop - columns.start)
    if sides == tuple(z.shape[2:]):
        return None
    down, across = (
        torch.minimum(torch.arange(side, device=z.device) + 1, side - torch.arange(side, device=z.device))
        for side in sides
    )
    return (down[:, None] * across[None]).to(z.dtype).clamp_max(_OVERLAP**2)[None, None]


def _cut(x: Tensor, rows: slice, columns: slice, level: int) -> Tensor:
    """Part of a level's map that a window of the latent image covers."""
    return x[
        :,
        :,
        rows.start >> level : rows.stop >> level,
        columns.start >> level : columns.stop >> level,
    ]

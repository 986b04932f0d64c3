"""SSR's diffusion stage in pixel space: a denoiser of NBSR's residual, conditioned on kernels, depth and LR.

Lin et al. 2024, ECCV (arXiv 2403.05808), fuse kernels, depth and LR into a frozen Stable Diffusion; here the frozen
prior is a small U-Net over the residual of an NBSR. The residual is shifted as in ResShift (Yue et al. 2023, NeurIPS,
formulation only), and the sampler is DDIM's (Song et al. 2021, ICLR, Eq. 12 with eta = 0), deterministic given one
field of noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.amf import Fusion, make_fusion
from srkit.archs.blocks import begin_at_zero, centred, check_min, check_scale, conv3x3
from srkit.archs.condition_encoders import Pyramid
from srkit.archs.info import ArchInfo
from srkit.archs.nbsr import NBSR
from srkit.errors import UsageError
from srkit.ops.code_blur import CodeBlur
from srkit.ops.layout import in_precision
from srkit.ops.resize import upscale
from srkit.ops.wavelets import low_pass

SCALES = (2, 4)
MAX_STEPS = 8
SIGMA = 0.047
"""Root mean square of HR - NBSR on blurred validation crops (26.6 dB); the diffused residual is divided by it."""
KAPPA = 1.0
"""Standard deviation of the noise at the highest level, in units of `SIGMA`."""
Modality = Literal["kernels", "depth", "lr"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
_COLOUR_LEVELS = 4
"""Levels of the wavelet transform whose low-pass band, coarser than 30 HR pixels, is taken from NBSR."""
_COLOUR_REACH = (1 << _COLOUR_LEVELS) - 1  # HR pixels
_TIME = 64  # length of a noise level's sinusoidal embedding
_EMBEDDING = 128
_PIECE = 2  # factor of PixelUnshuffle


@dataclass(frozen=True)
class Known:
    """Conditions that are constant over the sampler's steps on one batch."""

    base: Tensor
    """(N, 3, s h, s w), float32: NBSR's result, or bicubic upscaling."""
    maps: Sequence[Sequence[Tensor]] | None = None
    """One map per modality for each level; None for the unconditional prior."""
    blur: CodeBlur | None = None
    """Blur of the consistency step; None for no step."""


class DiffusionSR(nn.Module):
    """LR (N, 3, h, w) in [0, 1], kernel codes, depth and noise to (N, 3, scale h, scale w); not clipped.

    Sides must be multiples of `info.multiple_of`. At initialisation the result equals NBSR's.

    Args:
        scale: 2 or 4.
        nbsr: arguments of the frozen `NBSR`, except its scale.
        widths: channels of the U-Net's levels, the first at half of HR's resolution.
        blocks: residual blocks per level, on the way down and on the way up.
        width: channels of the conditions' maps.
        hidden: hidden channels of the fusion's perceptrons.
        fusion: see `srkit.archs.amf.make_fusion`.
        modalities: modalities that are fused, a subset of `MODALITIES`.
        base: image that the residual is added to; `bicubic` is for ablation.
        consistent: apply a consistency step with the kernels after each estimate.
        steps: default number of sampler steps, 1 to 8.

    Raises:
        UsageError: unsupported value of an argument.
    """

    def __init__(
        self,
        scale: int = 4,
        nbsr: Mapping[str, Any] | None = None,
        widths: Sequence[int] = (48, 96, 160),
        blocks: int = 2,
        width: int = 32,
        hidden: int = 32,
        fusion: Fusion = "amf",
        modalities: Sequence[Modality] = MODALITIES,
        base: Literal["nbsr", "bicubic"] = "nbsr",
        consistent: bool = True,
        steps: int = 4,
    ) -> None:
        super().__init__()
        check_min("A diffusion model", 1, widths=widths, blocks=blocks, width=width, hidden=hidden)
        _check(scale, modalities, base)
        self.scale, self._base, self._modalities = scale, base, tuple(modalities)
        self._levels, self._blocks = len(widths), blocks
        self.steps = steps
        self.nbsr = NBSR(**{**(nbsr or {}), "scale": scale}).requires_grad_(False)
        self.unet = UNet(widths, blocks)
        factors = [scale / (_PIECE << level) for level in range(self._levels)]
        channels = {"kernels": len(self.nbsr.basis), "depth": 1, "lr": 3}
        self.encoders = nn.ModuleDict({name: Pyramid(channels[name], width, factors) for name in modalities})
        fused = [width] * len(modalities) if modalities else []
        self.fusion = nn.ModuleList(make_fusion(fusion, w, fused, hidden) for w in widths if fused)
        self.pull = nn.Parameter(torch.zeros(())) if consistent else None

    @property
    def basis(self) -> Tensor:
        """Basis of the codes, (K, 21, 21)."""
        return self.nbsr.basis

    @property
    def steps(self) -> int:
        """Number of U-Net evaluations per result."""
        return self._steps

    @steps.setter
    def steps(self, steps: int) -> None:
        if not 1 <= steps <= MAX_STEPS:
            raise UsageError(f"A diffusion model was given {steps} steps; it takes from 1 to {MAX_STEPS}.")
        self._steps = steps

    @property
    def info(self) -> ArchInfo:
        """`ArchInfo` for the current number of steps, which determines the receptive field."""
        reach = self.unet.reach(self._blocks)  # HR pixels
        # Radius of the maps: convolutions of a pyramid in LR pixels, at its coarsest level, and its strides.
        coarsest = (_PIECE << (self._levels - 1)) // self.scale
        encoder = 3 + sum(3 << k for k in range(1, coarsest.bit_length())) if self._modalities else 0
        blur = 2 * -(-(self.basis.shape[-1] // 2) // self.scale) if self.pull is not None else 0
        step = -(-reach // self.scale) + blur
        colours = -(-_COLOUR_REACH // self.scale)
        return ArchInfo(
            scale=self.scale,
            receptive_field=max(self.nbsr.info.receptive_field, encoder) + self.steps * step + colours,
            multiple_of=max(1, coarsest),
            fp32_sum=True,
            conditioning=("codes", "depth", "noise"),
        )

    def train(self, mode: bool = True) -> DiffusionSR:
        """Set the training mode, except of the frozen NBSR, which stays in evaluation mode."""
        super().train(mode)
        self.nbsr.eval()
        return self

    def forward(
        self, x: Tensor, codes: Tensor | None = None, depth: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Sample an image, or a piece of one, in `steps` steps.

        Args:
            x: (N, 3, h, w) in [0, 1].
            codes: (N, K, h, w), in terms of `basis`.
            depth: (N, 1, h, w), inverse depth in [0, 1]; zeros or None if unknown.
            noise: (N, 3, scale h, scale w), standard normal (`srkit.ops.noise_field`); images whose noise is 0
                everywhere get the base alone, as do all images if it is None.

        Raises:
            UsageError: `codes` is None.
        """
        known = self.known(x, codes, depth)
        if noise is None or not bool(noise.any()):
            return known.base
        field = noise.to(known.base.dtype)
        state, residual = KAPPA * field, known.base
        for step in range(self.steps, 0, -1):
            level, following = (x.new_full((len(x),), k / self.steps) for k in (step, step - 1))
            raw = self.unet_residual(state, level, known)
            eps = (state - _kept(level) * raw) / (KAPPA * _wide(level))
            residual = self.constrained(raw, known)
            state = _kept(following) * residual + KAPPA * _wide(following) * eps
        drawn = field.flatten(1).any(1)
        return torch.where(_wide(drawn), self.image(residual, known), known.base)

    def known(
        self,
        x: Tensor,
        codes: Tensor | None,
        depth: Tensor | None,
        *,
        base: Tensor | None = None,
        prior: bool = False,
    ) -> Known:
        """Compute the conditions that all steps of a batch share.

        Args:
            x, codes, depth: as in `forward`.
            base: result of the method `base` for these arguments, if already computed.
            prior: omit the conditions; the U-Net then takes the base alone.
        """
        if codes is None:
            raise UsageError(
                "The diffusion model was not given the codes of the image's kernels; give codes (N, K, h, w)."
            )
        base = self.base(x, codes) if base is None else base
        if prior:
            return Known(base)
        blur = None
        if self.pull is not None:
            blur = CodeBlur(codes.to(base.dtype), self.basis.to(base.dtype), self.scale)
        depth = x.new_zeros(len(x), 1, *x.shape[2:]) if depth is None else depth
        inputs = {"kernels": self.nbsr.normalised(codes), "depth": depth, "lr": 4 * centred(x)}
        dtype = self.unet.head.weight.dtype
        pyramids = [self.encoders[name](inputs[name].to(dtype)) for name in self._modalities]
        return Known(base, list(zip(*pyramids, strict=True)) if pyramids else None, blur)

    def base(self, x: Tensor, codes: Tensor) -> Tensor:
        """Image that the residual is added to: (N, 3, scale h, scale w), float32."""
        found: Tensor = self.nbsr(x, codes) if self._base == "nbsr" else upscale(x, self.scale)
        return found

    def residual(self, state: Tensor, level: Tensor, known: Known) -> Tensor:
        """Estimate (HR - base) / `SIGMA`, (N, 3, s h, s w), float32.

        Args:
            state: noisy residual, (1 - level^2) residual + `KAPPA` level eps; of the same shape.
            level: (N,), square root of ResShift's eta; 1 is pure noise.
        """
        return self.constrained(self.unet_residual(state, level, known), known)

    def unet_residual(self, state: Tensor, level: Tensor, known: Known) -> Tensor:
        """Estimate of `residual` before the consistency step."""
        dtype = self.unet.head.weight.dtype
        shown = torch.cat([state, 4 * centred(known.base)], dim=1)
        fusion = self.fusion if known.maps is not None and len(self.fusion) else None
        found: Tensor = self.unet(shown.to(dtype), level, fusion, known.maps)
        return found.to(known.base.dtype)

    def constrained(self, residual: Tensor, known: Known) -> Tensor:
        """Consistency step, which reduces what LR contradicts: r - g s^2 A*(A r), with blur A and learned g in [0, 1].

        NBSR already agrees with LR and separates LR's noise and JPEG artefacts from detail, so the residual should be
        invisible at LR. Where r is 0 the step changes nothing.
        """
        if known.blur is None or self.pull is None:
            return residual
        gain = self.scale**2 * torch.sigmoid(self.pull.to(residual.dtype))
        with in_precision(residual, None):
            return residual - gain * known.blur.adjoint(known.blur(residual))

    def image(self, residual: Tensor, known: Known) -> Tensor:
        """Sum of base and residual, with the low-frequency colours of the base."""
        return known.base + SIGMA * (residual - low_pass(residual, _COLOUR_LEVELS))


def noisy(residual: Tensor, level: Tensor, eps: Tensor) -> Tensor:
    """Noisy residual (N, 3, H, W) at a level (N,) with noise eps: see `DiffusionSR.residual`."""
    return _kept(level) * residual + KAPPA * _wide(level) * eps


def _wide(level: Tensor) -> Tensor:
    return level[:, None, None, None]


def _kept(level: Tensor) -> Tensor:
    return 1 - _wide(level).square()


class UNet(nn.Module):
    """U-Net from six channels at HR's size and a noise level to three; no image statistics, no attention.

    Args:
        widths, blocks: see `DiffusionSR`.
    """

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        pixels = _PIECE**2
        self.head = conv3x3(6 * pixels, widths[0])
        self.time = nn.Sequential(nn.Linear(_TIME, _EMBEDDING), nn.SiLU(), nn.Linear(_EMBEDDING, _EMBEDDING))
        self.down_blocks = nn.ModuleList(_Stage(w, blocks) for w in widths)
        pairs = list(itertools.pairwise(widths))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.up_blocks = nn.ModuleList(_Stage(w, blocks) for w in widths[:-1])
        self.tail = conv3x3(widths[0], 3 * pixels)
        begin_at_zero(self.tail.weight, self.tail.bias)

    def forward(
        self,
        x: Tensor,
        level: Tensor,
        fusion: nn.ModuleList | None = None,
        maps: Sequence[Sequence[Tensor]] | None = None,
    ) -> Tensor:
        """Map x (N, 6, H, W) and level (N,) in [0, 1] to (N, 3, H, W).

        Args:
            fusion: one module per level, applied after the level's blocks on the way down.
            maps: maps for the fusion modules, per level.
        """
        when = self.time(_waves(level).to(x.dtype))
        h: Tensor = self.head(F.pixel_unshuffle(x, _PIECE))
        seen = []
        for i, stage in enumerate(self.down_blocks):
            h = self.downs[i - 1](h) if i else h
            h = stage(h, when)
            if fusion is not None and maps is not None:
                h = fusion[i](h, maps[i])
            seen.append(h)
        for i in reversed(range(len(self.ups))):
            h = self.up_blocks[i](self.ups[i](h) + seen[i], when)
        return F.pixel_shuffle(self.tail(F.silu(h)), _PIECE)

    def reach(self, blocks: int) -> int:
        """Receptive field radius in HR pixels (an upper bound)."""
        levels = len(self.down_blocks)
        own = [2 * blocks * (1 if level == levels - 1 else 2) for level in range(levels)]
        own[0] += 2  # head and tail
        return sum((n + 1) * (_PIECE << level) for level, n in enumerate(own))


class _Stage(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_TimedBlock(width) for _ in range(blocks))

    def forward(self, h: Tensor, when: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h, when)
        return h


class _TimedBlock(nn.Module):
    """SiLU - conv - FiLM of the noise level - SiLU - conv, with a skip; no normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv3x3(width, width), conv3x3(width, width)
        self.film = nn.Linear(_EMBEDDING, 2 * width)
        begin_at_zero(self.film.weight, self.film.bias)

    def forward(self, h: Tensor, when: Tensor) -> Tensor:
        scale, shift = self.film(F.silu(when))[:, :, None, None].chunk(2, dim=1)
        inner: Tensor = self.conv1(F.silu(h))
        change: Tensor = self.conv2(F.silu(torch.addcmul(inner + shift, scale, inner)))
        return h + change


def _waves(level: Tensor) -> Tensor:
    """Sinusoidal embedding of levels (N,) in [0, 1]: (N, `_TIME`), float32, of 1/4 to 16 periods."""
    half = _TIME // 2
    frequency = 2 ** torch.linspace(-2, 4, half, device=level.device, dtype=torch.float32)
    phase = 2 * math.pi * level.float()[:, None] * frequency
    return torch.cat([phase.sin(), phase.cos()], dim=1)


def _check(scale: int, modalities: Sequence[str], base: str) -> None:
    check_scale("A diffusion model", scale, SCALES)
    strange = set(modalities) - set(MODALITIES)
    if strange or len(set(modalities)) < len(modalities) or base not in ("nbsr", "bicubic"):
        raise UsageError(
            f"A diffusion model was given the modalities {', '.join(modalities)} and the base '{base}'; it takes "
            f"each of {', '.join(MODALITIES)} once at most, and nbsr or bicubic."
        )

"""Second-order degradation (Wang et al. 2021, "Real-ESRGAN", sections 3.2 to 3.4): blur, resize, noise and JPEG,
applied twice.

    blur - resize - noise - JPEG - blur - resize - noise - (resize to LR and sinc filter, JPEG: in either order)

Optional extensions beyond the paper: print and paper before the first noise, sensor noise and film grain instead of
Gaussian and Poisson noise, sharpening halos, WebP instead of the second JPEG, and one more JPEG.

All draws are independent for every image of a batch. Real-ESRGAN shares sizes and kinds of noise within a batch, and
therefore needs a pool of 180 pairs to mix batches; here no pool is needed. Resizing keeps pixel areas aligned, without
the shift that the original's `scale_factor` causes by cutting off up to a pixel on two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.degradation.filters import (
    MODES,
    Library,
    filtered,
    resized,
    sharpened,
    uses_opencv,
    with_halo,
)
from srkit.degradation.jpeg import jpegs, rounded, webp
from srkit.degradation.mixed_kernels import between, sample_kernels, sample_sincs
from srkit.degradation.noise import film_grain, gaussian_noise, poisson_noise, sensor_noise
from srkit.degradation.paper import halftone, paper
from srkit.errors import UsageError
from srkit.ops.layout import compute_alone
from srkit.ops.resize import bicubic
from srkit.recipes.degradation import MILD, FirstOrderPart, SecondOrderPart

GAUSSIAN, POISSON, SENSOR, GRAIN = range(4)
"""Kinds of noise."""
_PAPER = (2.0, 10.0)
"""Range of the deviation of paper's texture, in levels of 8 bit."""


@dataclass(frozen=True)
class OrderDraw:
    """Parameters of one order of degradation for each of B images; tensors on the CPU."""

    kernel: Tensor
    """(B, k, k) float32; the identity kernel for images that are not blurred."""
    factor: Tensor
    """(B,) float64: resize factor, relative to HR in the first order and to LR in the second."""
    mode: Tensor
    """(B,) int64: indices of `srkit.degradation.filters.MODES`."""
    kind: Tensor
    """(B,) int64: kind of the noise."""
    noise: Tensor
    """(B,) float64: deviation in levels of 8 bit, or the factor of Poisson noise."""
    spot: Tensor
    """(B,) float64: size in pixels of blotches or grain, for noise that has them."""
    gray: Tensor
    """(B,) bool: the noise is the same in all channels."""
    quality: Tensor
    """(B,) int64: quality of JPEG or WebP."""
    full_colour: Tensor
    """(B,) bool: JPEG chroma has full resolution."""


@dataclass(frozen=True)
class Draw:
    """All degradation parameters of a batch of B images."""

    first: OrderDraw
    second: OrderDraw
    sinc: Tensor
    """(B, k, k) float32: the last filter; the identity kernel for none."""
    mode: Tensor
    """(B,) int64: mode of the last resize."""
    jpeg_last: Tensor
    """(B,) bool: the second JPEG comes after the last resize and filter, else before."""
    clean: Tensor
    """(B,) bool: antialiased bicubic instead of the degradation."""
    seed: Tensor
    """(B,) int64: seed of the noise."""
    halftone: Tensor
    """(B,) float64: distance of halftone dots in pixels; 0: not printed."""
    paper: Tensor
    """(B,) float64: deviation of the paper's texture in levels of 8 bit; 0: no paper."""
    halo: Tensor
    """(B, 2) float64: sigma in pixels, and amount, of the sharpening; amount 0 for none."""
    webp: Tensor
    """(B,) bool: WebP instead of the second JPEG."""
    again: Tensor
    """(B,) bool: one more JPEG, at the first one's quality."""
    offset: Tensor
    """(B, 2) int64: offset of that JPEG's block grid, 0 to 7."""

    def split(self, count: int) -> list[Draw]:
        """Parameters of each of `count` parts of the batch, split as by `Tensor.tensor_split`."""

        def nth(number: int) -> Callable[[Tensor], Tensor]:
            return lambda value: value.tensor_split(count)[number]

        return [self._part(nth(number)) for number in range(count)]

    def take(self, which: Tensor, rng: torch.Generator | None = None) -> Draw:
        """Parameters of the images (B',) int64 of the batch, in that order.

        Args:
            rng: generator for new noise and a new offset of the last JPEG's blocks; None keeps them.
        """
        taken = self._part(lambda value: value[which])
        if rng is None:
            return taken
        seed = torch.randint(2**62, (len(which),), generator=rng)
        return replace(taken, seed=seed, offset=torch.randint(8, (len(which), 2), generator=rng))

    def _part(self, of: Callable[[Tensor], Tensor]) -> Draw:
        first, second = (OrderDraw(*map(of, vars(order).values())) for order in (self.first, self.second))
        rest = [of(value) for value in vars(self).values() if isinstance(value, Tensor)]
        return Draw(first, second, *rest)


def draw(part: SecondOrderPart, count: int, rng: torch.Generator) -> Draw:
    """Draw the degradation parameters of `count` images."""
    sinc = sample_sincs(part.sinc_sides, part.sinc_cutoff, count, rng)
    first, second = _draw_order(part.first, count, rng), _draw_order(part.second, count, rng)
    last = (
        _where(_happens(part.sinc, count, rng), sinc),
        torch.randint(len(MODES), (count,), generator=rng),
        _happens(0.5, count, rng),
        _happens(part.clean, count, rng),
        torch.randint(2**62, (count,), generator=rng),
    )
    # Later extensions are drawn last, so that settings without them keep their random draws.
    first = _with_kinds(first, part.first, part.full_colour, rng)
    second = _with_kinds(second, part.second, part.full_colour, rng)
    drawn = Draw(first, second, *last, *_draw_beyond(part, count, rng))
    if not part.mild:
        return drawn
    mild = draw(MILD, count, rng)
    is_mild = _happens(part.mild, count, rng)
    first, second = (
        OrderDraw(
            *(_chosen(is_mild, a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))
        )
        for one, other in ((mild.first, first), (mild.second, second))
    )
    return replace(drawn, first=first, second=second)


def second_order(
    hr: Tensor, scale: int, part: SecondOrderPart, rng: torch.Generator, library: Library = "auto"
) -> tuple[Tensor, Tensor]:
    """Degrade a batch; deterministic for the same images, settings, state of `rng` and kind of device.

    Args:
        hr: (B, 3, s h, s w) float32 in [0, 1], on any device; fastest in channels_last.
        scale: s, at least 1.
        part: probabilities and ranges.
        rng: generator on the CPU, for any device of hr.
        library: `auto` uses OpenCV for images on the CPU. PyTorch is differentiable in hr: rounding, also in JPEG,
            passes gradients through.

    Returns:
        LR (B, 3, h, w), integer levels of 8 bit in [0, 1], and the target (B, 3, s h, s w) of losses that compare
        images: HR, sharpened if `part.sharpen`. Both channels_last, on hr's device.

    Raises:
        UsageError: hr of another shape, or with sides that are no multiples of the scale.
    """
    _check(hr, scale)
    return degrade(hr, scale, draw(part, len(hr), rng), sharpen=part.sharpen, library=library)


def degrade(
    hr: Tensor, scale: int, drawn: Draw, *, sharpen: bool, library: Library = "auto"
) -> tuple[Tensor, Tensor]:
    """Degrade a batch with the given parameters; otherwise as `second_order`."""
    _check(hr, scale)
    hr = hr.contiguous(memory_format=torch.channels_last)
    work = partial(_degrade, scale=scale, sharpen=sharpen, library=library)
    if not uses_opencv(hr, library):
        low, target = work(hr, drawn)
        return low, target
    with torch.no_grad():
        return _in_threads(work, hr, drawn)


def _in_threads(
    work: Callable[[Tensor, Draw], tuple[Tensor, Tensor]], hr: Tensor, drawn: Draw
) -> tuple[Tensor, Tensor]:
    """Run `work` on parts of the batch in parallel, one per thread.

    OpenCV is mostly single-threaded here, and PyTorch's thread teams would synchronise after each of some hundred short
    operations.
    """
    count = min(len(hr), torch.get_num_threads())
    if count == 1:
        return work(hr, drawn)
    with ThreadPoolExecutor(count, "srkit-degrade", initializer=compute_alone) as pool:
        parts = list(pool.map(work, hr.tensor_split(count), drawn.split(count)))
    low, target = (
        torch.cat(of).contiguous(memory_format=torch.channels_last) for of in zip(*parts, strict=True)
    )
    return low, target


def _degrade(
    hr: Tensor, drawn: Draw, *, scale: int, sharpen: bool, library: Library
) -> tuple[Tensor, Tensor]:
    """LR and target of a batch (B, 3, s h, s w)."""
    target = sharpened(hr, library) if sharpen else hr
    size = (hr.shape[2] // scale, hr.shape[3] // scale)
    soiled = torch.nonzero(~drawn.clean).flatten().tolist()
    samples = {n: target[n : n + 1] for n in soiled}
    rngs = {n: torch.Generator(hr.device).manual_seed(int(drawn.seed[n])) for n in soiled}
    for n in soiled:
        sample = _resized(samples[n], drawn.first, n, (hr.shape[2], hr.shape[3]), library)
        samples[n] = _noisy(_on_paper(sample, drawn, n, rngs[n], library), drawn.first, n, rngs[n], library)
    _compress(samples, soiled, drawn.first, library)
    for n in soiled:
        sample = _resized(samples[n], drawn.second, n, size, library)
        samples[n] = _noisy(sample, drawn.second, n, rngs[n], library)
    late, is_webp = drawn.jpeg_last.tolist(), drawn.webp.tolist()
    _compress(samples, [n for n in soiled if not late[n]], drawn.second, library, is_webp)
    for n in soiled:
        small = resized(samples[n], size, MODES[int(drawn.mode[n])], library)
        small = filtered(small, drawn.sinc[n], library)
        sigma, amount = drawn.halo[n].tolist()
        samples[n] = with_halo(small, sigma, amount, library) if amount else small
    _compress(samples, [n for n in soiled if late[n]], drawn.second, library, is_webp)
    for n in soiled:
        if drawn.again[n]:
            samples[n] = _once_more(samples[n], drawn, n, library)
    lows = [samples[n] if n in samples else bicubic(hr[n : n + 1], size) for n in range(len(hr))]
    lr = torch.cat(lows).contiguous(memory_format=torch.channels_last)
    return rounded(lr.clamp(0, 1) * 255) / 255, target


def _resized(x: Tensor, drawn: OrderDraw, n: int, size: tuple[int, int], library: Library) -> Tensor:
    """Blur, and resize to a factor of `size`."""
    factor = float(drawn.factor[n])
    height, width = (max(1, round(side * factor)) for side in size)
    return resized(filtered(x, drawn.kernel[n], library), (height, width), MODES[int(drawn.mode[n])], library)


def _on_paper(x: Tensor, drawn: Draw, n: int, rng: torch.Generator, library: Library) -> Tensor:
    """Print, and add the texture of paper, if drawn."""
    if drawn.halftone[n]:
        x = halftone(x.clamp(0, 1), float(drawn.halftone[n]), rng, library)
    return paper(x.clamp(0, 1), float(drawn.paper[n]), rng) if drawn.paper[n] else x


def _noisy(x: Tensor, drawn: OrderDraw, n: int, rng: torch.Generator, library: Library) -> Tensor:
    kind, noise, spot, gray = (
        int(drawn.kind[n]),
        float(drawn.noise[n]),
        float(drawn.spot[n]),
        bool(drawn.gray[n]),
    )
    if kind == SENSOR:
        return sensor_noise(x, noise, spot, rng, library)
    if kind == GRAIN:
        return film_grain(x.clamp(0, 1), noise, spot, gray, rng, library)
    return (gaussian_noise if kind == GAUSSIAN else poisson_noise)(x, noise, gray, rng)


def _compress(
    samples: dict[int, Tensor],
    which: Sequence[int],
    drawn: OrderDraw,
    library: Library,
    is_webp: Sequence[bool] | None = None,
) -> None:
    by_webp = [n for n in which if is_webp is not None and is_webp[n]]
    by_jpeg = [n for n in which if n not in by_webp]
    quality, full = [int(drawn.quality[n]) for n in by_jpeg], [bool(drawn.full_colour[n]) for n in by_jpeg]
    made = jpegs([samples[n] for n in by_jpeg], quality, library, full)
    samples.update(zip(by_jpeg, made, strict=True))
    samples.update({n: webp(samples[n].clamp(0, 1), int(drawn.quality[n])) for n in by_webp})


def _once_more(x: Tensor, drawn: Draw, n: int, library: Library) -> Tensor:
    """Compress by JPEG with a shifted block grid."""
    top, left = drawn.offset[n].tolist()
    around = F.pad(x, (left, 0, top, 0), mode="replicate")
    around = around.contiguous(memory_format=torch.channels_last)
    (made,) = jpegs([around], [int(drawn.first.quality[n])], library, [bool(drawn.first.full_colour[n])])
    return made[:, :, top:, left:].contiguous(memory_format=torch.channels_last)


def _draw_order(part: FirstOrderPart, count: int, rng: torch.Generator) -> OrderDraw:
    kernel = _where(_happens(part.blur, count, rng), sample_kernels(part, count, rng))
    uniform = torch.rand(5, count, generator=rng, dtype=torch.float64)
    up, down = uniform[0] < part.up, uniform[0] >= 1 - part.down
    factor = torch.where(up, between((1.0, part.factor[1]), uniform[1]), 1.0)
    factor = torch.where(down, between((part.factor[0], 1.0), uniform[1]), factor)
    gaussian = uniform[2] < part.gaussian
    noise = torch.where(gaussian, between(part.noise, uniform[3]), between(part.poisson, uniform[3]))
    quality = torch.randint(part.jpeg[0], part.jpeg[1] + 1, (count,), generator=rng)
    mode = torch.randint(len(MODES), (count,), generator=rng)
    kind = torch.where(gaussian, GAUSSIAN, POISSON)
    none = torch.zeros(count, dtype=torch.float64)
    return OrderDraw(kernel, factor, mode, kind, noise, none, uniform[4] < part.gray, quality, none > 0)


def _with_kinds(
    drawn: OrderDraw, part: FirstOrderPart, full_colour: float, rng: torch.Generator
) -> OrderDraw:
    """Add the draws of sensor noise, film grain and JPEG's chroma resolution."""
    count = len(drawn.kind)
    uniform = torch.rand(4, count, generator=rng, dtype=torch.float64)
    sensor, grain = uniform[0] < part.sensor, uniform[0] >= 1 - part.grain
    kind = torch.where(sensor, SENSOR, torch.where(grain, GRAIN, drawn.kind))
    noise = torch.where(sensor | grain, between(part.noise, uniform[1]), drawn.noise)
    spot = torch.where(grain, between(part.grain_size, uniform[2]), between(part.blotches, uniform[2]))
    return replace(drawn, kind=kind, noise=noise, spot=spot, full_colour=uniform[3] < full_colour)


def _draw_beyond(part: SecondOrderPart, count: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Draw `Draw.halftone` and the fields after it."""
    uniform = torch.rand(4, count, generator=rng, dtype=torch.float64)
    halo = torch.stack([between(part.halo_sigma, uniform[2]), between(part.halo_amount, uniform[3])], dim=1)
    halo[:, 1] *= _happens(part.halo, count, rng)
    return (
        between(part.halftone_period, uniform[0]) * _happens(part.halftone, count, rng),
        between(_PAPER, uniform[1]) * _happens(part.paper, count, rng),
        halo,
        _happens(part.webp, count, rng),
        _happens(part.again, count, rng),
        torch.randint(8, (count, 2), generator=rng),
    )


def _chosen(which: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """`one` for each image where `which` (B,), else `other`; kernels are padded to the larger side."""
    if one.ndim == 3:
        side = max(one.shape[1], other.shape[1])
        one, other = (F.pad(k, ((side - k.shape[1]) // 2,) * 4) for k in (one, other))
    return torch.where(which.view(-1, *[1] * (one.ndim - 1)), one, other)


def _happens(share: float, count: int, rng: torch.Generator) -> Tensor:
    return torch.rand(count, generator=rng, dtype=torch.float64) < share


def _where(used: Tensor, kernels: Tensor) -> Tensor:
    """Kernels where used, and identity kernels elsewhere."""
    nothing = torch.zeros_like(kernels[0])
    nothing[len(nothing) // 2, len(nothing) // 2] = 1
    return torch.where(used[:, None, None], kernels, nothing)


def _check(hr: Tensor, scale: int) -> None:
    if scale < 1:
        raise UsageError(f"Images were to be degraded at scale {scale}; it is a whole number from 1.")
    if hr.ndim != 4 or hr.shape[1] != 3 or 0 in hr.shape or hr.shape[2] % scale or hr.shape[3] % scale:
        raise UsageError(
            f"Images of shape {tuple(hr.shape)} were to be degraded at scale {scale}; "
            "it takes (B, 3, H, W) with sides that are multiples of the scale: crop them first."
        )

"""The second-order degradation (Wang et al. 2021, "Real-ESRGAN", sections 3.2 to 3.4): what befalls images that are
blurred, resized, noisy and compressed, twice.

    blur - resize - noise - JPEG - blur - resize - noise - (resize to LR and sinc filter, JPEG: in either order)

Every image of a batch draws everything by itself. Real-ESRGAN shares sizes and kinds of noise within a batch, and so
needs a pool of 180 pairs to mix batches; here there is nothing to mix. Sizes go to where pixel areas say, with no
shift, where the original's `scale_factor` cuts off up to a pixel on two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from srkit.degradation.filters import MODES, Library, filtered, resized, sharpened, uses_opencv
from srkit.degradation.jpeg import jpegs, rounded
from srkit.degradation.mixed_kernels import between, sample_kernels, sample_sincs
from srkit.degradation.noise import gaussian_noise, poisson_noise
from srkit.errors import UsageError
from srkit.ops.resize import bicubic
from srkit.ops.threads import compute_alone
from srkit.recipes.degradation import FirstOrderPart, SecondOrderPart


@dataclass(frozen=True)
class OrderDraw:
    """What one order does to each of B images; tensors on the CPU."""

    kernel: Tensor
    """(B, k, k) float32; a lone 1 in the middle where nothing is blurred."""
    factor: Tensor
    """(B,) float64: of the size, HR's in the first order, LR's in the second."""
    mode: Tensor
    """(B,) int64: indices of `srkit.degradation.filters.MODES`."""
    gaussian: Tensor
    """(B,) bool: Gaussian noise, else Poisson."""
    noise: Tensor
    """(B,) float64: deviation in levels of 8 bit, or the factor of Poisson noise."""
    gray: Tensor
    """(B,) bool: the noise is the same in all channels."""
    quality: Tensor
    """(B,) int64: of JPEG."""

    def split(self, count: int) -> list[OrderDraw]:
        """See `Draw.split`."""
        values = (value.tensor_split(count) for value in vars(self).values())
        return [OrderDraw(*of) for of in zip(*values, strict=True)]


@dataclass(frozen=True)
class Draw:
    """All that a batch of B images is degraded with."""

    first: OrderDraw
    second: OrderDraw
    sinc: Tensor
    """(B, k, k) float32: the last filter; a lone 1 in the middle where there is none."""
    mode: Tensor
    """(B,) int64: of the last resize."""
    jpeg_last: Tensor
    """(B,) bool: the second JPEG comes after the last resize and filter, else before."""
    clean: Tensor
    """(B,) bool: antialiased bicubic instead of all this."""
    seed: Tensor
    """(B,) int64: of the noise."""

    def split(self, count: int) -> list[Draw]:
        """What is done to each of `count` parts of the batch, as `Tensor.tensor_split` makes them."""
        orders = zip(self.first.split(count), self.second.split(count), strict=True)
        rest = [value.tensor_split(count) for name, value in vars(self).items() if name not in _ORDERS]
        return [Draw(*both, *values) for both, values in zip(orders, zip(*rest, strict=True), strict=True)]


_ORDERS = ("first", "second")


def draw(part: SecondOrderPart, count: int, rng: torch.Generator) -> Draw:
    """Draw what is done to `count` images."""
    sinc = sample_sincs(part.sinc_sides, part.sinc_cutoff, count, rng)
    return Draw(
        _draw_order(part.first, count, rng),
        _draw_order(part.second, count, rng),
        _where(_happens(part.sinc, count, rng), sinc),
        torch.randint(len(MODES), (count,), generator=rng),
        _happens(0.5, count, rng),
        _happens(part.clean, count, rng),
        torch.randint(2**62, (count,), generator=rng),
    )


def second_order(
    hr: Tensor, scale: int, part: SecondOrderPart, rng: torch.Generator, library: Library = "auto"
) -> tuple[Tensor, Tensor]:
    """Degrade a batch; the same for the same images, settings and state of `rng` on the same kind of device.

    Args:
        hr: (B, 3, s h, s w) float32 in [0, 1], on any device; best channels_last.
        scale: s, at least 1.
        part: shares and ranges.
        rng: on the CPU, whatever the device of hr.
        library: `auto` uses OpenCV for images on the CPU. With PyTorch it is differentiable in hr: rounding, also
            that of JPEG, passes gradients on.

    Returns:
        LR (B, 3, h, w), whole levels of 8 bit in [0, 1], and the target (B, 3, s h, s w) of losses that compare
        images: HR, sharpened if `part.sharpen`. Both channels_last, on hr's device.

    Raises:
        UsageError: hr of another shape, or with sides that are no multiples of the scale.
    """
    _check(hr, scale)
    drawn = draw(part, len(hr), rng)
    hr = hr.contiguous(memory_format=torch.channels_last)
    work = partial(_degrade, scale=scale, sharpen=part.sharpen, library=library)
    if not uses_opencv(hr, library):
        low, target = work(hr, drawn)
        return low, target
    with torch.no_grad():
        return _in_threads(work, hr, drawn)


def _in_threads(
    work: Callable[[Tensor, Draw], tuple[Tensor, Tensor]], hr: Tensor, drawn: Draw
) -> tuple[Tensor, Tensor]:
    """`work` on as many parts of the batch at a time as there are threads.

    OpenCV uses one for most of what is done here, and teams of PyTorch's would meet after every one of some hundred
    short operations.
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
    _order(samples, drawn.first, (hr.shape[2], hr.shape[3]), rngs, library)
    _compress(samples, soiled, drawn.first, library)
    _order(samples, drawn.second, size, rngs, library)
    late = drawn.jpeg_last.tolist()
    _compress(samples, [n for n in soiled if not late[n]], drawn.second, library)
    for n in soiled:
        small = resized(samples[n], size, MODES[int(drawn.mode[n])], library)
        samples[n] = filtered(small, drawn.sinc[n], library)
    _compress(samples, [n for n in soiled if late[n]], drawn.second, library)
    lows = [samples[n] if n in samples else bicubic(hr[n : n + 1], size) for n in range(len(hr))]
    lr = torch.cat(lows).contiguous(memory_format=torch.channels_last)
    return rounded(lr.clamp(0, 1) * 255) / 255, target


def _order(
    samples: dict[int, Tensor],
    drawn: OrderDraw,
    size: tuple[int, int],
    rngs: dict[int, torch.Generator],
    library: Library,
) -> None:
    """Blur, resize to a factor of `size`, noise; in place of the samples."""
    for n, sample in samples.items():
        factor = float(drawn.factor[n])
        height, width = (max(1, round(side * factor)) for side in size)
        sample = filtered(sample, drawn.kernel[n], library)
        sample = resized(sample, (height, width), MODES[int(drawn.mode[n])], library)
        add = gaussian_noise if drawn.gaussian[n] else poisson_noise
        samples[n] = add(sample, float(drawn.noise[n]), bool(drawn.gray[n]), rngs[n])


def _compress(samples: dict[int, Tensor], which: Sequence[int], drawn: OrderDraw, library: Library) -> None:
    quality = [int(drawn.quality[n]) for n in which]
    samples.update(zip(which, jpegs([samples[n] for n in which], quality, library), strict=True))


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
    return OrderDraw(kernel, factor, mode, gaussian, noise, uniform[4] < part.gray, quality)


def _happens(share: float, count: int, rng: torch.Generator) -> Tensor:
    return torch.rand(count, generator=rng, dtype=torch.float64) < share


def _where(used: Tensor, kernels: Tensor) -> Tensor:
    """The kernels, and where they are not used, kernels that do nothing."""
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

"""Measures of what people reject in an upscaled image: patterns of the stride, shifted colours, flat that is not,
tinted gray, paper that is not blank, and rings around cut-outs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srkit.engine.resample import resample

Pixels = NDArray[Any]
_CELLS = 16  # periods along a window: so many bins of its spectrum lie between two multiples of the frequency
_NEAR, _FAR = (
    3,
    6,
)  # bins around a frequency that it is compared with; nearer ones hold what the window smears
_LUMA = (0.299, 0.587, 0.114)
_FLOOR = 1e-3  # of power: an image of one level has none at all

RISE = 6.0
"""Decibels that a frequency of the stride may rise further than in the bicubic image."""
VISIBLE = 0.5
"""Levels of 255 below which a pattern is seen by nobody, however sharp its frequency."""
SHIFT = 2.0
"""Levels of 255 by which an image's mean colour may change."""
BLOCKS = 1.5
"""What `colour_blocks` may find: bicubic's is 1.03, EDSR's 1.12 to 1.19; at 3 blocks are plain to see."""
ROUGH = 0.25
"""Levels of 255 that an image of one colour may deviate from its mean."""


@dataclass(frozen=True)
class Pattern:
    """What repeats every few pixels."""

    decibels: float
    """How far the strongest of its frequencies rises above those around it; near 0 in images without."""
    levels: float
    """Root mean square of all that rises, of 255."""


def pattern(pixels: Pixels, period: int) -> Pattern:
    """How much of an image repeats every `period` pixels, along either axis or both (a checkerboard).

    The spectrum's power, as the mean of Hann windows that overlap by half (Welch), so that a pattern is found where its
    phase changes from place to place; at every multiple of 1 / period, against the median of the frequencies around it
    (along the axis where it lies on one, since axes are strong in images by themselves).

    Args:
        pixels: (H, W, 3), uint8, at least 16 periods a side.
        period: in pixels.
    """
    side = _CELLS * period
    luma = pixels.astype(np.float64) @ np.array(_LUMA)
    if min(luma.shape) < side:
        raise ValueError(f"{luma.shape} is smaller than {side} a side")
    window = np.outer(np.hanning(side + 1)[:-1], np.hanning(side + 1)[:-1])
    power = np.mean(
        [np.abs(np.fft.fft2((cut - cut.mean()) * window)) ** 2 for cut in _windows(luma, side)], axis=0
    )
    highest, risen = 0.0, 0.0
    for y in range(period):
        for x in range(period):
            if (y, x) != (0, 0):
                here, around = power[y * _CELLS, x * _CELLS], _around(power, y * _CELLS, x * _CELLS)
                highest = max(highest, (here + _FLOOR) / (around + _FLOOR))
                risen += max(0.0, here - around)
    return Pattern(10 * np.log10(highest), float(np.sqrt(risen) / window.sum()))


def _windows(luma: Pixels, side: int) -> list[Pixels]:
    starts = [range(0, length - side + 1, side // 2) for length in luma.shape]
    return [luma[y : y + side, x : x + side] for y in starts[0] for x in starts[1]]


def _around(power: Pixels, y: int, x: int) -> float:
    """The median power near a frequency, on the same axis where that is one."""
    away = range(-_FAR, _FAR + 1)
    found = [
        power[(y + dy) % len(power), (x + dx) % len(power)]
        for dy in (away if y else (0,))
        for dx in (away if x else (0,))
        if max(abs(dy), abs(dx)) >= _NEAR
    ]
    return float(np.median(found))


def colour_shift(sr: Pixels, lr: Pixels) -> float:
    """The largest difference of the mean of a channel, of 255."""
    return float(np.abs(sr.mean((0, 1)) - lr.mean((0, 1))).max())


def deviation(pixels: Pixels, margin: int = 0, side: int = 16) -> float:
    """The mean over squares of `side` pixels of the standard deviation within, of 255; the largest of the channels'.

    Args:
        margin: pixels at the border that do not count.
    """
    inner = pixels[margin : len(pixels) - margin, margin : pixels.shape[1] - margin].astype(np.float64)
    rows, columns = inner.shape[0] // side, inner.shape[1] // side
    squares = inner[: rows * side, : columns * side].reshape(rows, side, columns, side, -1)
    return float(squares.std(axis=(1, 3)).mean((0, 1)).max())


def complaints(sr: Pixels, lr: Pixels) -> list[str]:
    """What is wrong with an upscaled image, in words; nothing where all is well.

    Args:
        sr: (scale h, scale w, 3) uint8, at least 16 times the scale a side.
        lr: (h, w, 3) uint8.
    """
    scale, plain = len(sr) // len(lr), resample(lr, *sr.shape[:2])
    found = []
    for period in (p for p in range(2, scale + 1) if scale % p == 0):
        here, usual = pattern(sr, period), pattern(plain, period)
        if here.decibels > max(usual.decibels, 0.0) + RISE and here.levels > VISIBLE:
            found.append(
                f"a pattern of {period} pixels, {here.levels:.2f} levels, {here.decibels:.1f} dB above the rest "
                f"(bicubic {usual.decibels:.1f})"
            )
    shift = colour_shift(sr, lr)
    if shift > SHIFT:
        found.append(f"a mean colour that is {shift:.2f} levels away")
    return found


def flat_complaints(
    upscale: Callable[[Pixels], Pixels], colours: Iterable[tuple[int, int, int]], rough: float = ROUGH
) -> list[str]:
    """What becomes of images of one colour, in words; nothing where they stay so.

    Args:
        upscale: (h, w, 3) uint8 to the larger image.
        colours: of 255.
        rough: max standard deviation of the result, in levels.
    """
    found = []
    for colour in colours:
        lr = np.full((40, 40, 3), colour, np.uint8)
        sr = upscale(lr)
        found_rough = deviation(
            sr, margin=4 * len(sr) // len(lr)
        )  # the network's own padding acts at the border
        if found_rough > rough:
            found.append(f"{colour} deviates by {found_rough:.2f} levels")
        if colour_shift(sr, lr) > SHIFT:
            found.append(f"{colour} is shifted by {colour_shift(sr, lr):.2f} levels")
    return found


def tint(pixels: Pixels) -> int:
    """The largest difference between the colours of a pixel; 0 in gray images.

    Args:
        pixels: (H, W, 3), of any depth.
    """
    return int(np.ptp(pixels.astype(np.int64), axis=2).max())


def spilled(sr: Pixels, lr: Pixels, level: int, radius: int) -> int:
    """How far a plane is from a level, where that of the input has this level all around.

    Args:
        sr: (scale h, scale w).
        lr: (h, w).
        level: 0 for empty alpha or black, the greatest for opaque or white.
        radius: of the squares around LR pixels that count as around.
    """
    side = 2 * radius + 1
    squares = np.lib.stride_tricks.sliding_window_view(np.pad(lr, radius, mode="edge"), (side, side))
    scale = len(sr) // len(lr)
    inside = (squares == level).all((2, 3)).repeat(scale, 0).repeat(scale, 1)
    if not inside.any():
        raise ValueError(f"no pixel has {level} all around, {radius} pixels far")
    return int(np.abs(sr.astype(np.int64) - level)[inside].max())


def noise_complaints(upscale: Callable[[Pixels], Pixels], sigmas: Iterable[float]) -> list[str]:
    """Where noise on one colour comes out stronger than bicubic upscaling leaves it, in words.

    Args:
        upscale: as `flat_complaints`'s.
        sigmas: standard deviations of the noise, of 255.
    """
    found = []
    for sigma in sigmas:
        noise = np.random.default_rng(0).normal(0, sigma, (64, 64, 3))
        lr = (128 + noise).clip(0, 255).round().astype(np.uint8)
        sr = upscale(lr)
        margin = 4 * len(sr) // len(lr)
        rough, plain = deviation(sr, margin), deviation(resample(lr, *sr.shape[:2]), margin)
        if rough > plain:
            found.append(
                f"noise of {sigma:g} levels deviates by {rough:.2f}, in the bicubic image by {plain:.2f}"
            )
    return found


def colour_blocks(pixels: Pixels, scale: int) -> float:
    """By what factor colours' steps across the borders of LR pixels differ from those inside; 1 where they are alike.

    Args:
        pixels: (H, W, 3), uint8, sides multiples of the scale, without hard edges of its own.
        scale: at least 2.
    """
    x = pixels.astype(np.float64)
    colours = (x - (x @ np.array(_LUMA))[..., None]).transpose(2, 0, 1)
    found = []
    for axis in (1, 2):
        steps = np.abs(np.diff(colours, axis=axis)).mean(axis=(0, 3 - axis))
        profile = [steps[place::scale].mean() + 1e-2 for place in range(scale)]
        ratio = profile[-1] / np.median(profile[:-1])
        found.append(max(ratio, 1 / ratio))
    return max(found)


def colour_wheel(side: int) -> Pixels:
    """Strong colours without edges, (side, side, 3)."""
    y, x = np.mgrid[:side, :side] / (side - 1)
    turn = (2 * x + 1.5 * y) * 2 * np.pi
    hues = np.stack([np.cos(turn), np.cos(turn - 2.1), np.cos(turn + 2.1)], axis=-1)
    strength = 0.4 + 0.6 * np.sin(3 * np.pi * y)[..., None] ** 2
    return (128 + 100 * hues * strength).round().clip(0, 255).astype(np.uint8)

"""Light at night: halos around light sources, reflections in water, streaks on a wet road."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from srkit.rendered.canvas import Colour, Noise, Pixels, Rng, f32


def glowing(image: Pixels, light: Image.Image) -> Pixels:
    """Image (height, width, 3) with halos: the light, blurred at three widths and added."""
    blurs = (ImageFilter.BoxBlur(radius) for radius in (2, 6, 20))
    halos = [np.asarray(light.filter(blur).filter(blur)) for blur in blurs]
    for row in range(len(image)):  # one row at a time, to save memory
        total = image[row].astype(np.int32)
        for halo, gain in zip(halos, (5, 7, 9), strict=True):
            total += halo[row].astype(np.int32) * gain // 10
        image[row] = np.minimum(total, 255)
    return image


def reflect(image: Pixels, low: int, dark: Colour, rng: Rng) -> None:
    """Draw water over the rows from `low` on: the reflected shore, stretched downwards and broken by ripples that grow
    towards the viewer.

    Args:
        dark: colour of the water without reflections.
    """
    depth, width = len(image) - low, image.shape[1]
    source = Image.fromarray(np.ascontiguousarray(image[max(0, low - 2 * depth) : low][::-1]))
    soft = np.asarray(source.filter(ImageFilter.BoxBlur(1))).astype(np.float32)
    y = np.arange(depth, dtype=np.float32)[:, None]
    small, large = (Noise(rng, depth, width, cell).rows(0, depth) for cell in ((2.2, 14.0), (5.0, 34.0)))
    ripple = small - f32(0.5) + (large - f32(0.5)) * f32(1.4)
    moved = y * f32(1.3) + ripple * (f32(3) + y * f32(0.28))
    down = np.clip(moved, 0, len(soft) - 2)
    row = down.astype(np.int32)
    share = (down - row)[:, :, None]
    aside = (ripple * 3).round().astype(np.int32)
    columns = np.clip(np.arange(width)[None, :] + aside, 0, width - 1)
    mirrored = soft[row, columns] * (1 - share) + soft[row + 1, columns] * share
    shine = (f32(0.42) + f32(0.5) * ripple)[:, :, None] + f32(0.2)
    shown = np.array(dark, np.float32) * f32(0.8) + mirrored * shine
    image[low:] = np.clip(shown, 0, 255).round().astype(np.uint8)


def wet(image: Pixels, low: int, rng: Rng) -> None:
    """Draw streaks of light on wet asphalt, over the rows from `low` on."""
    depth, width = len(image) - low, image.shape[1]
    source = image[max(0, low - depth) : low][::-1]
    streaks = Image.fromarray(np.ascontiguousarray(source)).filter(ImageFilter.BoxBlur(2))
    short = streaks.resize((width, max(1, streaks.height // 14)), Image.Resampling.BOX)
    tall = np.asarray(short.resize((width, depth), Image.Resampling.BICUBIC)).astype(np.float32)
    gleam = Noise(rng, depth, width, (5.0, 22.0)).rows(0, depth)[:, :, None]
    shown = image[low:] + tall * (f32(0.12) + f32(0.4) * gleam)
    image[low:] = np.clip(shown, 0, 255).round().astype(np.uint8)

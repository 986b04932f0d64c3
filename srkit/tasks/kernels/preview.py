"""Preview of a kernel map: input, estimate and confidence in one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from srkit.inference.kernel_summary import kernel_widths
from srkit.io.image import Pixels
from srkit.io.kernel_map import SIDE, Floats, KernelMap
from srkit.recipes.estimate import EstimateRecipe
from srkit.tasks.kernels import drawing as drawing
from srkit.tasks.kernels.drawing import INK, MUTED, UNKNOWN, Sheet, coloured, resized, resized_values
from srkit.tasks.kernels.samples import Sample, sample_kernels

_MARGIN, _GAP, _LEGEND, _CAPTION = 40, 32, 44, 30
_HEAD = 132
_MIN_PAGE = 1120
_PANEL_AREA, _PANEL_WIDTH, _PANEL_HEIGHT = 664 * 498, 664, 760
_FINE = 2  # ellipses are drawn at this multiple of the size and shrunk, for smooth lines
_SAMPLES = 8
_CLEAR = 0.25
"""Confidence from which colours are fully saturated."""
_MIN_KNOWN = 0.02
"""Confidence below which no ellipse is drawn."""
_DIMMED = 0.45  # brightness of the image under the ellipses
_MIN_RANGE = 0.4  # minimal range of the colours of widths in HR pixels: noise must not look like structure


@dataclass(frozen=True)
class Fact:
    """A number in the page's header."""

    label: str
    value: str


@dataclass(frozen=True)
class _Layout:
    """Positions on the page."""

    columns: int
    panel: tuple[int, int]
    width: int
    tile: int

    @property
    def rows(self) -> int:
        return 4 // self.columns

    @property
    def row_height(self) -> int:
        return _CAPTION + self.panel[1] + _LEGEND

    @property
    def strip(self) -> int:
        """Top of the strip of sample kernels."""
        return _HEAD + self.rows * self.row_height

    @property
    def height(self) -> int:
        return self.strip + _CAPTION + 14 + self.tile + 62

    def place(self, index: int) -> tuple[int, int]:
        """Top left corner of a panel."""
        row, column = divmod(index, self.columns)
        used = self.columns * self.panel[0] + (self.columns - 1) * _GAP
        left = (self.width - used) // 2
        return left + column * (self.panel[0] + _GAP), _HEAD + row * self.row_height + _CAPTION


def draw_preview(
    pixels: Pixels,
    kernels: KernelMap,
    *,
    title: str = "",
    subtitle: str = "",
    facts: Sequence[Fact] = (),
    grid: int = EstimateRecipe.grid,
) -> NDArray[np.uint8]:
    """Draw the page: image, depth, ellipses over the image, width of the blur, sample kernels.

    Args:
        pixels: the LR image (h, w, 1 or 3), uint8 or uint16.
        kernels: the image's kernel map.
        title, subtitle: lines of the header.
        facts: numbers of the header.
        grid: number of ellipses along the image's longer side.

    Returns:
        (H, W, 3) uint8; 1120 to 1424 pixels wide.
    """
    image = _shallow(pixels)
    layout = _laid_out(kernels.width, kernels.height)
    sheet = Sheet(layout.width, layout.height)
    _draw_head(sheet, layout, title, subtitle, facts)
    samples = sample_kernels(kernels, _SAMPLES)
    low, high = _range(kernels)
    shown = resized(image, layout.panel)
    ellipses, magnified = _ellipses(shown, kernels, (low, high), grid, samples)
    panels = (
        ("Image", shown),
        ("Depth", _depth_panel(kernels, layout.panel)),
        ("Kernels", ellipses),
        ("Width of the blur", _width_panel(kernels, (low, high), layout.panel)),
    )
    for index, (caption, panel) in enumerate(panels):
        x, y = layout.place(index)
        sheet.text((x, y - 9), caption, 17, INK, "ls")
        sheet.paste(panel, (x, y))
        sheet.frame((x, y), layout.panel)
    _draw_legends(sheet, layout, kernels, (low, high), magnified)
    _draw_strip(sheet, layout, samples)
    return np.asarray(sheet.image)


def _laid_out(width: int, height: int) -> _Layout:
    """Layout with panels in the image's proportions: two by two; wide ones in a column, tall ones in a row."""
    aspect = width / height
    columns = 1 if aspect > 3 else 4 if aspect < 0.4 else 2
    if columns == 1:
        panel_width = 2 * _PANEL_WIDTH + _GAP
        panel = (panel_width, round(panel_width / aspect))
    elif columns == 4:
        panel = (round(min(320, 900 * aspect)), 900)
    else:
        panel_width = round(min(_PANEL_WIDTH, math.sqrt(_PANEL_AREA * aspect), _PANEL_HEIGHT * aspect))
        panel = (panel_width, round(panel_width / aspect))
    panel = (max(24, panel[0]), max(24, panel[1]))
    page = max(_MIN_PAGE, columns * panel[0] + (columns - 1) * _GAP + 2 * _MARGIN)
    count = _SAMPLES + 1
    tile = (page - 2 * _MARGIN - (count - 1) * 10) // count // SIDE * SIDE
    return _Layout(columns, panel, page, tile)


# -- head, legends, strip -------------------------------------------------------------------------------------


def _draw_head(sheet: Sheet, layout: _Layout, title: str, subtitle: str, facts: Sequence[Fact]) -> None:
    right = layout.width - _MARGIN
    for fact in reversed(facts):
        value, label = drawing.plain(fact.value, 16), drawing.plain(fact.label, 24)
        wide = max(drawing.text_width(value, 24), drawing.text_width(label, 13))
        left = right - wide
        sheet.text((left, 34), label, 13, MUTED)
        sheet.text((left, 52), value, 24, INK)
        right = int(left) - 34
    room = right - _MARGIN
    for text, size, y, colour in ((title, 28, 30, INK), (subtitle, 15, 68, MUTED)):
        text = drawing.plain(text, 90)
        while drawing.text_width(text, size) > room and len(text) > 8:
            text = drawing.plain(text, len(text) - 2)
        sheet.text((_MARGIN, y), text, size, colour)
    sheet.rule(_MARGIN, 100, layout.width - 2 * _MARGIN)


def _draw_legends(
    sheet: Sheet, layout: _Layout, kernels: KernelMap, limits: tuple[float, float], magnified: float
) -> None:
    """Draw a legend below each panel."""
    y = layout.panel[1] + 9
    places = [(x, top + y) for x, top in map(layout.place, range(4))]
    narrow = layout.panel[0] < 510
    sheet.text(places[0], f"{kernels.width} x {kernels.height} pixels", 13, MUTED)
    if kernels.depth.any():
        _draw_bar(sheet, places[1], 90 if narrow else 180, drawing.DEPTHS, "far", "near")
    much = f"{magnified:.3g}"
    text = (
        f"2 sigma, {much}x as large"
        if narrow
        else f"ellipses: 2 standard deviations, drawn {much} times as large"
    )
    sheet.text(places[2], text, 13, MUTED)
    x, top = places[3]
    width = 70 if narrow else 180
    labels = f"{limits[0]:.1f}", f"{limits[1]:.1f} px" if narrow else f"{limits[1]:.1f} HR pixels"
    used = _draw_bar(sheet, (x, top), width, drawing.WIDTHS, *labels)
    sheet.swatch((x + used + 20, top + 2), 11, UNKNOWN)
    sheet.text((x + used + 38, top), "unknown" if narrow else "grey: undetermined", 13, MUTED)


def _draw_bar(
    sheet: Sheet, place: tuple[int, int], width: int, stops: tuple[str, ...], left: str, right: str
) -> int:
    """Draw a bar of colours between two words; return the total width."""
    x, y = place
    first = int(sheet.text((x, y), left, 13, MUTED)) + 8
    sheet.bar((x + first, y + 2), (width, 12), stops)
    last = sheet.text((x + first + width + 8, y), right, 13, MUTED)
    return first + width + 8 + int(last)


def _draw_strip(sheet: Sheet, layout: _Layout, samples: Sequence[Sample]) -> None:
    top = layout.strip
    sheet.rule(_MARGIN, top, layout.width - 2 * _MARGIN)
    caption = f"Sample kernels, {SIDE} x {SIDE} HR pixels, from sharp to blurred; the numbers are those in the image"
    sheet.text((_MARGIN, top + 14), caption, 15, INK)
    count = _SAMPLES + 1
    step = (layout.width - 2 * _MARGIN - layout.tile) / (count - 1)
    y = top + 14 + _CAPTION
    for i, sample in enumerate(samples):
        x = round(_MARGIN + i * step)
        sheet.paste(_kernel_tile(sample, layout.tile), (x, y))
        middle = x + layout.tile / 2
        sheet.text((middle, y + layout.tile + 8), sample.label, 15, INK, "ma")
        sheet.text((middle, y + layout.tile + 29), _size_of(sample.covariance), 12, MUTED, "ma")


def _size_of(covariance: tuple[float, float, float]) -> str:
    """Standard deviations along both axes, as text."""
    xx, xy, yy = covariance
    middle, radius = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    long, short = (math.sqrt(max(0.0, middle + sign * radius)) for sign in (1, -1))
    return f"{long:.2f} x {short:.2f} px"


def _kernel_tile(sample: Sample, side: int) -> Image.Image:
    """Image of a kernel's taps, normalised to its maximum, with the ellipse of two standard deviations."""
    kernel = np.maximum(0, sample.kernel)
    taps = coloured(np.sqrt(kernel / max(1e-9, float(kernel.max()))), drawing.TAPS)
    image = Image.fromarray(taps).resize((side * _FINE, side * _FINE), Image.Resampling.NEAREST)
    pitch = side * _FINE / SIDE
    mass = max(1e-9, float(kernel.sum()))
    tap = np.arange(SIDE) + 0.5
    centre = (float(kernel.sum(0) @ tap) / mass * pitch, float(kernel.sum(1) @ tap) / mass * pitch)
    corners = drawing.ellipse(centre, sample.covariance, 2 * pitch, pitch / 2)
    ImageDraw.Draw(image, "RGBA").line(corners, fill=(255, 255, 255, 150), width=_FINE, joint="curve")
    return image.resize((side, side), Image.Resampling.BOX)


# -- panels ---------------------------------------------------------------------------------------------------


def _depth_panel(kernels: KernelMap, size: tuple[int, int]) -> Image.Image:
    if not kernels.depth.any():
        empty = Image.new("RGB", size, drawing.LINE)
        middle = (size[0] / 2, size[1] / 2)
        ImageDraw.Draw(empty).text(middle, "not known", fill=MUTED, font=drawing.font(17), anchor="mm")
        return empty
    return Image.fromarray(coloured(resized_values(kernels.depth, size), drawing.DEPTHS))


def _width_panel(kernels: KernelMap, limits: tuple[float, float], size: tuple[int, int]) -> Image.Image:
    """Panel of the blur's width as colour, fading to grey with low confidence."""
    known = _clearness(resized_values(kernels.confidence, size))[..., None]
    # Widths of high confidence have more weight when the map is shrunk.
    weight = kernels.confidence + 1e-3
    widths = resized_values(kernel_widths(kernels) * weight, size) / resized_values(weight, size)
    colours = coloured(_share(widths, limits), drawing.WIDTHS).astype(np.float32)
    mixed = colours * known + np.array(UNKNOWN, np.float32) * (1 - known)
    return Image.fromarray(mixed.round().astype(np.uint8))


def _ellipses(
    image: Image.Image,
    kernels: KernelMap,
    limits: tuple[float, float],
    grid: int,
    samples: Sequence[Sample],
) -> tuple[Image.Image, float]:
    """The kernels as ellipses over the dimmed image, and their magnification."""
    width, height = image.size
    longer = max(kernels.width, kernels.height)
    pitch = longer / min(grid, longer)
    rows, columns = (max(1, round(side / pitch)) for side in (kernels.height, kernels.width))
    weight = kernels.confidence + 1e-6
    known = resized_values(kernels.confidence, (columns, rows))
    covariances = np.stack(
        [
            resized_values(part * weight, (columns, rows)) / resized_values(weight, (columns, rows))
            for part in kernels.covariance
        ]
    )
    unit = _FINE * width / kernels.width / kernels.scale  # drawing units per HR pixel
    room = 0.47 * _FINE * min(width / columns, height / rows)
    magnified = _magnification(covariances, known, unit, room)
    drawn = _dimmed(image).resize((width * _FINE, height * _FINE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(drawn, "RGBA")
    for i in range(rows):
        for j in range(columns):
            centre = ((j + 0.5) * width * _FINE / columns, (i + 0.5) * height * _FINE / rows)
            covariance = [float(part) for part in covariances[:, i, j]]
            _draw_kernel(draw, centre, covariance, 2 * unit * magnified, float(known[i, j]), limits)
    for sample in samples:
        if sample.place is not None:
            _draw_mark(draw, sample, (width * _FINE / kernels.width, height * _FINE / kernels.height))
    return drawn.resize((width, height), Image.Resampling.BOX), magnified


def _draw_kernel(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    covariance: list[float],
    factor: float,
    known: float,
    limits: tuple[float, float],
) -> None:
    x, y = centre
    if known < _MIN_KNOWN:
        dot = 1.5 * _FINE
        draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=(*UNKNOWN, 200))
        return
    width = math.sqrt(max(0.0, (covariance[0] + covariance[2]) / 2))
    colour = tuple(int(c) for c in coloured(_share(np.array(width), limits), drawing.WIDTHS))
    opacity = round(70 + 185 * float(_clearness(np.array(known))))
    corners = drawing.ellipse(centre, covariance, factor, 2.0 * _FINE)
    draw.line(corners, fill=(0, 0, 0, opacity // 2), width=4 * _FINE, joint="curve")
    draw.line(corners, fill=(*colour, opacity), width=2 * _FINE, joint="curve")


def _draw_mark(draw: ImageDraw.ImageDraw, sample: Sample, unit: tuple[float, float]) -> None:
    """Draw the number of a sample kernel at its position."""
    if sample.place is None:
        return
    radius = 9 * _FINE
    wide, high = draw.im.size
    x = min(max((sample.place[1] + 0.5) * unit[0], radius), wide - radius)
    y = min(max((sample.place[0] + 0.5) * unit[1], radius), high - radius)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255, 235))
    draw.text((x, y), sample.label, fill=INK, font=drawing.font(13 * _FINE), anchor="mm")


def _magnification(covariances: NDArray[np.float32], known: Floats, unit: float, room: float) -> float:
    """Magnification at which all but the widest ellipses fit into their cells; a round number."""
    xx, xy, yy = covariances
    longest = np.sqrt(np.maximum(0, (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)))
    counted = longest[known >= _MIN_KNOWN] if (known >= _MIN_KNOWN).any() else longest
    reach = 2 * unit * max(0.3, float(np.quantile(counted, 0.95)))
    return drawing.nice(room / reach)


def _dimmed(image: Image.Image) -> Image.Image:
    """The image, half desaturated and darkened."""
    colour = np.asarray(image, np.float32)
    gray = colour.mean(axis=2, keepdims=True)
    return Image.fromarray(((colour + gray) / 2 * _DIMMED + 10).round().astype(np.uint8))


# -- what is shown ----------------------------------------------------------------------------------------------


def _shallow(pixels: Pixels) -> NDArray[np.uint8]:
    """8-bit RGB (h, w, 3) of an image."""
    colour = pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)
    repeated = np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour
    return repeated.astype(np.uint8, copy=False)


def _clearness(confidence: NDArray[np.floating]) -> NDArray[np.float32]:
    clear: NDArray[np.float32] = np.clip(np.asarray(confidence, np.float32) / _CLEAR, 0, 1)
    return clear


def _share(widths: NDArray[np.floating], limits: tuple[float, float]) -> NDArray[np.float32]:
    low, high = limits
    return np.asarray((widths - low) / (high - low), np.float32)


def _range(kernels: KernelMap) -> tuple[float, float]:
    """Range of widths for the colours: that of nearly all pixels of known kernels, in steps of 0.1."""
    widths, known = kernel_widths(kernels), kernels.confidence >= min(_CLEAR, float(kernels.confidence.max()))
    low, high = (float(np.quantile(widths[known], q)) for q in (0.02, 0.98))
    missing = max(0.0, _MIN_RANGE - (high - low)) / 2
    low = max(0.0, math.floor((low - missing) * 10) / 10)
    return low, max(low + _MIN_RANGE, math.ceil((high + missing) * 10) / 10)

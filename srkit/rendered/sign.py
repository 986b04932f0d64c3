"""Close-ups of words: shop signs, street signs, posters and pages on a wall.

The word is the largest object: its letters are an eighth to a quarter of the image's shorter side, so that an LR image
at x8 of 128 pixels, or at x16 of 256, shows their positions but not their identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from srkit.rendered._masonry import FINER, Surface, painted
from srkit.rendered.canvas import Box, Colour, Noise, Pixels, Point, Rendered, Rng, Sheet, f32, reduce_bands
from srkit.rendered.colours import mix, shade
from srkit.rendered.lettering import TYPEFACES, sentence, sign_text, small_text, typeset, typeset_width
from srkit.rendered.specs import Caption, Spec, Split, Wording, a, choice, words
from srkit.rendered.texture import Texture

_SCHEMES: dict[str, tuple[Colour, Colour]] = {  # board and letters
    "white on blue": ((28, 62, 138), (244, 244, 240)),
    "white on green": ((24, 92, 62), (240, 244, 236)),
    "white on red": ((168, 32, 36), (250, 244, 240)),
    "white on black": ((26, 26, 28), (240, 238, 232)),
    "black on yellow": ((240, 200, 40), (22, 20, 16)),
    "black on white": ((240, 238, 232), (24, 22, 22)),
    "gold on black": ((28, 28, 30), (222, 180, 88)),
    "cream on brown": ((88, 54, 34), (244, 228, 192)),
    "red on cream": ((240, 228, 200), (170, 34, 30)),
    "blue on white": ((238, 240, 242), (30, 56, 130)),
}
_WALLS = (
    "brick: brick wall, plaster: plaster wall|rendered wall, planks: wooden wall|plank wall, blocks: stone wall"
)  # fmt: skip
_KINDS: dict[str, tuple[Point, Point, float]] = {  # shares of the image's sides, and the radius of corners
    "shop sign": ((0.8, 0.94), (0.4, 0.55), 0.04),
    "street sign": ((0.8, 0.95), (0.28, 0.38), 0.1),
    "poster": ((0.68, 0.82), (0.8, 0.93), 0.0),
    "page": ((0.84, 0.95), (0.86, 0.97), 0.0),
}
_EM = 0.235  # of the shorter side, at most


def _text(rng: Rng, split: Split) -> str:
    return "" if rng.chance(0.06) else sign_text(rng, split)


@dataclass(frozen=True, kw_only=True)
class Sign(Spec):
    """Sign, poster or page with a word or two, perhaps a smaller line and an emblem."""

    domain = "sign"
    kind: str = choice(
        "shop sign: shop sign|sign board, street sign: street sign|name plate, poster: poster|printed poster, "
        "page: page|printed page",
        weights="4 2 2 2",
    )
    text: str = words(_text)
    small: str = words(small_text)
    typeface: str = choice(TYPEFACES, weights="4 3 2 2 1 1 2 1 1", hidden=True)
    scheme: str = choice({scheme: scheme for scheme in _SCHEMES})
    emblem: str = choice(
        "none:, cup, key, fish, star, arrow, anchor, heart, flower",
        weights="10 1 1 1 1 1 1 1 1", hidden=True, kind=("shop sign", "street sign", "poster"),
    )  # fmt: skip
    wall: str = choice(_WALLS)

    def shown(self) -> tuple[str, ...]:
        blank = not (self.text or self.small)
        return tuple(name for name in super().shown() if not (blank and name == "typeface"))

    def draw(self, width: int, height: int) -> Rendered:
        board, mask = self._board(width, height, *_SCHEMES[self.scheme])
        wall = self._wall(width, height).astype(np.float32)
        unit = min(width, height) / 128
        cover = Image.fromarray(mask.reduced()[:, :, 0])
        moved = (1, 0, -round(2 * unit), 0, 1, -round(3 * unit))
        shadow = cover.filter(ImageFilter.BoxBlur(2 * unit)).transform(
            cover.size, Image.Transform.AFFINE, moved
        )
        wall *= 1 - np.asarray(shadow).astype(np.float32)[:, :, None] * f32(0.55 / 255)
        worn = Noise(self.rng("worn"), height, width, (1.3, 1.3)).rows(0, height)
        worn += Noise(self.rng("stains"), height, width, (30 * unit, 30 * unit)).rows(0, height)
        face = board.reduced().astype(np.float32) * (f32(0.93) + f32(0.07) * worn[:, :, None])
        share = np.asarray(cover).astype(np.float32)[:, :, None] / f32(255)
        return Rendered(painted(wall + (face - wall) * share), tuple(board.lettering))

    def ink(self, width: int, height: int) -> Pixels:
        board, _ = self._board(width, height, (0, 0, 0), (255, 255, 255))
        return board.reduced()[:, :, :1].copy()

    def _wall(self, width: int, height: int) -> Pixels:
        if self.wall != "plaster":
            return replace(Texture.drawn(self.seed), surface=self.wall).draw(width, height).pixels
        rng = self.rng("plaster")
        surface = Surface(width, height, rng)
        colour = shade(rng.pick(((206, 196, 176), (186, 186, 182), (214, 178, 140), (150, 164, 170))), 0.95)
        return reduce_bands(
            width, height, FINER, lambda top, bottom: painted(surface.mortar(top, bottom, colour))
        )

    def _board(self, width: int, height: int, paper: Colour, ink: Colour) -> tuple[Sheet, Sheet]:
        """The sign at the size of the image, and the mask of its coverage of the wall."""
        rng = self.rng(self.kind)
        wide, tall, radius = _KINDS[self.kind]
        half = (width * rng.between(*wide) / 2, height * rng.between(*tall) / 2)
        x, y = (
            side / 2 + (side / 2 - h) * rng.between(-0.8, 0.8)
            for side, h in zip((width, height), half, strict=True)
        )
        box = (x - half[0], y - half[1], x + half[0], y + half[1])
        unit = min(width, height) / 128
        board, mask = Sheet(width, height, paper), Sheet(width, height, 0)
        mask.box(box, 255, radius=radius * min(width, height))
        edge = 4.5 * unit
        inner = (box[0] + edge, box[1] + edge, box[2] - edge, box[3] - edge)
        if self.kind in ("shop sign", "street sign"):
            frame = (box[0] + edge * 0.5, box[1] + edge * 0.5, box[2] - edge * 0.5, box[3] - edge * 0.5)
            board.box(frame, None, ink, 1.1 * unit, radius * 0.8 * min(width, height))
        _layout(self, board, inner, ink, paper)
        return board, mask

    def describe(self, say: Wording) -> Caption:
        name = say("kind")
        if self.text:
            short = f"{a(name)} {say.reads('text')}"
        else:
            short = f"a blank {name}" if not self.small else f"{a(name)} in small print"
        short = f"{say.pick('photograph of', 'close-up of', '')} {short}"
        detail = [
            say.pick("{} letters", "lettering {}", "{}").format(say("scheme")),
            say("typeface") + say.pick(" type", " letters", " lettering")
            if "typeface" in self.shown()
            else "",
            f"small line {say.reads('small')}" if self.small else "",
            say.pick("with {} emblem", "{} symbol").format(a(say("emblem")))
            if "emblem" in self.shown()
            else "",
            say.pick("on a {}", "{} behind").format(say("wall")),
        ]
        return say.caption(
            short, detail, (name, "text" if self.text else "", "letters" if self.text else "", self.wall)
        )


def _layout(spec: Sign, board: Sheet, box: Box, ink: Colour, paper: Colour) -> None:
    """Draw the words, the emblem and further print within `box`."""
    x0, y0, x1, y1 = box
    wide, tall, rng = x1 - x0, y1 - y0, spec.rng("layout")
    largest = _EM * min(board.width, board.height) * rng.between(0.7, 1.0)
    if spec.kind == "poster":
        _image(board, (x0, y0 + tall * 0.46, x1, y1), ink, paper, spec.rng("picture"), spec.emblem)
        y1 = y0 + tall * 0.44
    elif spec.kind == "page":
        _paragraph(board, (x0, y0 + tall * 0.56, x1, y1), ink, paper, spec.rng("paragraph"))
        y1 = y0 + tall * 0.54
    elif spec.emblem != "none":
        size = min(wide * 0.1, (y1 - y0) * 0.3)
        draw_emblem(board, (x0 + size, (y0 + y1) / 2), size, ink, paper, spec.emblem)
        x0 += 2.3 * size
    split = 0.68 if spec.small and spec.text else 1.0 if spec.text else 0.0
    middle = y0 + (y1 - y0) * split
    _words(board, (x0, y0, x1, middle), spec.text, largest, ink, spec.typeface)
    _words(board, (x0, middle, x1, y1), spec.small, largest * 0.55, ink, spec.typeface, single=True)


def _words(
    board: Sheet, box: Box, text: str, largest: float, ink: Colour, typeface: str, *, single: bool = False
) -> None:
    """Write the words at the largest size that fits, on one line or one below the other."""
    if not text:
        return
    x0, y0, x1, y1 = box

    def size(lines: Sequence[str]) -> float:
        width = max(typeset_width(line, 100.0, typeface) for line in lines) / 100
        return min(largest, (x1 - x0) * 0.97 / width, (y1 - y0) / (len(lines) * 1.02))

    lines = [text] if single else max(([text], text.split()), key=size)
    em = size(lines)
    for k, line in enumerate(lines):
        at = ((x0 + x1) / 2, (y0 + y1) / 2 + (k - (len(lines) - 1) / 2) * em * 1.08)
        typeset(board, at, line, em, ink, typeface, named=True)


def _image(board: Sheet, box: Box, ink: Colour, paper: Colour, rng: Rng, emblem: str) -> None:
    """Draw a poster's image: a panel with a sun or stripes, and the emblem on it."""
    x0, y0, x1, y1 = box
    back, middle = mix(paper, ink, rng.between(0.25, 0.6)), ((x0 + x1) / 2, (y0 + y1) / 2)
    board.box(box, back)
    size = (y1 - y0) * 0.3
    if emblem != "none":
        draw_emblem(board, middle, size, ink, back, emblem)
    elif rng.chance(0.5):
        board.ellipse((x0 + (x1 - x0) * rng.between(0.3, 0.7), middle[1]), size, mix(paper, ink, 0.15))
    else:
        for k in range(1, 6, 2):
            y = y0 + (y1 - y0) * k / 6
            board.box((x0, y, x1, y + (y1 - y0) / 6), mix(paper, ink, 0.12))


def _paragraph(board: Sheet, box: Box, ink: Colour, paper: Colour, rng: Rng) -> None:
    """Write rows of small print, which the caption does not name."""
    x0, y0, x1, y1 = box
    size = max(5.0, min(board.width, board.height) * 0.05)
    y, text = y0 + size, ""
    while y < y1 - size / 2:
        while board.length(text, size) < x1 - x0:
            text += sentence(rng) + " "
        count = next(
            n
            for n in range(len(text), 0, -1)
            if text[n - 1] == " " and board.length(text[:n], size) <= x1 - x0
        )
        board.text((x0, y), text[:count], size, mix(ink, paper, 0.2))
        y, text = y + size * 1.4, text[count:]


def draw_emblem(sheet: Sheet, at: Point, size: float, ink: Colour, paper: Colour, name: str) -> None:
    """Draw a pictogram within `size` pixels of `at`."""

    def on(x: float, y: float) -> Point:
        return (at[0] + x * size, at[1] + y * size)

    def ring(count: int, radii: Sequence[float], turn: float = -0.25) -> list[Point]:
        angles = [2 * math.pi * (k / count + turn) for k in range(count)]
        return [
            on(radii[k % len(radii)] * math.cos(t), radii[k % len(radii)] * math.sin(t))
            for k, t in enumerate(angles)
        ]

    def shape(*points: Point) -> None:
        sheet.polygon([on(*point) for point in points], ink)

    def spot(x: float, y: float, radius: float, colour: Colour = ink) -> None:
        sheet.ellipse(on(x, y), radius * size, colour)

    thick = 0.16 * size
    if name == "cup":
        sheet.ellipse(on(0.52, 0.0), (0.38 * size, 0.34 * size), None, ink, thick)
        shape((-0.75, -0.45), (0.55, -0.45), (0.35, 0.55), (-0.55, 0.55))
        shape((-0.9, 0.66), (0.7, 0.66), (0.55, 0.85), (-0.75, 0.85))
    elif name == "key":
        sheet.ellipse(on(-0.5, 0.0), 0.4 * size, None, ink, thick)
        shape((-0.15, -0.1), (0.95, -0.1), (0.95, 0.45), (0.75, 0.45), (0.75, 0.1), (0.55, 0.1), (0.55, 0.35),
              (0.35, 0.35), (0.35, 0.1), (-0.15, 0.1))  # fmt: skip
    elif name == "fish":
        sheet.ellipse(on(-0.15, 0.0), (0.7 * size, 0.42 * size), ink)
        shape((0.4, 0.0), (0.95, -0.45), (0.95, 0.45))
        spot(-0.5, -0.1, 0.1, paper)
    elif name == "star":
        sheet.polygon(ring(10, (0.95, 0.38)), ink)
    elif name == "arrow":
        shape((-0.9, -0.2), (0.1, -0.2), (0.1, -0.6), (0.95, 0.0), (0.1, 0.6), (0.1, 0.2), (-0.9, 0.2))
    elif name == "anchor":
        sheet.ellipse(on(0.0, -0.7), 0.2 * size, None, ink, thick * 0.8)
        shape((-0.09, -0.5), (0.09, -0.5), (0.09, 0.8), (-0.09, 0.8))
        shape((-0.4, -0.35), (0.4, -0.35), (0.4, -0.18), (-0.4, -0.18))
        sheet.arc(on(0.0, 0.15), (0.75 * size, 0.75 * size), (10, 170), ink, thick)
    elif name == "heart":
        spot(-0.4, -0.3, 0.45)
        spot(0.4, -0.3, 0.45)
        shape((-0.81, -0.12), (0.81, -0.12), (0.0, 0.85))
    elif name == "flower":
        for x, y in ring(6, (0.58,)):
            sheet.ellipse((x, y), 0.34 * size, ink)
        spot(0.0, 0.0, 0.26, paper)

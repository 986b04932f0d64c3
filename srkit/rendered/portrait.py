"""Faces in comic style: a head with large eyes and loose hair, shoulders, and a backdrop.

Images are nearly gray. The face scales with the image: from centre to ear, a fifth to a third of the shorter side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from srkit.rendered._comic import BACKDROPS, INK, PAPER, TONES, Panel, backdrop, balloon, printed, speech
from srkit.rendered.canvas import Point, Rendered, Rng, curve
from srkit.rendered.specs import Caption, Spec, Split, Wording, a, choice, words

Place = Callable[[float, float], Point]

MOODS = (
    "calm: calm|quiet, surprised: surprised|startled, angry: angry|furious, sad: sad|worried, "
    "glad: glad|cheerful, asleep: sleeping|dozing"
)
_LENGTHS = {"short": 0.0, "bobbed": 1.2, "long": 2.0, "very long": 2.6}
_TALL = {
    "calm": 0.3,
    "surprised": 0.38,
    "angry": 0.24,
    "sad": 0.27,
    "glad": 0.33,
    "asleep": 0.0,
}  # of the eyes


@dataclass(frozen=True)
class Face:
    """Attributes of a face, with values as in `Portrait`."""

    mood: str
    mouth: str
    hair: str
    length: str
    clothes: str


def some_face(rng: Rng, mood: str) -> Face:
    mouths = {
        "surprised": ("teeth", "open", "round"),
        "angry": ("teeth", "frown"),
        "glad": ("teeth", "open", "smile"),
    }
    return Face(
        mood,
        rng.pick(mouths.get(mood, ("line",))),
        rng.pick(("black", "black", "white", "toned")),
        rng.pick(("short", "short", *_LENGTHS)),
        rng.pick(Portrait.values("clothes")),
    )


def _speech(rng: Rng, split: Split) -> str:
    return speech(rng, split) if rng.chance(0.5) else ""


@dataclass(frozen=True, kw_only=True)
class Portrait(Spec):
    """One face before a backdrop, perhaps with a balloon."""

    domain = "portrait"
    mood: str = choice(MOODS, weights="2 1 1 1 1 1")
    mouth: str = choice(
        "line: closed mouth|straight mouth, smile: smile|smiling mouth, frown: frown|turned-down mouth, "
        "open: open mouth|mouth wide open, teeth: clenched teeth|bared teeth, round: round mouth|small round mouth"
    )
    hair: str = choice("black: black|dark, white: white|pale, toned: shaded|gray", weights="2 1 1")
    length: str = choice(_LENGTHS, weights="2 1 1 1")
    clothes: str = choice(
        "black: black jacket, toned: shaded jacket|gray jacket, striped: striped jacket, white: white jacket"
    )
    backdrop: str = choice(BACKDROPS)
    screentone: str = choice(TONES, weights="3 1 1 1")
    speech: str = words(_speech)

    def draw(self, width: int, height: int) -> Rendered:
        rng, panel = self.rng("place"), Panel(width, height, self.screentone)
        backdrop(panel, self.backdrop, self.rng("backdrop"))
        short = min(width, height)
        size = short * rng.between(0.19, 0.26)
        left = rng.chance(0.5)
        at = (width * (0.54 if left else 0.46), height * 0.47 + short * rng.between(-0.02, 0.02))
        face = Face(self.mood, self.mouth, self.hair, self.length, self.clothes)
        bust(panel, at, size, face, self.rng("face"))
        panel.box((0, 0, width, height), None, INK, max(1.0, short / 110))
        if self.speech:
            corner = (0.0 if left else float(width), 0.0)
            room = (width * 0.5, height * 0.3)
            toward = (0.5 if left else -0.5, 0.5)
            balloon(panel, corner, room, toward, self.speech, self.rng("balloon"), named=True)
        return Rendered(printed(panel.reduced(), self.rng("print")), tuple(panel.lettering))

    def describe(self, say: Wording) -> Caption:
        shown = self.shown()
        kind = say.pick("manga drawing", "black and white comic drawing", "manga portrait")
        return say.caption(
            f"{kind} of {a(say('mood'))} {say.pick('face', 'person', 'character')} "
            f"with {say('length')} {say('hair')} hair",
            [
                say("mouth"),
                say("clothes"),
                say("backdrop") + say.pick(" behind", " in the background"),
                f"screentone of {say('screentone')}" if "screentone" in shown else "",
                f"a balloon {say.reads('speech')}" if self.speech else "",
            ],
            ("manga", "face", "hair", "ink lines", "screentone", "text" if self.speech else ""),
        )

    def shown(self) -> tuple[str, ...]:
        toned = (
            "toned" in (self.hair, self.clothes) or self.clothes == "striped" or "screentone" in self.backdrop
        )
        return tuple(name for name in super().shown() if name != "screentone" or toned)


def bust(sheet: Panel, centre: Point, size: float, face: Face, rng: Rng) -> None:
    """Draw head and shoulders around `centre` (between the eyes); `size` is the distance to the ear in pixels."""
    tilt, turn = rng.between(-0.22, 0.22), rng.between(-0.32, 0.32)
    c, s = math.cos(tilt), math.sin(tilt)

    def on_head(x: float, y: float) -> Point:
        return (centre[0] + (x * c - y * s) * size, centre[1] + (x * s + y * c) * size)

    def upright(x: float, y: float) -> Point:
        return (centre[0] - s * size + x * size, centre[1] + y * size)

    line = max(0.7, min(2.4, size * 0.035))
    hair = _Hair(sheet, on_head, turn, line, face, rng.child("hair"))
    hair.back(_LENGTHS[face.length])
    _shoulders(sheet, upright, line, face, rng.child("shoulders"))
    _head(sheet, on_head, turn, line, rng.child("head"))
    _features(sheet, on_head, turn, line, face, rng.child("features"))
    _mouth(sheet, on_head, turn * 0.81, line, face.mouth)
    hair.bangs()


class _Hair:
    """Hair of a head: black with highlights, white with strands, or screentone."""

    def __init__(self, sheet: Panel, at: Place, turn: float, line: float, face: Face, rng: Rng) -> None:
        self.sheet, self.at, self.turn, self.line, self.rng = sheet, at, turn, line, rng
        self.kind = face.hair
        self.pitch, self.level = rng.between(3.2, 5.5), rng.between(0.2, 0.55)

    def _fill(self, outline: list[Point], line: float) -> None:
        self.sheet.polygon(outline, INK if self.kind == "black" else PAPER)
        if self.kind == "toned":
            self.sheet.tone(outline, self.level, self.pitch)
        self.sheet.polygon(outline, None, INK, line)

    def _strand(self, points: list[Point], width: float) -> None:
        ink = PAPER if self.kind == "black" else INK
        self.sheet.stroke(curve([self.at(x, y) for x, y in points], 6), ink, self.line * width, (0.1, 0.1))

    def back(self, long: float) -> None:
        """Draw the hair behind the shoulders; short hair ends at the nape."""
        if not long:
            half = [(1.1, 0.0), (1.12, -0.7), (0.7, -1.3)]
            nape = [*((-x, y) for x, y in half), (0.0, -1.5), *reversed(half), (0.8, 0.7), (-0.8, 0.7)]
            self._fill(curve([self.at(x, y) for x, y in nape], 4, closed=True), self.line)
            return
        rng = self.rng.child("back")
        wide, count = rng.between(1.15, 1.5), rng.whole(5, 10)
        half = [(wide, long * 0.5), (1.2, -0.4), (0.75, -1.25)]
        top = [*((-x, y) for x, y in half), (0.0, -1.48), *reversed(half)]
        ends: list[Point] = []
        for k in range(count):
            x = wide * (1 - 2 * (k + 0.5) / count)
            ends += [(x + 0.4 * wide / count, long * 0.82), (x, long + rng.between(0, 0.3))]
        self._fill(curve([self.at(x, y) for x, y in top], 6) + [self.at(x, y) for x, y in ends], self.line)
        for _ in range(rng.whole(8, 18)):
            x = rng.between(-1.0, 1.0)
            strand = [(x * 0.9, -0.3), (x * 1.08, long * 0.4), (x * 1.1 + 0.05, long * 0.85)]
            self._strand(strand, rng.between(0.5, 1.2))

    def bangs(self) -> None:
        """Draw the hair over the forehead, with strands from the crown to every tip."""
        rng, half = self.rng.child("bangs"), [(1.1, 0.35), (1.16, -0.5), (0.72, -1.28)]
        top = [*half, (0.0, -1.52), *((-x, y) for x, y in reversed(half))]
        count = rng.whole(4, 9)
        sweep, deep = rng.between(-0.25, 0.25) + self.turn * 0.3, rng.between(-0.2, 0.12)
        edge: list[Point] = [(-0.98, -0.1)]
        tips: list[Point] = []
        for k in range(count):
            x = -0.92 + 1.84 * (k + 0.5) / count
            tip = (x + sweep + rng.between(-0.06, 0.06), deep + rng.between(-0.18, 0.12))
            edge += [(tip[0] - 0.10, tip[1] - 0.16), tip, (tip[0] + 0.05, tip[1] - 0.2)]
            if k < count - 1:
                edge.append((-0.92 + 1.84 * (k + 1) / count, rng.between(-0.62, -0.42)))
            tips.append(tip)
        outline = [
            *curve([self.at(x, y) for x, y in top], 6),
            *(self.at(x, y) for x, y in (*edge, (0.98, -0.1))),
        ]
        self._fill(outline, self.line * 1.2)
        for tip in tips:
            for _ in range(2):
                off = rng.between(-0.14, 0.14)
                strand = [(tip[0] * 0.25 + off, -1.25), (tip[0] * 0.75 + off, -0.8)]
                self._strand([*strand, (tip[0] - 0.02 + off * 0.3, tip[1] - 0.22)], rng.between(0.5, 1.3))
        if self.kind == "black":  # the gloss
            for k in range(count + 3):
                x = -0.75 + 1.5 * (k + 0.5) / (count + 3)
                low = -0.72 - 0.2 * (1 - x * x)
                gloss = ((x - 0.05, low), (x, low - 0.26), (x + 0.05, low + 0.02), (x, low + 0.14))
                self.sheet.polygon([self.at(*point) for point in gloss], PAPER)


def _shoulders(sheet: Panel, at: Place, line: float, face: Face, rng: Rng) -> None:
    outline = [at(-0.38, 0.9), at(-0.4, 1.42), at(-1.0, 1.68), at(-1.85, 2.0), at(-2.2, 2.9), at(-2.3, 4.4)]
    outline += [(2 * at(0, 0)[0] - x, y) for x, y in reversed(outline)]
    body = curve(outline, 5)
    sheet.polygon(body, PAPER)
    clothes = [p for p in body if p[1] >= at(0, 1.42)[1]]
    level, fine, wide, tie = rng.between(0.15, 0.6), rng.between(3.2, 7), rng.between(4, 9), rng.chance(0.5)
    black = face.clothes == "black"
    if black:
        sheet.polygon(clothes, INK)
    elif face.clothes == "toned":
        sheet.tone(clothes, level, fine)
    elif face.clothes == "striped":
        sheet.tone(clothes, 0.35, wide, "lines")
    sheet.polygon([at(-0.42, 1.4), at(0.0, 2.25), at(0.42, 1.4), at(0.36, 0.95), at(-0.36, 0.95)], PAPER)
    for side in (-1, 1):
        lapel = [at(side * 0.42, 1.4), at(side * 0.95, 1.66), at(side * 0.62, 2.3), at(0.0, 2.3)]
        sheet.polygon(lapel, PAPER, INK, line)
        fold = curve([at(side * 1.5, 2.3), at(side * 1.3, 2.9), at(side * 1.45, 3.6)], 6)
        sheet.stroke(fold, PAPER if black else INK, line * 1.4)
        sheet.stroke([at(side * 0.36, 0.9), at(side * 0.38, 1.2), at(side * 0.42, 1.42)], INK, line * 1.2)
    if tie:
        shape = [at(-0.16, 2.2), at(0.16, 2.2), at(0.24, 3.4), at(0.0, 3.7), at(-0.24, 3.4)]
        sheet.polygon(shape, PAPER if black else INK, INK, line)
    sheet.line(clothes, INK, line * 1.2)
    for k in range(6):  # a shadow of the chin on the neck, hatched
        x = -0.3 + 0.12 * k
        sheet.stroke([at(x, 1.08), at(x + 0.05, 1.2), at(x + 0.1, 1.38)], INK, line * 0.6, (1.0, 0.1))


def _head(sheet: Panel, at: Place, turn: float, line: float, rng: Rng) -> None:
    for side in (-1, 1):
        radius = abs(at(0.16, 0)[0] - at(0, 0)[0]) + 0.5
        sheet.ellipse(at(side * 1.0 - turn * 0.1, 0.25), (radius, radius * 1.6), PAPER, INK, line)
    half = ((-0.98, -0.4), (-0.97, 0.1), (-0.86, 0.5), (-0.5, 0.93))
    jaw = (*half, (0.0, 1.2), *((-x, y) for x, y in reversed(half)))
    outline = curve([at(x + turn * 0.35 * max(0.0, y), y) for x, y in jaw], 6)
    sheet.polygon([*outline, at(0.7, -1.2), at(-0.7, -1.2)], PAPER)
    sheet.stroke(outline, INK, line * 1.7, (0.5, 0.5))
    if rng.chance(0.35):  # a shadowed cheek
        side = 1 if turn < 0 else -1
        cheek = ((0.94, 0.0), (0.55, 0.3), (0.3, 0.95), (0.62, 0.85), (0.9, 0.45))
        sheet.tone([at(side * x, y) for x, y in cheek], 0.28, rng.between(3, 4.5))


def _features(sheet: Panel, at: Place, turn: float, line: float, face: Face, rng: Rng) -> None:
    """Draw eyes, brows, nose and blush."""
    shift, fold = turn * 0.9, rng.chance(0.7)
    for side in (-1, 1):
        x, near = side * 0.44 + shift * 0.5, 1 - 0.25 * side * -turn
        _eye(sheet, at, (x, 0.22), 0.27 * near, _TALL[face.mood], line, side, fold=fold)
        slant = {"angry": -0.16, "surprised": 0.06, "sad": 0.15}.get(face.mood, 0.02) * -side
        brow = [at(x - 0.3, -0.22 + slant), at(x, -0.3), at(x + 0.3, -0.22 - slant)]
        sheet.stroke(curve(brow, 5), INK, line * 2.4, (0.3, 0.3))
    nose = [at(shift + 0.02, 0.5), at(shift + (0.1 if turn >= 0 else -0.1), 0.64), at(shift, 0.66)]
    sheet.stroke(curve(nose, 4), INK, line * 1.3, (0.1, 0.4))
    if face.mood in ("glad", "asleep") or rng.chance(0.3):
        for side in (-1, 1):
            for k in range(4):
                x = side * 0.6 + shift * 0.4 - 0.1 + 0.08 * k
                sheet.stroke([at(x + 0.04, 0.52), at(x + 0.01, 0.58), at(x - 0.02, 0.64)], INK, line * 0.7)


def _mouth(sheet: Panel, at: Place, shift: float, line: float, mouth: str) -> None:
    def places(*points: Point) -> list[Point]:
        return [at(shift + x, y) for x, y in points]

    if mouth in ("line", "smile", "frown"):
        bend = {"line": 0.01, "smile": 0.1, "frown": -0.1}[mouth]
        ends = 0.865 - bend / 2
        lips = places((-0.19, ends), (0.0, ends + bend), (0.19, ends))
        sheet.stroke(curve(lips, 6), INK, line * 1.5)
        return
    if mouth == "round":
        unit = math.dist(at(0, 0), at(1, 0))
        sheet.ellipse(at(shift, 0.87), (0.09 * unit, 0.11 * unit), INK)
        return
    inside = curve(places((-0.2, 0.82), (0.0, 0.79), (0.2, 0.82), (0.08, 1.0), (-0.08, 1.0)), 4, closed=True)
    sheet.polygon(inside, INK)
    if mouth == "open":
        sheet.polygon(places((-0.14, 0.835), (0.14, 0.835), (0.1, 0.87), (-0.1, 0.87)), PAPER)
        return
    sheet.polygon(
        [(x * 0.84 + at(shift, 0.89)[0] * 0.16, y * 0.84 + at(shift, 0.89)[1] * 0.16) for x, y in inside],
        PAPER,
    )
    sheet.line(places((-0.18, 0.89), (0.18, 0.89)), INK, line * 0.8)
    for k in range(-2, 3):
        sheet.line(places((0.07 * k, 0.81), (0.05 * k, 0.97)), INK, line * 0.6)


def _eye(
    sheet: Panel, at: Place, middle: Point, wide: float, tall: float, line: float, side: int, *, fold: bool
) -> None:
    x, y = middle

    def arch(ends: float, top: float, middle: float, steps: int = 6) -> list[Point]:
        return curve([at(x - wide * ends, y + top), at(x, y + middle), at(x + wide * ends, y + top)], steps)

    if tall == 0.0:  # closed
        sheet.stroke(arch(1.0, -0.02, 0.13), INK, line * 2.8, (0.4, 0.4))
        return
    unit = math.dist(at(0, 0), at(1, 0))
    white = [at(x - wide, y), at(x, y - tall * 0.95), at(x + wide, y), at(x, y + tall * 0.85)]
    sheet.polygon(curve(white, 6, closed=True), PAPER)
    sheet.ellipse(at(x, y - 0.02), (wide * 0.66 * unit, tall * 0.86 * unit), INK)
    sheet.ellipse(at(x, y + tall * 0.42), (wide * 0.4 * unit, tall * 0.3 * unit), 150)
    sheet.ellipse(at(x - wide * 0.22, y - tall * 0.36), (wide * 0.26 * unit, tall * 0.26 * unit), PAPER)
    sheet.ellipse(at(x + wide * 0.24, y + tall * 0.3), wide * 0.12 * unit, PAPER)
    lash = [
        at(x + wide * u, y - v)
        for u, v in ((-1.15, 0.02), (-0.4, tall * 0.92), (0.4, tall * 0.92), (1.15, 0.02))
    ]
    sheet.stroke(curve(lash, 6), INK, line * 4.2, (0.35, 0.35))
    for k in range(2):  # lashes at the outer corner
        root = at(x + side * wide * (1.1 - 0.12 * k), y - 0.04 - 0.07 * k)
        tip = at(x + side * wide * (1.5 - 0.1 * k), y - 0.14 - 0.1 * k)
        between = ((root[0] + tip[0]) / 2, (root[1] + tip[1]) / 2)
        sheet.stroke([root, between, tip], INK, line * 1.8, (1.0, 0.1))
    lower = [at(x - wide * 0.6, y + tall * 0.85), at(x, y + tall * 0.97), at(x + wide * 0.7, y + tall * 0.8)]
    sheet.stroke(curve(lower, 5), INK, line * 1.1)
    if fold:
        sheet.stroke(arch(0.8, -tall * 1.05, -tall * 1.3, 5), INK, line * 0.9)

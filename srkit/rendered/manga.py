"""Manga-like pages: panels, ink of varying width, figures, speed lines, screentone, balloons with lettering.

Pages are nearly gray. Panels are 110 to 340 pixels wide, lettering 7 to 12 pixels, and screentone has a pitch of 3 to
8 pixels, for any image size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from srkit.rendered._comic import (
    INK,
    PAPER,
    TONES,
    Panel,
    backdrop,
    balloon,
    burst,
    city,
    landscape,
    parallel_lines,
    printed,
    radial_lines,
    room,
    speech,
)  # fmt: skip
from srkit.rendered.canvas import Point, Rendered, Rng, Sheet
from srkit.rendered.portrait import MOODS, Portrait, bust, some_face
from srkit.rendered.specs import Caption, Spec, Split, Wording, choice, words

Quad = tuple[Point, Point, Point, Point]  # from the upper left, clockwise
_SOUNDS = (
    "BAM", "DOOM", "SWOOSH", "CRASH", "THUD", "KLANG", "ZING", "RUMBLE", "SLAM", "WHAM", "CLICK", "GASP", "TAP",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Manga(Spec):
    """Page, described by its largest panel's scene and speech; figures have one mood, tones one screen."""

    domain = "manga"
    scene: str = choice(
        "close-up: a face close up|a close-up of a face, conversation: two people talking|a conversation, "
        "action: an action scene|speed lines and action, outdoors: a view outdoors|an outdoor scene, "
        "room: a room|an indoor scene",
        weights="2 1 2 1 1",
    )
    mood: str = choice(MOODS, weights="6 3 3 3 3 1")
    figures: str = choice(
        "shown:, absent: nobody in sight|no people", weights="2 1", scene=("action", "outdoors", "room")
    )
    screentone: str = choice(TONES, weights="3 1 1 1")
    sound: str = choice(_SOUNDS, scene="action")
    speech: str = words(speech)

    def shown(self) -> tuple[str, ...]:
        shown = super().shown()
        return tuple(name for name in shown if not (name == "mood" and "figures" in shown))

    def draw(self, width: int, height: int) -> Rendered:
        page, rng = Sheet(width, height, PAPER), self.rng("page")
        size, margin = rng.between(150, 300), min(rng.between(3, 14), width / 10, height / 10)
        gutter, border = rng.between(4, 9), rng.between(1.0, 2.4)
        right, bottom = width - margin, height - margin
        whole: Quad = ((margin, margin), (right, margin), (right, bottom), (margin, bottom))
        quads = _panels(whole, size, gutter, rng)
        largest = max(range(len(quads)), key=lambda k: _area(quads[k]))
        for k, quad in enumerate(quads):
            part = self.rng("panel", k)
            self._panel(page, quad, part, named=k == largest)
            page.polygon(quad, None, INK, border)
            _balloons(page, quad, part.child("balloons"), self.split, first=k == largest)
        self._speech(page, quads[largest])
        return Rendered(printed(page.reduced(), self.rng("print")), tuple(page.lettering))

    def _panel(self, page: Sheet, quad: Quad, rng: Rng, *, named: bool) -> None:
        left, top = math.floor(min(p[0] for p in quad)), math.floor(min(p[1] for p in quad))
        right, bottom = math.ceil(max(p[0] for p in quad)), math.ceil(max(p[1] for p in quad))
        panel = Panel(max(8, right - left), max(8, bottom - top), self.screentone)
        other, sound = rng.pick(tuple(_SCENES)), rng.pick(_SOUNDS)
        scene, sound = (self.scene, self.sound) if named else (other, sound)
        empty = (
            "figures" in self.shown()
            if named
            else rng.chance(0.4) and other in ("action", "outdoors", "room")
        )
        _SCENES[scene](panel, "" if empty else self.mood, rng.child(scene))
        if scene == "action":
            _sound(panel, sound, rng.child("sound"), named=named)
        page.lay(panel, (left, top), quad)

    def _speech(self, page: Sheet, quad: Quad) -> None:
        """Draw the balloon of the largest panel, at its right or left, above or below."""
        rng = self.rng("speech")
        u, v = rng.pick((0.0, 1.0)), 1.0 if self.scene == "action" else rng.pick((0.0, 1.0))
        _speak(page, quad, (u, v), self.speech, rng, named=True)

    def describe(self, say: Wording) -> Caption:
        panels = say.pick("manga page with", "comic page showing", "black and white manga panels with")
        return say.caption(
            f"{panels} {say('scene')}",
            [
                f"{say('mood')} {say.pick('faces', 'people', 'figures')}"
                if "mood" in self.shown()
                else say("figures"),
                f"screentone of {say('screentone')}",
                f"a balloon {say.reads('speech')}",
                f"the sound {self.sound} {say.pick('in large letters', 'in big letters')}"
                if self.scene == "action"
                else "",
            ],
            (
                "manga",
                "panels",
                "ink lines",
                "screentone",
                "text",
                "speed lines" if self.scene == "action" else "",
            ),
        )


def _area(quad: Quad) -> float:
    return math.dist(quad[0], quad[1]) * math.dist(quad[0], quad[3])


def _panels(quad: Quad, size: float, gutter: float, rng: Rng) -> list[Quad]:
    """Split into panels with sides near `size`; some cuts are oblique."""
    a, b, c, d = quad
    wide, tall = (math.dist(a, b) + math.dist(d, c)) / 2, (math.dist(a, d) + math.dist(b, c)) / 2
    longest = max(wide, tall)
    if longest < size * 0.9 or (longest < size * 1.5 and rng.chance(0.55)):
        return [quad]
    across = tall * rng.between(0.8, 1.25) < wide  # a vertical cut
    at = rng.between(0.36, 0.64)
    aslant = rng.between(-0.09, 0.09) if rng.chance(0.45) else 0.0
    gap = gutter / longest / 2 * (1.0 if across else 1.4)
    if across:
        up, down = _along(a, b, at + aslant, gap), _along(d, c, at - aslant, gap)
        parts: tuple[Quad, Quad] = ((a, up[0], down[0], d), (up[1], b, c, down[1]))
    else:
        left, right = _along(a, d, at + aslant, gap), _along(b, c, at - aslant, gap)
        parts = ((a, b, right[0], left[0]), (left[1], right[1], c, d))
    return [panel for part in parts for panel in _panels(part, size, gutter, rng)]


def _along(p: Point, q: Point, at: float, gap: float) -> tuple[Point, Point]:
    def point(t: float) -> Point:
        return (p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t)

    return point(at - gap), point(at + gap)


# Contents of panels; an empty mood means no figure.


def _figure(panel: Panel, at: Point, size: float, mood: str, rng: Rng) -> None:
    """Draw a figure at fractions of the panel's sides."""
    place = (panel.width * at[0], panel.height * at[1])
    bust(panel, place, max(9.0, size), some_face(rng.child("face"), mood), rng.child("bust"))


def _close_up(panel: Panel, mood: str, rng: Rng) -> None:
    backdrop(panel, rng.pick(Portrait.values("backdrop")), rng.child("backdrop"))
    size = min(panel.width, panel.height) * rng.between(0.24, 0.36)
    _figure(panel, (rng.between(0.35, 0.65), rng.between(0.45, 0.58)), size, mood, rng)


def _conversation(panel: Panel, mood: str, rng: Rng) -> None:
    where = rng.whole(3)
    if where:
        (city, room)[where - 1](panel, rng.child("place"))
    else:
        backdrop(panel, rng.pick(Portrait.values("backdrop")), rng.child("backdrop"))
    size = min(panel.width / 6.5, panel.height / 5)
    for k, x in enumerate((0.27, 0.73)):
        at = (x + rng.between(-0.04, 0.04), rng.between(0.5, 0.62))
        _figure(panel, at, size * rng.between(0.85, 1.15), mood, rng.child(k))


def _action(panel: Panel, mood: str, rng: Rng) -> None:
    w, h = panel.width, panel.height
    at, dark = (rng.between(0.3, 0.7), rng.between(0.35, 0.65)), rng.chance(0.35)
    focus, ink = (w * at[0], h * at[1]), PAPER if dark else INK
    if dark:
        panel.box((0, 0, w, h), INK)
    if rng.chance(0.7):
        radial_lines(panel, focus, ink, rng.child("lines"))
    else:
        parallel_lines(panel, ink, rng.child("lines"))
    if mood:
        _figure(panel, at, min(w, h) * rng.between(0.16, 0.26), mood, rng)
    else:
        burst(panel, focus, min(w, h) * 0.33, rng.child("burst"))


def _outdoors(panel: Panel, mood: str, rng: Rng) -> None:
    rng.pick((city, landscape))(panel, rng.child("place"))
    if mood:
        size = min(panel.width, panel.height) * rng.between(0.12, 0.2)
        _figure(panel, (rng.between(0.25, 0.75), rng.between(0.55, 0.7)), size, mood, rng)


def _indoors(panel: Panel, mood: str, rng: Rng) -> None:
    room(panel, rng.child("place"))
    if mood:
        size = min(panel.width, panel.height) * rng.between(0.15, 0.24)
        _figure(panel, (rng.between(0.3, 0.7), rng.between(0.5, 0.65)), size, mood, rng)


_SCENES: dict[str, Callable[[Panel, str, Rng], None]] = {
    "close-up": _close_up, "conversation": _conversation, "action": _action, "outdoors": _outdoors, "room": _indoors,
}  # fmt: skip


# Lettering.


def _sound(panel: Panel, sound: str, rng: Rng, *, named: bool) -> None:
    """Draw a sound in large letters, each slightly rotated."""
    letters = sound + rng.pick(("", "!", "!!"))
    size = (
        min(panel.width / (0.62 * len(letters) + 1), panel.height * 0.4)
        * rng.between(0.7, 1.0)
        * (0.85 if named else 1.0)
    )
    x, y = panel.width * 0.08 + size * 0.4, panel.height * (0.2 if named else rng.pick((0.2, 0.8)))
    slope, inks = rng.between(-0.25, 0.25), rng.pick(((PAPER, INK), (INK, PAPER)))
    placed = []
    for letter in letters:
        grow = size * rng.between(0.9, 1.2)
        half = panel.length(letter, grow) / 2 + size * 0.06
        at = (x + half, y + rng.between(-0.08, 0.08) * size)
        placed.append((at, letter, grow, rng.between(-14, 14) or 1.0))
        x, y = x + 2 * half, y + slope * size * 0.5
    for ink, thick in zip(inks, (0.17, 0.07), strict=True):
        for at, letter, grow, turn in placed:
            panel.text(at, letter, grow, ink, bold=size * thick, angle=turn)


def _balloons(page: Sheet, quad: Quad, rng: Rng, split: Split, *, first: bool) -> None:
    """Draw up to two balloons in a panel's corners; one fewer if the Spec gives the first."""
    wide, tall = math.dist(quad[0], quad[1]), math.dist(quad[0], quad[3])
    chance = 0.9 if wide * tall > 30000 else 0.6
    corners = [(0.0, 0.0), (1.0, 0.05), (1.0, 1.0), (0.0, 1.0)]
    start = rng.whole(4)
    for k in range(2):
        part = rng.child(k)
        if part.chance(chance * (1 - 0.4 * k)) and min(wide, tall) >= 50 and not first:
            _speak(page, quad, corners[(start + k) % 4], speech(part, split), part)


def _speak(page: Sheet, quad: Quad, corner: Point, text: str, rng: Rng, *, named: bool = False) -> None:
    """Draw a balloon in a corner of a panel; (0, 0) is the upper left and (1, 1) the lower right one."""
    wide, tall, (u, v) = math.dist(quad[0], quad[1]), math.dist(quad[0], quad[3]), corner
    x = quad[0][0] + (quad[1][0] - quad[0][0]) * u + (quad[3][0] - quad[0][0]) * v
    y = quad[0][1] + (quad[1][1] - quad[0][1]) * u + (quad[3][1] - quad[0][1]) * v
    balloon(page, (x, y), (wide * 0.46, tall * 0.34), (0.5 - u, 0.5 - v), text, rng, named=named)

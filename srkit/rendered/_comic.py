"""Parts of comics other than figures: screentone, backdrops, towns, rooms, balloons and the print."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from srkit.rendered.canvas import Pixels, Point, Rng, Sheet, curve
from srkit.rendered.colours import tone
from srkit.rendered.lettering import broken, sign_word
from srkit.rendered.specs import Split, in_split

INK, PAPER = 22, 252
TONES = (
    "dots: dots|round dots, lines: lines|parallel lines, grain: grain|sand pattern, "
    "crosses: crossed lines|crosshatched lines"
)
BACKDROPS = (
    "speed lines: speed lines|radial lines, graded screentone: graded screentone|fading screentone, "
    "even screentone: even screentone|flat screentone, hatching: hatching|hatched strokes, "
    "stars: a starry sky|stars on black, sparkles: sparkles on screentone|glittering screentone"
)
BALLOONS = ("round", "round", "round", "burst", "cloud", "box")
_LINES = (
    "What?!", "No way!", "Run!", "Wait!", "Look out!", "It can't be...", "You again?", "Ha ha!", "Huh?", "Stop!",
    "Over there!", "Hurry!", "At last...", "I knew it!", "Who is it?", "Finally!", "Not yet!",
    "Where is the {}?", "The {} is gone!", "I saw it by the {}.", "Not without my {}!", "Give me that {}!",
    "We have to reach the {} before the {} does.", "So this is the {} they spoke of...", "Remember the {}?",
    "The {} was here yesterday!", "Nobody leaves the {}!", "My {}! It was in the {} all along!",
    "Is that really your {}?", "Meanwhile, at the {}...", "One {}, one {} and no time left.",
)  # fmt: skip


class Panel(Sheet):
    """Gray sheet with one screen for all its tones."""

    def __init__(self, width: int, height: int, screentone: str) -> None:
        super().__init__(width, height, PAPER)
        self.screentone = screentone

    def tone(
        self,
        shape: Sequence[Point],
        level: float | tuple[float, float],
        pitch: float,
        pattern: str | None = None,
    ) -> None:
        """Lay screentone within `shape`; see `srkit.rendered.colours.tone`."""
        tone(self, shape, level, pitch, INK, pattern or self.screentone)

    @property
    def outline(self) -> list[Point]:
        w, h = float(self.width), float(self.height)
        return [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)]


def printed(pixels: Pixels, rng: Rng) -> Pixels:
    """The page as RGB; some pages are in warm black on cream paper."""
    warm = rng.random() if rng.chance(0.4) else 0.0
    high, low = np.array([253, 253 - 5 * warm, 253 - 16 * warm]), np.array([22, 22 - 2 * warm, 22 - 4 * warm])
    ramp = low + (high - low) * (np.clip(np.arange(256)[:, None] - 22, -8, 231) / 230)
    table = np.clip(ramp.round(), 0, 255).astype(np.uint8)
    out: Pixels = table[pixels[:, :, 0]]
    return out


def speech(rng: Rng, split: Split) -> str:
    """Text for a balloon."""
    line = rng.pick([line for line in _LINES if "{" in line or in_split(line, split)])
    return line.format(sign_word(rng, split), sign_word(rng, split)).upper()


def backdrop(panel: Panel, kind: str, rng: Rng) -> None:
    """Draw one of `BACKDROPS` over the whole panel."""
    w, h = panel.width, panel.height
    pitch = _ruling(rng)
    if kind == "speed lines":
        radial_lines(panel, (w / 2, h / 2), INK, rng)
    elif kind == "graded screentone":
        levels = (rng.between(0.0, 0.2), rng.between(0.4, 0.85))
        panel.tone(panel.outline, levels if rng.chance(0.6) else levels[::-1], pitch)
    elif kind == "even screentone":
        panel.tone(panel.outline, rng.between(0.12, 0.5), pitch)
    elif kind == "hatching":
        _hatching(panel, rng)
    elif kind == "stars":
        panel.box((0, 0, w, h), INK)
        for _ in range(int(w * h / 900)):
            panel.ellipse(rng.at(w, h), rng.between(0.3, 1.4), PAPER)
    else:
        panel.tone(panel.outline, (0.25, 0.05), pitch)
        for _ in range(rng.whole(6, 16)):
            _sparkle(panel, rng.at(w, h), rng.between(4, 16))


def _ruling(rng: Rng) -> float:
    """Pitch of a screen in pixels: 3 to 8, fine ones more often."""
    return 3 + 5 * rng.random() ** 2


def _sparkle(panel: Sheet, at: Point, size: float) -> None:
    points = []
    for k in range(8):
        radius, angle = (size if k % 2 == 0 else size * 0.18), math.pi * k / 4
        points.append((at[0] + radius * math.sin(angle), at[1] - radius * math.cos(angle)))
    panel.polygon(points, PAPER, INK, 0.6)


def radial_lines(panel: Sheet, focus: Point, ink: int, rng: Rng) -> None:
    w, h = panel.width, panel.height
    reach = math.hypot(w, h)
    free = min(w, h) * rng.between(0.28, 0.45)
    angle = 0.0
    while angle < 2 * math.pi:
        angle += rng.between(0.01, 0.07)
        start = free * rng.between(0.85, 1.6)
        dx, dy = math.cos(angle), math.sin(angle)
        ends = [(focus[0] + dx * r, focus[1] + dy * r) for r in (reach, (reach + start) / 2, start)]
        panel.stroke(ends, ink, rng.between(0.6, 3.4), (1.6, 0.0))


def parallel_lines(panel: Sheet, ink: int, rng: Rng) -> None:
    w, h = panel.width, panel.height
    reach = math.hypot(w, h)
    angle = rng.between(-0.5, 0.5)
    dx, dy = math.cos(angle), math.sin(angle)
    offset = -reach / 2
    while offset < reach / 2:
        offset += rng.between(1.6, 9)
        start, length = rng.between(-0.6, 0.2) * reach, rng.between(0.3, 0.9) * reach
        x, y = w / 2 - dy * offset, h / 2 + dx * offset
        ends = [(x + dx * (start + length * t), y + dy * (start + length * t)) for t in (0.0, 0.5, 1.0)]
        panel.stroke(ends, ink, rng.between(0.5, 2.6), (0.9, 0.0))


def _hatching(panel: Sheet, rng: Rng) -> None:
    """Draw patches of short parallel strokes, cross-hatched where darker."""
    w, h = panel.width, panel.height
    step = rng.between(13, 22)
    y = 0.0
    while y < h + step:
        x = 0.0
        while x < w + step:
            angle = rng.between(0, math.pi)
            for _ in range(1 + int(rng.random() < y / h)):
                angle += 1.3
                dx, dy = math.cos(angle), math.sin(angle)
                for k in range(-3, 4):
                    cx, cy = x - dy * k * step / 7, y + dx * k * step / 7
                    ends = [(cx + dx * step * t, cy + dy * step * t) for t in (-0.5, 0.0, 0.5)]
                    panel.stroke(ends, INK, rng.between(0.6, 1.3))
            x += step
        y += step


def city(panel: Panel, rng: Rng) -> None:
    w, h = panel.width, panel.height
    sky = [(0.0, 0.0), (float(w), 0.0), (float(w), h * 0.8), (0.0, h * 0.8)]
    panel.tone(sky, (rng.between(0.2, 0.6), 0.0), _ruling(rng))
    _cloud(panel, (w * rng.between(0.2, 0.8), h * rng.between(0.12, 0.25)), w * 0.22, rng)
    for layer in range(2):
        x = -rng.between(0, 20)
        while x < w:
            wide = rng.between(24, 64)
            top = h * (rng.between(0.18, 0.5) + 0.14 * layer)
            _building(panel, (x, top, x + wide, float(h)), rng)
            x += wide + rng.between(-2, 6)
    if rng.chance(0.6):
        for k in range(3):
            y = h * (0.1 + 0.05 * k)
            sag = curve([(0.0, y), (w * 0.5, y + h * 0.08), (float(w), y - h * 0.03)], 10)
            panel.line(sag, INK, 0.8)


def _building(panel: Panel, box: tuple[float, float, float, float], rng: Rng) -> None:
    x0, y0, x1, y1 = box
    panel.box(box, PAPER, INK, 1.2)
    face = rng.pick(("white", "white", "tone", "hatch"))
    shape = [(x0 + 1, y0 + 1), (x1 - 1, y0 + 1), (x1 - 1, y1), (x0 + 1, y1)]
    if face == "tone":
        panel.tone(shape, rng.between(0.1, 0.35), _ruling(rng))
    elif face == "hatch":
        panel.tone(shape, 0.25, 3.5)
    columns, cell = max(2, int((x1 - x0) / rng.between(7, 13))), rng.between(8, 15)
    lit = rng.between(0.1, 0.9)
    y = y0 + 5
    while y < y1 - 6:
        for k in range(columns):
            x = x0 + (x1 - x0) * (k + 0.22) / columns
            window = (x, y, x + (x1 - x0) * 0.56 / columns, y + cell * 0.58)
            panel.box(window, PAPER if rng.chance(lit) else INK, INK, 0.7)
        y += cell


def _cloud(panel: Sheet, at: Point, wide: float, rng: Rng) -> None:
    points = []
    count = rng.whole(7, 12)
    for k in range(count * 6):
        angle = 2 * math.pi * k / (count * 6)
        bump = 1 + 0.28 * abs(math.sin(angle * count / 2))
        points.append((at[0] + wide * bump * math.cos(angle), at[1] + wide * 0.38 * bump * math.sin(angle)))
    panel.polygon(points, PAPER, INK, 1.1)


def landscape(panel: Panel, rng: Rng) -> None:
    w, h = panel.width, panel.height
    sky = [(0.0, 0.0), (float(w), 0.0), (float(w), h * 0.7), (0.0, h * 0.7)]
    panel.tone(sky, (rng.between(0.2, 0.8), 0.0), _ruling(rng))
    panel.ellipse((w * rng.between(0.2, 0.8), h * 0.22), min(w, h) * 0.12, PAPER, INK, 1.0)
    _cloud(panel, (w * rng.between(0.1, 0.9), h * 0.3), w * 0.18, rng)
    for layer in range(3):
        base = h * (0.45 + 0.13 * layer)
        ridge = curve([(w * k / 5, base + h * rng.between(-0.09, 0.05)) for k in range(6)], 8)
        shape = [*ridge, (float(w), float(h)), (0.0, float(h))]
        panel.polygon(shape, PAPER)
        if rng.chance(0.7):
            level = rng.between(0.1, 0.55)
            panel.tone(shape, (level, level * 0.2), _ruling(rng))
        panel.stroke(ridge, INK, 2.2, (0.6, 0.6))
    for _ in range(int(w / 16)):
        _tree(panel, (rng.between(0, w), h * rng.between(0.7, 1.0)), h * rng.between(0.12, 0.25), rng)
    for _ in range(int(w / 2)):
        x, y = rng.between(0, w), h * rng.between(0.8, 1.02)
        tall, lean = rng.between(5, 14), rng.between(-4, 4)
        panel.stroke([(x, y), (x + lean * 0.3, y - tall * 0.6), (x + lean, y - tall)], INK, 1.3, (1.0, 0.0))


def _tree(panel: Panel, foot: Point, tall: float, rng: Rng) -> None:
    x, y = foot
    panel.stroke([(x, y), (x, y - tall * 0.3), (x, y - tall * 0.6)], INK, tall * 0.1, (1.0, 0.5))
    black = rng.chance(0.4)
    for _ in range(5):
        cx, cy = x + tall * rng.between(-0.22, 0.22), y - tall * rng.between(0.5, 0.95)
        blob = []
        for k in range(40):
            angle = 2 * math.pi * k / 40
            radius = tall * 0.2 * (1 + 0.22 * abs(math.sin(angle * 4)))
            blob.append((cx + radius * math.cos(angle), cy + radius * math.sin(angle)))
        panel.polygon(blob, INK if black else PAPER, PAPER if black else INK, 0.8)
        if not black:
            panel.tone(blob, (0.05, 0.5), 3.6)


def room(panel: Panel, rng: Rng) -> None:
    """Draw a room in one-point perspective, with boards, a window and a shelf."""
    w, h = float(panel.width), float(panel.height)
    x0, x1 = w * rng.between(0.08, 0.25), w * rng.between(0.75, 0.92)
    y0, y1 = h * rng.between(0.05, 0.16), h * rng.between(0.62, 0.75)
    far = ((x0 + x1) / 2, (y0 + y1) / 2)
    pitch = _ruling(rng)
    wall = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if rng.chance(0.7):
        panel.tone(wall, rng.between(0.08, 0.3), pitch)
    for side in ([(0.0, 0.0), (x0, y0), (x0, y1), (0.0, h)], [(w, 0.0), (x1, y0), (x1, y1), (w, h)]):
        panel.tone(side, (0.45, 0.15), pitch)
    for k in range(13):
        x = x0 + (x1 - x0) * k / 12
        end = (far[0] + (x - far[0]) * 3, far[1] + (y1 - far[1]) * 3)
        panel.line([(x, y1), end], INK, 0.9)
    panel.polygon(wall, None, INK, 1.6)
    for corner, outer in zip(wall, ((0.0, 0.0), (w, 0.0), (w, h), (0.0, h)), strict=True):
        panel.line([corner, outer], INK, 1.6)
    wide, tall = x1 - x0, y1 - y0
    _window(panel, (x0 + wide * 0.1, y0 + tall * 0.14, x0 + wide * 0.46, y0 + tall * 0.66), rng)
    shelf = (x0 + wide * 0.58, y0 + tall * 0.12, x0 + wide * 0.93, y1)
    panel.box(shelf, PAPER, INK, 1.4)
    for row in range(3):
        low = shelf[1] + (shelf[3] - shelf[1]) * (row + 1) / 3 - 2
        x = shelf[0] + 2
        while x < shelf[2] - 5:
            thick, high = (rng.between(2.2, 5), (shelf[3] - shelf[1]) / 3 * rng.between(0.55, 0.82))
            panel.box((x, low - high, x + thick, low), rng.pick((PAPER, INK, PAPER, 150)), INK, 0.7)
            x += thick
        panel.line([(shelf[0], low), (shelf[2], low)], INK, 1.2)


def _window(panel: Panel, box: tuple[float, float, float, float], rng: Rng) -> None:
    x0, y0, x1, y1 = box
    panel.box(box, PAPER, INK, 1.4)
    view = [(x0 + 2, y0 + 2), (x1 - 2, y0 + 2), (x1 - 2, y1 - 2), (x0 + 2, y1 - 2)]
    panel.tone(view, (rng.between(0.3, 0.7), 0.0), _ruling(rng))
    panel.box(((x0 + x1) / 2 - 1, y0, (x0 + x1) / 2 + 1, y1), PAPER, INK, 0.6)
    panel.box((x0, (y0 + y1) / 2 - 1, x1, (y0 + y1) / 2 + 1), PAPER, INK, 0.6)
    for side in (x0, x1):  # curtains
        for k in range(4):
            x = side + (k - 1.5) * 3
            panel.stroke(curve([(x, y0 - 4), (x + 1.5, (y0 + y1) / 2), (x, y1 + 8)], 5), INK, 1.3)


def burst(panel: Panel, at: Point, size: float, rng: Rng) -> None:
    points = []
    count = rng.whole(11, 19)
    for k in range(2 * count):
        radius = size * float(rng.uniform(0.9, 1.3) if k % 2 else rng.uniform(0.5, 0.65))
        points.append(
            (at[0] + radius * math.cos(math.pi * k / count), at[1] + radius * math.sin(math.pi * k / count))
        )
    panel.polygon(points, PAPER, INK, 2.0)
    inner = [(at[0] + (x - at[0]) * 0.62, at[1] + (y - at[1]) * 0.62) for x, y in points]
    panel.tone(inner, rng.between(0.2, 0.5), _ruling(rng))
    panel.polygon(inner, None, INK, 1.0)


def balloon(
    page: Sheet, corner: Point, room: Point, toward: Point, text: str, rng: Rng, *, named: bool = False
) -> None:
    """Draw a balloon near a panel's `corner` that occupies about `room`; its tail points `toward` the speaker.

    Text that does not fit is omitted, except `text` that the Spec names.
    """
    size, words = rng.between(7.0, 12.0), text
    lines = broken(page, words, size, max(room[0] * 0.72, size * 3.4))
    while len(lines) > 1 and len(lines) * size * 1.15 > room[1] * 0.8 and size > 5:
        size *= 0.9
        lines = broken(page, words, size, max(room[0] * 0.72, size * 3.4))
        if size < 6.5 and not named:
            return
    rx = max(page.length(line, size) for line in lines) * 0.5 * 1.25 + size * 0.7
    ry = len(lines) * size * 0.58 * 1.3 + size * 0.75
    x = corner[0] + (rx + 5) * (1 if toward[0] > 0 else -1)
    y = corner[1] + (ry + 5) * (1 if toward[1] > 0 else -1)
    at = (min(max(x, rx + 2), page.width - rx - 2), min(max(y, ry + 2), page.height - ry - 2))
    kind, width = rng.pick(BALLOONS), rng.between(0.9, 1.9)
    paper, ink = (INK, PAPER) if rng.chance(0.06) else (PAPER, INK)
    if kind == "box":
        page.box((at[0] - rx, at[1] - ry, at[0] + rx, at[1] + ry), paper, INK, 1.3)
    else:
        page.polygon(_outline(at, rx, ry, kind, toward, rng), paper, INK, width)
    for k, line in enumerate(lines):
        middle = at[1] + (k - (len(lines) - 1) / 2) * size * 1.16
        page.text((at[0], middle), line, size, ink, anchor="mm", bold=size * 0.03, named=named)


def _outline(at: Point, rx: float, ry: float, kind: str, toward: Point, rng: Rng) -> list[Point]:
    points = []
    spikes = rng.whole(12, 20)
    aim = math.atan2(toward[1] * ry, toward[0] * rx)
    for k in range(120):
        angle = 2 * math.pi * k / 120
        radius = 1.0
        if kind == "burst":
            phase = angle * spikes / (2 * math.pi) % 1.0
            radius = 0.98 + 0.34 * (1 - 2 * abs(phase - 0.5)) ** 2
        elif kind == "cloud":
            radius = 1.0 + 0.12 * abs(math.sin(angle * 5))
        away = abs((angle - aim + math.pi) % (2 * math.pi) - math.pi)
        if kind == "round" and away < 0.16:
            radius += (0.16 - away) / 0.16 * 0.55
        points.append((at[0] + rx * radius * math.cos(angle), at[1] + ry * radius * math.sin(angle)))
    return points

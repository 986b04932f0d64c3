"""Screens: windows with code, articles, tables, forms, icons, charts, chats and terminals.

A screen is a grid of pixels, so there is no supersampling: boxes are aligned to the grid, and FreeType renders letters
at their final size, 9 to 30 pixels; only curves are supersampled and reduced to coverage. One seed in three is a
display of double density, on which everything has twice as many pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from PIL import Image

from srkit.rendered._panes import CONTENTS, Content, files
from srkit.rendered._widgets import Theme, disc, theme_of
from srkit.rendered.canvas import Rendered, Rng, Sheet
from srkit.rendered.colours import COLOURS
from srkit.rendered.lettering import fitted, menu, sign_word, title
from srkit.rendered.specs import Caption, Spec, Split, Wording, a, choice, words

_Cell = tuple[int, int, int, int]
_SMALLEST_DENSE = 256


def _heading(rng: Rng, split: Split) -> str:
    return sign_word(rng, split).title()


@dataclass(frozen=True, kw_only=True)
class Screen(Spec):
    """Desktop, described by the theme of its windows and the content of the upper left one."""

    domain = "screen"
    content: str = choice(
        "editor: code editor|program code, article: article|page of text, table: table of numbers|spreadsheet, "
        "form: settings form|form with buttons, files: file manager|desktop folder, chart: chart|diagram, "
        "chat: chat window|messenger, terminal: terminal|command line, inbox: mail inbox|list of mails, "
        "calendar: calendar|month view",
        weights="2 2 2 1 1 1 1 1 1 1",
    )
    heading: str = words(_heading)
    icons: str = choice(
        "folders: folder icons, documents: document icons, notes: music icons, gears: gear icons, "
        "lenses: magnifier icons|search icons, pictures: picture icons",
        content="files",
    )
    theme: str = choice(
        "light: light theme|bright theme, dark: dark theme|dark mode, tinted: tinted theme", weights="3 2 1"
    )
    accent: str = choice(COLOURS)
    density: str = choice("1:, 2:", weights="2 1")

    def draw(self, width: int, height: int) -> Rendered:
        """See `Spec.draw`; below 256 pixels the density is 1, since too little would be visible at 2."""
        density = int(self.density) if min(width, height) >= _SMALLEST_DENSE else 1
        desktop = self._desktop(-(-width // density), -(-height // density), density)
        whole = Sheet(width, height, (0, 0, 0), 1)
        whole.image = desktop.image.crop((0, 0, width, height))
        for found in desktop.lettering:
            x0, y0, x1, y1 = (v * density for v in found.box)
            whole.note(found.words, (x0, y0, x1, y1))
        return whole.rendered()

    def _desktop(self, width: int, height: int, density: int) -> Sheet:
        rng, theme = self.rng("desktop"), theme_of(self.theme, self.accent, self.rng("theme"))
        desktop = Sheet(width, height, theme.desk, density)
        gap, bar, largest = rng.whole(0, 14), rng.whole(22, 31), rng.whole(220, 420)
        whole = (gap, gap, width - gap, height - gap)
        if rng.chance(0.5) and height > 150:
            _menu_bar(desktop, bar, theme, rng.child("menu"))
            whole = (gap, bar + gap, width - gap, height - gap)
        for k, box in enumerate(_tiles(whole, largest, gap, rng.child("tiles"))):
            part = self.rng("window", k)
            kind = self.content if k == 0 else self.attributes()["content"].draw(part, "all")
            icons = self.icons if k == 0 else ""
            content: Content = partial(files, icons=icons) if kind == "files" else CONTENTS[kind]
            inside = theme
            if part.chance(0.25) and k:
                inside = theme_of(
                    part.pick(self.values("theme")), part.pick(self.values("accent")), part.child("theme")
                )
            _window(desktop, box, inside, content, "" if k else self.heading, part)
        if rng.chance(0.5) and min(width, height) >= 200:
            _floating(desktop, theme, rng.child("floating"))
        return desktop

    def describe(self, say: Wording) -> Caption:
        return say.caption(
            f"{say.pick('screenshot of', 'screen with', 'computer screen showing')} {a(say('content'))}",
            [
                f"window title {say.reads('heading')}",
                say("icons") if "icons" in self.shown() else "",
                say("theme"),
                f"{say('accent')} {say.pick('accents', 'highlights')}",
                say.pick("small sharp letters", "rows of small letters"),
            ],
            ("screenshot", "window", "text", "letters", say("content")),
        )


def _tiles(box: _Cell, largest: int, gap: int, rng: Rng) -> list[_Cell]:
    x0, y0, x1, y1 = box
    wide, tall = x1 - x0, y1 - y0
    if max(wide, tall) < largest or (max(wide, tall) < 1.6 * largest and rng.chance(0.35)):
        return [box]
    share = rng.between(0.33, 0.67)
    if wide > tall * rng.between(0.75, 1.2):
        cut = x0 + int(wide * share)
        parts = ((x0, y0, cut, y1), (cut + gap, y0, x1, y1))
    else:
        cut = y0 + int(tall * share)
        parts = ((x0, y0, x1, cut), (x0, cut + gap, x1, y1))
    return [tile for part in parts for tile in _tiles(part, largest, gap, rng)]


def _window(desktop: Sheet, box: _Cell, theme: Theme, content: Content, heading: str, rng: Rng) -> None:
    """Draw a window; with a title bar if there is room, and always if the Spec gives its heading."""
    x0, y0, x1, y1 = box
    wide, tall = x1 - x0, y1 - y0
    if wide < 24 or tall < 24:
        return
    head = rng.whole(20, 31)
    if not heading and (tall <= 90 or rng.chance(0.2)):
        head = 0
    window = Sheet(wide, tall, theme.paper, desktop.finer)
    if head:
        _title_bar(window, head, theme, heading, rng.child("title"))
    pane = Sheet(max(1, wide - 2), max(1, tall - head - 1), theme.paper, desktop.finer)
    content(pane, theme, rng.child("content"))
    window.lay(pane, (1, head))
    window.box((0, 0, wide, tall), None, theme.line, 1)
    desktop.lay(window, (x0, y0))


def _title_bar(window: Sheet, head: int, theme: Theme, heading: str, rng: Rng) -> None:
    wide, y = window.width, head // 2
    window.box((0, 0, wide, head), theme.bar)
    window.box((0, head - 1, wide, head), theme.line)
    size, name, lights = rng.whole(11, 14), heading or title(rng), rng.chance(0.5)
    room = wide - 80 if lights else wide - (105 if wide > 140 else 50)
    if heading:
        lights, room = lights and wide > 200, max(room, wide - 54)
        size = max(6, min(size, math.floor(size * room / window.length(name, size))))
    else:
        name = fitted(window, name, size, room)
    if lights:
        for k, colour in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
            disc(window, (14 + 18 * k, head / 2), 5.5, colour)
        at = (66 + (wide - 66) // 2, y)
        window.text(at, name, size, theme.text, anchor="mm", bold=0.3, named=bool(heading))
        return
    window.box((8, y - 6, 20, y + 6), theme.accent)
    window.text((27, y), name, size, theme.text, named=bool(heading))
    if wide > 200:
        window.line([(wide - 66, y), (wide - 57, y)], theme.text, 1)
        window.box((wide - 42, y - 4, wide - 33, y + 5), None, theme.text, 1)
    for dx in (-4, 4):
        window.line([(wide - 14 - dx, y - 4), (wide - 14 + dx, y + 4)], theme.text, 1)


def _menu_bar(desktop: Sheet, bar: int, theme: Theme, rng: Rng) -> None:
    desktop.box((0, 0, desktop.width, bar), theme.bar)
    size, x = rng.whole(11, 15), 12
    while x < desktop.width - 120:
        word = menu(rng)
        desktop.text((x, bar // 2), word, size, theme.text, bold=0.4 if x == 12 else 0)
        x += round(desktop.length(word, size)) + rng.whole(12, 20)
    clock = f"{rng.whole(24):02d}:{rng.whole(60):02d}"
    desktop.text((desktop.width - 10, bar // 2), clock, size, theme.text, anchor="rm")


def _floating(desktop: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw a menu or a message above the windows, with its shadow."""
    size = rng.whole(11, 15)
    rows = rng.whole(4, 9)
    wide, step = rng.whole(120, 190), size + rng.whole(8, 14)
    tall = rows * step + 10
    x = rng.whole(4, max(5, desktop.width - wide - 4))
    y = rng.whole(64, max(65, desktop.height - tall - 4))
    f = desktop.finer
    for k in range(4):  # overlaid veils make a soft edge
        veil = Image.new("L", ((wide + 2 * k) * f, (tall + 2 * k) * f), 30)
        desktop.image.paste((0, 0, 0), ((x - k + 1) * f, (y - k + 4) * f), veil)
    desktop.box((x, y, x + wide, y + tall), theme.raised, theme.line, 1)
    chosen = rng.whole(rows)
    for k in range(rows):
        middle = y + 5 + k * step + step // 2
        ink = theme.text
        if k == chosen:
            desktop.box((x + 3, middle - step // 2, x + wide - 3, middle + step // 2), theme.accent)
            ink = (255, 255, 255)
        desktop.text((x + 12, middle), menu(rng), size, ink)
        if rng.chance(0.5):
            desktop.text((x + wide - 10, middle), f"Ctrl+{rng.pick('ACEFNOPQSVWXZ')}", size, ink, anchor="rm")
        elif rng.chance(0.2) and k != chosen:
            desktop.box((x + 4, middle + step // 2, x + wide - 4, middle + step // 2 + 1), theme.line)

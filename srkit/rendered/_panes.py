"""Contents of windows: code, articles, tables, chats, terminals, mail, files, charts, calendars."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from srkit.rendered._widgets import Theme, disc, form, path, rounded, thumbnail
from srkit.rendered.canvas import Colour, Point, Rng, Sheet
from srkit.rendered.colours import hue, mix, shade
from srkit.rendered.lettering import broken, fitted, menu, noun, number, person, sentence, term, title, word

_WHITE = (255, 255, 255)


def editor(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw code in a monospaced face, with line numbers."""
    size = rng.whole(10, 16)
    advance, step = size * 0.62, size + rng.whole(3, 8)
    gutter = round(advance * 4) + 8
    pane.box((0, 0, gutter - 4, pane.height), theme.raised)
    first, depth, y, row = rng.whole(1, 400), 0, 4, 0
    marked = rng.whole(2, 12)
    while y < pane.height:
        middle = y + step // 2
        if row == marked:
            pane.box((gutter - 4, y, pane.width, y + step), mix(theme.paper, theme.accent, 0.16))
        number = str(first + row)
        _even(pane, (gutter - 10 - advance * len(number), middle), number, size, theme.dim, advance)
        if rng.chance(0.88):
            x = gutter + 4 + advance * 4 * depth
            for piece, kind in _code_line(rng):
                _even(pane, (x, middle), piece, size, theme.text if kind < 0 else theme.code[kind], advance)
                x += advance * len(piece)
        depth = min(4, max(0, depth + rng.whole(-1, 2)))
        y, row = y + step, row + 1


def _even(pane: Sheet, at: Point, letters: str, size: int, ink: Colour, advance: float) -> None:
    for k, letter in enumerate(letters):
        if letter != " " and at[0] + k * advance < pane.width:
            pane.text((round(at[0] + (k + 0.5) * advance), at[1]), letter, size, ink, anchor="mm")


def _code_line(rng: Rng) -> list[tuple[str, int]]:
    """Tokens of a line of code with their colour's number, -1 for plain text."""
    a, b, c = term(rng), term(rng), term(rng)
    n = str(rng.whole(0, 512))
    return rng.pick(
        [
            [("def ", 0), (f"{a}_{b}", 1), ("(", -1), (c, -1), (", ", -1), (b, -1), ("):", -1)],
            [(f"{a} = ", -1), (f"{b}_{c}", 1), ("(", -1), (n, 3), (", ", -1), (f"'{a}'", 2), (")", -1)],
            [("if ", 0), (f"{a} > ", -1), (n, 3), (" and ", 0), (f"{b}.{c}:", -1)],
            [("for ", 0), (a, -1), (" in ", 0), ("range", 1), (f"({b}):", -1)],
            [("return ", 0), (f"{a}[{b}] * {c}", -1)],
            [(f"# {sentence(rng, 4, 8).lower()}", 4)],
            [("import ", 0), (f"{a}.{b}", -1), (" as ", 0), (c[0], -1)],
            [(f"self.{a}", -1), (" += ", -1), (f"{b}", 1), (f"[{n}]", 3)],
            [("const ", 0), (f"{a} = ", -1), (f'"{noun(rng)} {noun(rng)}"', 2), (";", -1)],
            [("while ", 0), (f"({a} != {b}) ", -1), ("{", -1)],
            [("}", -1)],
        ]
    )


def article(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw a heading and paragraphs, perhaps with an image, a list or a link."""
    size = rng.whole(10, 17)
    margin = rng.whole(8, 28)
    y, serif = margin, rng.between(1.35, 1.7)
    while y < pane.height:
        if rng.chance(0.3) or y == margin:
            head = int(size * rng.between(1.3, 2.2))
            for line in broken(pane, title(rng), head, pane.width - 2 * margin):
                pane.text((margin, y + head // 2), line, head, theme.text, bold=head * 0.02)
                y += round(head * 1.25)
            y += size // 2
        if rng.chance(0.18):
            tall = rng.whole(40, 90)
            thumbnail(pane, (margin, y, pane.width - margin, y + tall), rng)
            y += tall + size
        bullets = rng.chance(0.2)
        for _ in range(rng.whole(2, 5) if bullets else 1):
            words = (
                sentence(rng, 4, 9) if bullets else " ".join(sentence(rng) for _ in range(rng.whole(2, 6)))
            )
            indent = size if bullets else 0
            if bullets:
                disc(pane, (margin + size * 0.3, y + size * serif / 2), size * 0.16, theme.text)
            for line in broken(pane, words, size, pane.width - 2 * margin - indent):
                ink = theme.accent if rng.chance(0.05) else theme.text
                pane.text((margin + indent, y + round(size * serif / 2)), line, size, ink)
                y += round(size * serif)
        y += size


def table(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw columns of names and numbers under a header, with rules or stripes."""
    size = rng.whole(9, 15)
    step = size + rng.whole(5, 13)
    columns, x = [0], 0
    while x < pane.width:
        x += rng.whole(size * 5, size * 9)
        columns.append(min(x, pane.width))
    striped, ruled = rng.chance(0.6), rng.chance(0.6)
    kinds = [rng.whole(3) if k else 2 for k in range(len(columns))]
    pane.box((0, 0, pane.width, step), theme.bar)
    y, row = 0, 0
    while y < pane.height:
        if row and striped and row % 2 == 0:
            pane.box((0, y, pane.width, y + step), theme.raised if theme.raised != theme.paper else theme.bar)
        for k in range(len(columns) - 1):
            x0, x1 = columns[k], columns[k + 1]
            if row == 0:
                pane.text((x0 + 6, y + step // 2), term(rng).capitalize(), size, theme.text, bold=0.35)
            elif kinds[k] == 2:
                name = fitted(pane, f"{person(rng)} {noun(rng).capitalize()}", size, x1 - x0 - 12)
                pane.text((x0 + 6, y + step // 2), name, size, theme.text)
            else:
                value = fitted(pane, number(rng), size, x1 - x0 - 10)
                ink = (200, 50, 50) if rng.chance(0.08) else theme.text
                pane.text((x1 - 6, y + step // 2), value, size, ink, anchor="rm")
            if ruled:
                pane.box((x1 - 1, y, x1, y + step), theme.line)
        pane.box((0, y + step - 1, pane.width, y + step), theme.line)
        y, row = y + step, row + 1


def chat(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw messages in bubbles, right and left, with faces and times."""
    size = rng.whole(11, 15)
    y = 10
    while y < pane.height:
        mine = rng.chance(0.45)
        lines = broken(pane, sentence(rng, 3, 16), size, max(60, pane.width * 0.55))
        wide = round(max(pane.length(line, size) for line in lines)) + 18
        tall = round(len(lines) * size * 1.3) + 12
        x = pane.width - 12 - wide if mine else 46
        fill = theme.accent if mine else theme.bar
        rounded(pane, (x, y, x + wide, y + tall), 8, fill)
        for k, line in enumerate(lines):
            at = (x + 9, y + 6 + round((k + 0.5) * size * 1.3))
            pane.text(at, line, size, _WHITE if mine else theme.text)
        if not mine:
            disc(pane, (24, y + 14), 13, hue(rng.random(), 0.55, 0.75))
            pane.text((24, y + 14), person(rng)[0], size, _WHITE, anchor="mm")
        stamp = f"{rng.whole(24):02d}:{rng.whole(60):02d}"
        pane.text((x + wide if mine else x, y + tall + 7), stamp, 9, theme.dim, anchor="rm" if mine else "lm")
        y += tall + 20


def terminal(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw a shell: prompts, commands and their output."""
    size = rng.whole(10, 15)
    advance, step = size * 0.62, size + rng.whole(2, 6)
    back, ink = rng.pick(
        (((12, 14, 16), (208, 212, 208)), ((0, 0, 0), (70, 220, 90)), ((40, 12, 36), (238, 232, 236)))
    )
    pane.box((0, 0, pane.width, pane.height), back)
    for y in range(step // 2 + 2, pane.height + step, step):
        if rng.chance(0.25):
            prompt = f"{person(rng).lower()}@{noun(rng)}:~$ "
            command = f"{term(rng)} --{term(rng)} {noun(rng)}.{term(rng)[:3]}"
            _even(pane, (5, y), prompt, size, (120, 220, 120), advance)
            _even(pane, (5 + advance * len(prompt), y), command, size, ink, advance)
        elif rng.chance(0.5):
            row = f"-rw-r--r--  {rng.whole(99999):>6} {noun(rng)}_{term(rng)}.{term(rng)[:3]}"
            _even(pane, (5, y), row, size, ink, advance)
        else:
            row = f"[{rng.whole(100):>3}%] {term(rng)}: {sentence(rng, 3, 7).lower()}"
            _even(pane, (5, y), row, size, shade(ink, 0.85), advance)


def inbox(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw a list of mails: sender, subject, a line of the text, the time."""
    size = rng.whole(10, 15)
    step = size * 3 + rng.whole(10, 18)
    chosen = rng.whole(8)
    for row, y in enumerate(range(0, pane.height, step)):
        back, new = mix(theme.paper, theme.accent, 0.25) if row == chosen else theme.paper, rng.chance(0.4)
        pane.box((0, y, pane.width, y + step), back)
        disc(pane, (step / 2, y + step / 2), step * 0.3, hue(rng.random(), 0.5, 0.75))
        x = step + 2
        name, first = f"{person(rng)} {noun(rng).capitalize()}", f"{title(rng)} - {sentence(rng, 6, 14)}"
        pane.text((x, y + size), name, size, theme.text, bold=0.45 if new else 0)
        pane.text((x, y + round(size * 2.25)), first, size, theme.text if new else theme.dim)
        stamp = f"{rng.whole(24)}:{rng.whole(60):02d}"
        wide = round(pane.length(stamp, size)) + 16
        pane.box((pane.width - wide, y, pane.width, y + size + 8), back)
        pane.text((pane.width - 8, y + size), stamp, size, theme.dim, anchor="rm")
        pane.box((0, y + step - 1, pane.width, y + step), theme.line)


def files(pane: Sheet, theme: Theme, rng: Rng, icons: str = "") -> None:
    """Draw a grid of icons with names; `icons` restricts them to one kind."""
    size, cell = rng.whole(9, 13), rng.whole(62, 88)
    icon = cell // 2
    for top in range(8, pane.height, cell + size):
        for left in range(4, pane.width, cell + 6):
            x, y, kind = left + (cell - icon) // 2, top, icons or rng.pick(ICONS)
            colour = hue(rng.random(), rng.between(0.4, 0.8), rng.between(0.6, 0.95))
            if kind == "pictures":
                box = (x, y + icon // 8, x + icon, y + icon - icon // 8)
                thumbnail(pane, box, rng.child("picture", top, left))
            else:
                _ICONS[kind](pane, (x, y), icon, colour, theme)
            name = rng.pick((noun(rng), f"{noun(rng)}.txt", f"IMG_{rng.whole(9999):04d}", menu(rng)))
            at = (left + cell // 2, y + icon + 5 + size // 2)
            pane.text(at, fitted(pane, name, size, cell + 2), size, theme.text, anchor="mm")


def _folder(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at
    rounded(pane, (x, y + size // 8, x + size // 2, y + size // 2), 3, shade(colour, 0.8))
    rounded(pane, (x, y + size // 4, x + size, y + size - 2), 3, colour)


def _page(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at
    pane.box((x + size // 6, y, x + size - size // 6, y + size), (252, 252, 252), theme.dim, 1)
    for k in range(4):
        line = y + size // 5 + k * size // 6
        pane.box((x + size // 4, line, x + size - size // 4 - (k % 2) * 4, line + 1), shade(colour, 0.7))


def _music(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at
    rounded(pane, (x, y, x + size, y + size), size / 5, colour)
    low, high = ((0.36, 0.68), (0.64, 0.62)), ((0.46, 0.28), (0.74, 0.22))
    for u, v in low:
        disc(pane, (x + size * u, y + size * v), size * 0.11, _WHITE)
    stems = ((low[0][0] + 0.1, low[0][1]), *high, (low[1][0] + 0.1, low[1][1]))
    path(pane, [(x + size * u, y + size * v) for u, v in stems], _WHITE, size * 0.05)


def _gear(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at[0] + size / 2, at[1] + size / 2
    points = []
    for k in range(32):
        radius, angle = size * (0.48 if k % 4 < 2 else 0.37), math.pi * k / 16
        points.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
    path(pane, points, colour, 0, closed=True)
    disc(pane, (x, y), size * 0.15, theme.paper)


def _lens(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at
    disc(pane, (x + size * 0.42, y + size * 0.42), size * 0.36, colour)
    disc(pane, (x + size * 0.42, y + size * 0.42), size * 0.25, theme.paper)
    path(pane, [(x + size * t, y + size * t) for t in (0.66, 0.92)], colour, size * 0.12)


_ICONS: dict[str, Callable[[Sheet, tuple[int, int], int, Colour, Theme], None]] = {
    "folders": _folder, "documents": _page, "notes": _music, "gears": _gear, "lenses": _lens,
}  # fmt: skip
ICONS = (*_ICONS, "pictures")


def chart(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw bars, lines or a pie with labels."""
    size = rng.whole(9, 13)
    heading = fitted(pane, title(rng), size + 5, pane.width - 20)
    pane.text((12, 8 + size), heading, size + 5, theme.text, bold=0.4)
    left, top, right = 44, 30 + size, pane.width - 12
    while top < pane.height - 40:
        bottom = min(pane.height - 24, top + rng.whole(90, 170))
        rows = max(2, (bottom - top) // 26)
        for k in range(rows + 1):
            y = bottom - (bottom - top) * k // rows
            pane.box((left, y, right, y + 1), theme.line)
            pane.text((left - 6, y), f"{k * 20}", size, theme.dim, anchor="rm")
        count = max(3, (right - left) // rng.whole(18, 42))
        step = (right - left) / count
        turn, kind = rng.random(), rng.random()
        values = np.clip(np.cumsum(rng.uniform(-0.25, 0.27, (2, count)), axis=1) + 0.5, 0.05, 0.98)
        for series in range(2):
            colour = hue(turn + 0.37 * series, 0.65, 0.8)
            heights = (bottom - (bottom - top) * float(value) for value in values[series])
            points = [(left + step * (k + 0.5), height) for k, height in enumerate(heights)]
            if kind < 0.5:
                for x, height in points:
                    x0 = round(x - step * 0.36 + series * step * 0.36)
                    pane.box((x0, round(height), round(x0 + step * 0.33), bottom), colour)
            else:
                path(pane, points, colour, 2.0)
                for at in points[:: max(1, count // 12)]:
                    disc(pane, at, 3, colour)
        for k in range(0, count, max(1, int(40 / step))):
            at = (left + round(step * (k + 0.5)), bottom + 4 + size // 2)
            pane.text(at, word(rng)[:3].capitalize(), size, theme.dim, anchor="mm")
        top = bottom + 34


def month(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw a calendar with entries."""
    size = rng.whole(9, 13)
    columns = 7 if pane.width > 230 else 4
    cell_w, cell_h = pane.width // columns, rng.whole(40, 66)
    day = rng.whole(1, 8)
    for k, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[:columns]):
        pane.text((k * cell_w + cell_w // 2, 9), name, size, theme.dim, anchor="mm")
    for y in range(18, pane.height, cell_h):
        for k in range(columns):
            x = k * cell_w
            pane.box((x, y, x + cell_w + 1, y + cell_h + 1), None, theme.line, 1)
            pane.text((x + 4, y + 8), str(day), size, theme.text)
            day = day % 31 + 1
            for entry in range(rng.whole(0, 3)):
                top = y + 16 + entry * (size + 3)
                colour = hue(rng.random(), 0.45, 0.8)
                if top + size + 2 < y + cell_h:
                    pane.box((x + 2, top, x + cell_w - 1, top + size + 2), colour)
                    name = fitted(pane, noun(rng), size - 1, cell_w - 5)
                    pane.text((x + 4, top + size // 2 + 1), name, size - 1, _WHITE)


Content = Callable[[Sheet, Theme, Rng], None]
CONTENTS: dict[str, Content] = {
    "editor": editor, "article": article, "table": table, "form": form, "chart": chart, "chat": chat,
    "terminal": terminal, "inbox": inbox, "calendar": month,
}  # fmt: skip

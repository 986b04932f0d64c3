"""Words for signs, labels and interfaces, limited to the embedded font's glyphs, and the typefaces of signs."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from srkit.rendered.canvas import Ink, Point, Rng, Sheet, font
from srkit.rendered.specs import Split, in_split


def _each(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_COMMON = _each(
    "the of and to in is that it was for on are as with his they at be this from have or by one had not but "
    "what all were when we there can an your which their said if do will each about how up out them then she "
    "many some so these would other into has more her two like him see time could no make than first been its "
    "who now people my made over did down only way find use may water long little very after words called just "
    "where most know"
)
_NOUNS = _each(
    "harbour window garden morning paper river lantern machine letter bridge station winter signal copper island "
    "market engine mirror valley forest ticket school corner summer castle thunder meadow silver orchard compass "
    "journey kitchen picture stone shadow library festival mountain village blanket captain evening basket feather"
)
_TERMS = _each(
    "index value count buffer width height offset result cache limit scale total label source target filter vector "
    "matrix kernel sample state queue weight layer stream token batch step node path name key item size mode"
)
_MENU = _each(
    "File Edit View Insert Format Tools Window Help Search Settings Account Export Import Share Print Save Open "
    "Close Cancel Apply Reset Delete Rename Details History Filters Downloads Updates Privacy Network Display Sound "
    "Devices Storage Profile Messages Calendar Projects Reports Inbox Drafts Archive Upload Preview Publish Layout"
)
_PEOPLE = _each(
    "Anna Ben Clara David Emma Felix Grace Hugo Ida Jonas Kira Leo Mira Nora Oscar Paula Quinn Rosa Samir Tess Uwe "
    "Vera Will Xenia Yuki Zoe"
)
_PLACES = _each(
    "North Mill Castle Church Station River Park Bridge Market Queen King Linden Maple Oak Garden Harbour Tower "
    "Abbey Forest Lake Hill Spring Rose Windmill Harvest Bishop Foundry Orchard Canal Meadow Quarry"
)
_WAYS = _each("St Street Road Lane Ave Avenue Way Row Court Square Walk Drive Place")
_SIGNS = _each(
    "bakery butcher grocer florist cafe bistro tavern brewery creamery dairy deli diner kitchen pantry cantina grill "
    "pizza noodles sushi burgers pancakes waffles donuts sandwich salads juice smoothie coffee espresso tea chocolate "
    "candy honey cheese wine cider whisky spirits tobacco kiosk market bazaar emporium outlet boutique atelier tailor "
    "hatter cobbler shoes boots gloves scarves jackets dresses denim wool yarn fabrics lace linen bedding curtains "
    "carpets lamps lighting mirrors frames gallery museum studio theatre cinema circus ballet opera concert records "
    "guitars piano violin drums books comics magazines papers stationer printer copies maps globes stamps coins "
    "antiques auction jeweller watches clocks optician glasses dentist doctor pharmacy chemist clinic hospital vet "
    "barber salon nails perfume soap laundry cleaners ironing repairs keys locks tools hardware paint timber bricks "
    "plumber electric heating garage tyres petrol parking taxi station platform airport harbour ferry tickets travel "
    "hotel hostel inn lodge camping cabins showers toilets exit entrance reception office bank exchange insurance "
    "lawyer notary archive library school college academy nursery playground stadium gymnasium swimming tennis "
    "football skating cycling bicycles scooters skates fishing bait sailing canoes surfing skiing climbing riding "
    "stables farm orchard vineyard garden plants seeds flowers roses tulips orchids forest river bridge castle abbey "
    "chapel church temple cemetery monument fountain square plaza arcade passage terrace balcony cellar attic "
    "workshop factory foundry warehouse depot quarry mill windmill lighthouse observatory planet comet eclipse "
    "thunder lightning monsoon blizzard sunrise midnight autumn winter spring summer january october friday sunday "
    "danger caution warning private closed open welcome push pull silence staff visitors deliveries lost found "
    "falcon heron badger otter beaver squirrel hedgehog leopard panther dolphin walrus octopus lobster salmon "
    "cherry lemon walnut almond pepper ginger vanilla cinnamon saffron basil parsley mustard pickles olives figs "
    "copper silver golden marble granite velvet crimson indigo amber ivory emerald sapphire diamond crystal "
    "compass anchor rudder captain pirate voyage treasure lantern candle furnace engine piston magnet rocket signal"
)
_SYLLABLES = _each(
    "ba be bo ca co da de di do fi go ha he ho ki la le li lo lu ma me mi mo na ne no pa po ra "
    "re ri ro sa se si so ta te ti to va ve vi vo za ze zo bra cro dri fle gra plo sta tri"
)
_SMALL = (
    "open daily", "since 1962", "est. 1887", "free entry", "first floor", "24 hours", "cash only", "no dogs",
    "sale today", "fresh bread", "tea & cakes", "by appointment", "ring twice", "to the left", "two for one",
    "since 1904", "mind the step", "all welcome", "hot soup", "new stock", "closed mondays", "half price",
    "wet paint", "fine goods", "best in town", "ask inside", "no smoking", "please knock", "back at noon", "upstairs",
    "room 12", "gate 7", "next turn", "200 m",
)  # fmt: skip


def word(rng: Rng) -> str:
    return rng.pick(_COMMON if rng.chance(0.6) else _NOUNS)


def noun(rng: Rng) -> str:
    return rng.pick(_NOUNS)


def term(rng: Rng) -> str:
    """Random identifier of a program."""
    return rng.pick(_TERMS)


def menu(rng: Rng) -> str:
    """Random word of an interface."""
    return rng.pick(_MENU)


def person(rng: Rng) -> str:
    return rng.pick(_PEOPLE)


def place(rng: Rng) -> str:
    return rng.pick(_PLACES)


def street_name(rng: Rng) -> str:
    return f"{rng.pick(_PLACES)} {rng.pick(_WAYS)}"


def sentence(rng: Rng, low: int = 5, high: int = 14) -> str:
    words = [word(rng) for _ in range(rng.whole(low, high + 1))]
    return " ".join([words[0].capitalize(), *words[1:]]) + rng.pick((".", ".", ".", "?", "!"))


def title(rng: Rng) -> str:
    return f"{noun(rng)} {rng.pick(('and', 'of', 'in', 'for', 'with'))} {noun(rng)}".capitalize()


def number(rng: Rng) -> str:
    """Random number of a table: an integer, decimals, thousands, a percentage, an amount or a date."""
    kind, value = rng.whole(6), rng.random()
    return (
        f"{int(value * 1000)}",
        f"{value * 100:.2f}",
        f"{int(value * 90000) + 1000:,}",
        f"{value * 100:.1f}%",
        f"${value * 500:.2f}",
        f"{2000 + int(value * 30)}-{int(value * 997) % 12 + 1:02d}-{int(value * 3989) % 28 + 1:02d}",
    )[kind]


# Words that a Spec names, from one split of the vocabulary.


@lru_cache(maxsize=3)
def vocabulary(split: Split) -> tuple[str, ...]:
    """Dictionary words of a split, in lower case."""
    return tuple(sorted({word for word in (*_SIGNS, *_NOUNS) if in_split(word, split)}))


def sign_word(rng: Rng, split: Split) -> str:
    """Random word of 3 to 12 letters, one in six of them invented."""
    if not rng.chance(1 / 6):
        return rng.pick(vocabulary(split))
    while True:
        name = "".join(rng.pick(_SYLLABLES) for _ in range(rng.whole(2, 4))) + rng.pick(
            ("", "", "n", "s", "x", "l")
        )
        if in_split(name, split):
            return name


def sign_text(rng: Rng, split: Split) -> str:
    """One word, sometimes two, in capitals or title case."""
    text = sign_word(rng, split)
    if rng.chance(0.25):
        text = f"{text} {sign_word(rng, split)}"
    return text.upper() if rng.chance(0.7) else text.title()


def small_text(rng: Rng, split: Split) -> str:
    """Second line of a sign, or an empty text."""
    return rng.pick(_SMALL) if rng.chance(0.5) else ""


def broken(sheet: Sheet, text: str, size: float, room: float) -> list[str]:
    """Lines of `text`, none wider than `room` pixels unless it is a single word."""
    lines = [""]
    for part in text.split():
        longer = f"{lines[-1]} {part}".strip()
        if lines[-1] and sheet.length(longer, size) > room:
            lines.append(part)
        else:
            lines[-1] = longer
    return lines


def fitted(sheet: Sheet, text: str, size: float, room: float) -> str:
    """`text`, or its first letters that fit into `room` pixels, with dots."""
    if sheet.length(text, size) <= room:
        return text
    while text and sheet.length(text + "...", size) > room:
        text = text[:-1]
    return text.rstrip() + "..." if text else ""


# Typefaces, all derived from Pillow's embedded font.

TYPEFACES = (
    "plain, bold: bold|heavy, slanted: slanted|italic, narrow: narrow|condensed, wide: wide|broad, outlined, "
    "slab: slab serif|slab, stencil, dotted: dotted|dot matrix"
)
_BOLD, _SLANT, _STRETCH = 0.045, 0.25, {"narrow": 0.72, "wide": 1.3}
_FEET, _HEADS = frozenset("AFHIKMNPRTXYfhiklmnrx147"), frozenset("BDEFHIKLMNPRUVWXYZbhkl")
_STEMS = frozenset("ITYijlft1!|.,:' ")  # a stencil's gap would remove these


def typeset(
    sheet: Sheet, at: Point, text: str, size: float, ink: Ink, typeface: str = "plain", *, named: bool = False
) -> None:
    """Write a line of `text` centred at `at`, `size` pixels to the em."""
    mask = _line(text, size * sheet.finer, typeface)
    corner = (round(at[0] * sheet.finer - mask.width / 2), round(at[1] * sheet.finer - mask.height / 2))
    sheet.image.paste(ink, corner, mask)
    if named:
        sheet.note(text, (*corner, corner[0] + mask.width, corner[1] + mask.height))


def typeset_width(text: str, size: float, typeface: str) -> float:
    """Width of a line in pixels."""
    return _line(text, size, typeface).width


def advances(text: str) -> list[float]:
    """Relative widths of the letters of a line."""
    return [font(100.0).getlength(letter) for letter in text]


def _line(text: str, size: float, typeface: str) -> Image.Image:
    """Coverage of a line, cropped horizontally to its ink, with a fixed height."""
    glyphs = [_glyph(letter, size, typeface) for letter in text]
    advance = [font(size).getlength(letter) for letter in text]
    spread = {"outlined": 0.06, "slab": 0.08, "bold": 0.04, "dotted": 0.04, "stencil": 0.07}.get(
        typeface, 0.0
    ) * size
    starts = np.concatenate(([0.0], np.cumsum([step + spread for step in advance])))
    edge = math.ceil(size * 0.3)
    line = Image.new("L", (math.ceil(starts[-1]) + 2 * edge, glyphs[0].height), 0)
    for glyph, start in zip(glyphs, starts, strict=False):
        place = (round(start), 0)
        line.paste(255, place, glyph)
    if typeface in _STRETCH:
        line = line.resize((round(line.width * _STRETCH[typeface]), line.height), Image.Resampling.BICUBIC)
    if typeface == "slanted":
        shift = _SLANT * line.height / 2
        line = line.transform(
            line.size, Image.Transform.AFFINE, (1, _SLANT, -shift, 0, 1, 0), Image.Resampling.BICUBIC
        )
    if typeface == "dotted":
        line = _dots(line, size / 11)
    found = line.getbbox()
    return line.crop((found[0], 0, found[2], line.height)) if found else line


@lru_cache(maxsize=1024)
def _glyph(letter: str, size: float, typeface: str) -> Image.Image:
    """Coverage of one letter with a left margin of 0.3 em, vertically centred."""
    edge, high, bold = math.ceil(size * 0.3), math.ceil(size * 1.3), round(size * _BOLD)
    shape = (math.ceil(font(size).getlength(letter)) + 2 * edge, high)

    def drawn(stroke: int) -> Image.Image:
        mask = Image.new("L", shape, 0)
        pen = ImageDraw.Draw(mask)
        pen.text((edge, high / 2), letter, font=font(size), fill=255, anchor="lm", stroke_width=stroke)
        return mask

    if typeface == "outlined":
        return ImageChops.subtract(drawn(bold), drawn(0))
    mask = drawn(bold if typeface in ("bold", "stencil") else 0)
    found = mask.getbbox()
    if found is None:
        return mask
    left, top, right, bottom = found
    if typeface == "stencil" and letter not in _STEMS:
        middle, half = (left + right) // 2, max(1, round(size * 0.035))
        mask.paste(0, (middle - half, 0, middle + half, high))
    if typeface == "slab":
        thick, wide = max(2, round(size * 0.075)), 2 * round(size * 0.07) + 1
        for letters, ends in (
            (_FEET, (0, bottom - thick, shape[0], bottom)),
            (_HEADS, (0, top, shape[0], top + thick)),
        ):
            if letter in letters:
                end = np.asarray(mask.crop(ends)).max(axis=0, keepdims=True).repeat(ends[3] - ends[1], axis=0)
                mask.paste(_widened(Image.fromarray(end), wide), ends[:2])
    return mask


def _widened(mask: Image.Image, size: int) -> Image.Image:
    """The mask dilated horizontally by `size` samples."""
    tall = mask.resize((mask.width, size), Image.Resampling.NEAREST)
    return tall.filter(ImageFilter.MaxFilter(size)).resize(mask.size, Image.Resampling.NEAREST)


def _dots(line: Image.Image, pitch: float) -> Image.Image:
    """The line as round lamps on a grid."""
    rows, columns = round(line.height / pitch), round(line.width / pitch)
    lit = np.asarray(line.resize((columns, rows), Image.Resampling.BOX)) > 84
    dots = Image.new("L", line.size, 0)
    pen, radius = ImageDraw.Draw(dots), pitch * 0.44
    for j, i in np.argwhere(lit):
        x, y = (float(i) + 0.5) * line.width / columns, (float(j) + 0.5) * line.height / rows
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return dots

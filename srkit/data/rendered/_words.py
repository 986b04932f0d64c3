"""Words for lettering, labels and interfaces, within the glyphs that the embedded font has."""

from __future__ import annotations

import numpy as np

from srkit.data.rendered._canvas import pick


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


def word(rng: np.random.Generator) -> str:
    return pick(rng, _COMMON if rng.random() < 0.6 else _NOUNS)


def noun(rng: np.random.Generator) -> str:
    return pick(rng, _NOUNS)


def term(rng: np.random.Generator) -> str:
    """A word as programs name things."""
    return pick(rng, _TERMS)


def menu(rng: np.random.Generator) -> str:
    """A word of an interface."""
    return pick(rng, _MENU)


def person(rng: np.random.Generator) -> str:
    return pick(rng, _PEOPLE)


def place(rng: np.random.Generator) -> str:
    return pick(rng, _PLACES)


def street_name(rng: np.random.Generator) -> str:
    return f"{pick(rng, _PLACES)} {pick(rng, _WAYS)}"


def sentence(rng: np.random.Generator, fewest: int = 5, most: int = 14) -> str:
    words = [word(rng) for _ in range(int(rng.integers(fewest, most + 1)))]
    return " ".join([words[0].capitalize(), *words[1:]]) + pick(rng, (".", ".", ".", "?", "!"))


def title(rng: np.random.Generator) -> str:
    return f"{pick(rng, _NOUNS)} {pick(rng, ('and', 'of', 'in', 'for', 'with'))} {pick(rng, _NOUNS)}".capitalize()


def number(rng: np.random.Generator) -> str:
    """A number as tables hold them: whole, with decimals, with thousands, a share, an amount or a date."""
    kind, value = int(rng.integers(6)), float(rng.random())
    return (
        f"{int(value * 1000)}",
        f"{value * 100:.2f}",
        f"{int(value * 90000) + 1000:,}",
        f"{value * 100:.1f}%",
        f"${value * 500:.2f}",
        f"{2000 + int(value * 30)}-{int(value * 997) % 12 + 1:02d}-{int(value * 3989) % 28 + 1:02d}",
    )[kind]

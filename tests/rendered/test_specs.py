"""Specs, counterfactuals and captions, the same checks for every domain: one attribute changes, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srkit.errors import UsageError
from srkit.rendered import DOMAINS, caption, counterfactual, draw, render, spec
from srkit.rendered.canvas import Lettering, Rendered, Rng, Sheet
from srkit.rendered.lettering import broken, sign_word, typeset, vocabulary
from srkit.rendered.specs import Caption, Spec, in_split

SPECS: dict[str, type[Spec]] = {
    domain: getattr(import_module(f"srkit.rendered.{domain}"), domain.capitalize()) for domain in DOMAINS
}
ATTRIBUTES = [(domain, name) for domain, cls in SPECS.items() for name in cls.attributes()]
LOCAL = {  # the share of an image's pixels that the attribute may change, at most
    ("street", "shop"): 0.03, ("street", "goods"): 0.03, ("street", "board"): 0.05,
    ("sign", "text"): 0.35, ("sign", "small"): 0.2, ("sign", "emblem"): 0.35, ("sign", "typeface"): 0.4,
    ("portrait", "mood"): 0.12, ("portrait", "mouth"): 0.06, ("portrait", "speech"): 0.25,
    ("manga", "speech"): 0.25, ("manga", "sound"): 0.4,
    ("screen", "heading"): 0.1, ("screen", "icons"): 0.3, ("drawing", "name"): 0.08,
    ("halftone", "headline"): 0.5, ("night", "neon"): 0.4,
}  # fmt: skip


UNSAID = {"density"}  # of a screen: too little would show at 2 in a small image


@lru_cache(maxsize=128)
def drawn(shown: Spec) -> Rendered:
    return draw(shown, shown.smallest, shown.smallest)


def one_with(domain: str, name: str) -> Spec:
    """The first Spec whose image shows an attribute, words included."""
    return next(s for seed in range(200) if name in (s := spec(domain, seed)).shown())


def said(found: Caption) -> str:
    return " ".join((found.short, found.detail, *found.keywords))


def changed(a: Spec, b: Spec) -> NDArray[np.bool_]:
    return np.asarray((drawn(a).pixels != drawn(b).pixels).any(axis=2))


# -- Specs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_image_is_that_of_the_spec(domain: str) -> None:
    shown = spec(domain, 3)
    assert shown == spec(domain, 3) != spec(domain, 4)
    assert np.array_equal(draw(shown, 96, 80).pixels, render(domain, 96, 80, 3))


@pytest.mark.parametrize(("domain", "name"), ATTRIBUTES)
def test_seeds_draw_every_value(domain: str, name: str) -> None:
    found = {getattr(spec(domain, seed), name) for seed in range(300)}
    attribute = SPECS[domain].attributes()[name]
    assert found == set(attribute.phrases) if attribute.text is None else len(found) > 15


@pytest.mark.parametrize("domain", DOMAINS)
def test_attributes_are_drawn_independently(domain: str) -> None:
    """An attribute more or less, or another table of one, would leave the others of a seed as they are."""
    for name in set(SPECS[domain].attributes()) - UNSAID:
        one = one_with(domain, name)
        other = counterfactual(one, name)
        assert getattr(other, name) != getattr(one, name)
        assert replace(other, **{name: getattr(one, name)}) == one


@pytest.mark.parametrize("domain", DOMAINS)
def test_unknown_values_and_attributes(domain: str) -> None:
    shown = spec(domain, 0)
    name = next(name for name, attribute in shown.attributes().items() if attribute.text is None)
    with pytest.raises(UsageError, match=rf"'{name}'.*'mauve-ish'"):
        replace(shown, **{name: "mauve-ish"})
    with pytest.raises(UsageError, match="'smell'"):
        counterfactual(shown, "smell")


def test_an_attribute_that_does_not_show_has_no_counterfactual() -> None:
    woven = next(s for seed in range(20) if (s := spec("textile", seed)).fabric == "woven")  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"'stitch'.*weave"):
        counterfactual(woven, "stitch")


# -- counterfactual images --------------------------------------------------------------------------------


@pytest.mark.parametrize(("domain", "name"), ATTRIBUTES)
def test_an_attribute_changes_what_it_names(domain: str, name: str) -> None:
    one = spec(domain, 0) if name in UNSAID else one_with(domain, name)
    other = counterfactual(one, name)
    if name in UNSAID:
        assert not np.array_equal(one.draw(256, 256).pixels, other.draw(256, 256).pixels)
        return
    share = changed(one, other).mean()
    assert 0.0005 < share <= LOCAL.get((domain, name), 1.0)


@pytest.mark.parametrize(("domain", "name"), [("street", "shop"), ("screen", "heading"), ("drawing", "name")])
def test_other_words_change_the_boxes_of_words_alone(domain: str, name: str) -> None:
    one = one_with(domain, name)
    other = counterfactual(one, name)
    differs = changed(one, other)
    assert differs.any()
    for found in (*drawn(one).lettering, *drawn(other).lettering):
        x0, y0, x1, y1 = found.box
        differs[max(0, y0 - 9) : y1 + 9, max(0, x0 - 3) : x1 + 3] = False
    assert not differs.any()


def test_a_mouth_is_the_only_thing_that_moves() -> None:
    """The pixels that any two mouths of a face differ in lie within a box of a third of its width."""
    for seed in range(4):
        face = replace(spec("portrait", seed), speech="")  # type: ignore[call-arg]
        rows, columns = np.nonzero(changed(face, counterfactual(face, "mouth")))
        assert np.ptp(columns) < face.smallest / 4
        assert np.ptp(rows) < face.smallest / 5


# -- captions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
def test_captions_name_every_attribute_that_shows(domain: str) -> None:
    for seed in range(60):
        shown = spec(domain, seed)
        for wording in range(3):
            text = said(caption(shown, wording))
            for name in shown.shown():
                value, attribute = getattr(shown, name), shown.attributes()[name]
                phrases = (value,) if attribute.text is not None else attribute.phrases[value]
                assert any(phrase in text for phrase in phrases), (name, text)


@pytest.mark.parametrize("domain", DOMAINS)
def test_captions_are_sentences(domain: str) -> None:
    """Short, plain, without gaps, and with an article that fits."""
    for seed in range(60):
        found = caption(spec(domain, seed))
        assert 5 < len(found.short) < 130
        assert 10 < len(found.detail) < 260
        assert 2 <= len(found.keywords) == len(set(found.keywords))
        for text in (found.short, found.detail, *found.keywords):
            assert text == " ".join(text.split()) or '"' in text or domain == "street"
            assert not re.search(
                r"\ba [aeiou]\w|\ban [^aeiou\W]|\ba a |, ,|^,|,$|[{}|:_]", _without_words(text)
            ), text


def _without_words(text: str) -> str:
    """The text with a stop for what is quoted and for what is in capitals."""
    return re.sub(r'"[^"]*"|[A-Z0-9][^"]*?(?=, [a-z]|$)', ".", text)


@pytest.mark.parametrize("domain", DOMAINS)
def test_wording_varies_and_repeats(domain: str) -> None:
    shown = spec(domain, 1)
    assert caption(shown, 5) == caption(shown, 5)
    assert len({caption(shown, wording) for wording in range(12)}) > 4


@pytest.mark.parametrize(("domain", "name"), ATTRIBUTES)
def test_a_changed_attribute_changes_the_caption(domain: str, name: str) -> None:
    one = spec(domain, 0) if name in UNSAID else one_with(domain, name)
    other = counterfactual(one, name)
    if one.attributes()[name].phrases.get(getattr(one, name), ("words",)):
        assert said(caption(one)) != said(caption(other))
    else:
        assert said(caption(one)) == said(caption(other))  # unsaid


def test_nothing_is_said_of_words_that_are_not_there() -> None:
    blank = replace(one_with("sign", "text"), text="", small="")  # type: ignore[call-arg]
    assert draw(blank, 128, 128).lettering == ()
    assert "text" not in caption(blank).keywords
    assert "blank" in caption(blank).short
    assert "typeface" not in blank.shown()


# -- words ------------------------------------------------------------------------------------------------


def test_splits_share_no_word() -> None:
    train, held_out = vocabulary("train"), vocabulary("held-out")
    assert not set(train) & set(held_out)
    assert set(train) | set(held_out) == set(vocabulary("all"))
    assert len(train) > 250
    assert len(held_out) > 50


@pytest.mark.parametrize("split", ["train", "held-out"])
@pytest.mark.parametrize(
    ("domain", "name"), [("sign", "text"), ("street", "shop"), ("night", "neon"), ("screen", "heading"),
                         ("drawing", "name"), ("halftone", "headline")],
)  # fmt: skip
def test_words_are_of_their_split(domain: str, name: str, split: str) -> None:
    for seed in range(60):
        shown = spec(domain, seed, split)  # type: ignore[arg-type]
        for one in (shown, counterfactual(shown, name)):
            assert all(in_split(word, split) for word in getattr(one, name).split())  # type: ignore[arg-type]


def test_another_word_is_as_long() -> None:
    for seed in range(30):
        sign = one_with("sign", "text") if not (s := spec("sign", seed)).text else s  # type: ignore[attr-defined]
        other = counterfactual(sign, "text", seed=1)
        assert abs(len(other.text) - len(sign.text)) <= 1  # type: ignore[attr-defined]


# -- lettering --------------------------------------------------------------------------------------------


LETTERED = [
    ("street", "shop"), ("sign", "text"), ("sign", "small"), ("portrait", "speech"), ("manga", "speech"),
    ("screen", "heading"), ("drawing", "name"), ("halftone", "headline"), ("night", "neon"),
]  # fmt: skip


@pytest.mark.parametrize(("domain", "name"), LETTERED)
def test_the_letters_drawn_are_those_of_the_spec(domain: str, name: str) -> None:
    """Every line of the words stands in its box, and looks like itself more than like seven others of its length."""
    right = total = 0
    for seed in range(24):
        shown = spec(domain, seed)
        words = getattr(shown, name)
        if not words or total >= 6:
            continue
        lines = _lines_of(words, drawn(shown).lettering)
        assert " ".join(found.words for found in lines) == words
        for found in lines:
            x0, y0, x1, y1 = found.box
            assert 0 <= x0 < x1 <= shown.smallest
            assert 0 <= y0 < y1 <= shown.smallest
            total += 1
            right += _read(
                drawn(shown).pixels[y0:y1, x0:x1], found.words, getattr(shown, "typeface", "plain")
            )
    assert total >= 6
    assert right >= total - 1


def _lines_of(words: str, lettering: tuple[Lettering, ...]) -> list[Lettering]:
    """The run of lines that makes up the words, in order."""
    for first in range(len(lettering)):
        for last in range(first + 1, len(lettering) + 1):
            if " ".join(found.words for found in lettering[first:last]) == words:
                return list(lettering[first:last])
    return []


def _read(crop: NDArray[np.uint8], words: str, typeface: str) -> bool:
    """Whether the crop is nearest, by correlation, to its own words among others drawn in the same box."""
    rng = np.random.default_rng(len(words))
    others = ["".join(rng.permutation([*"ABCDEFGHIKLMNOPRSTUVXZ"])[: len(words)]) for _ in range(7)]
    scores = [_likeness(crop.mean(axis=2), text, typeface) for text in (words, *others)]
    return int(np.argmax(scores)) == 0


def _likeness(crop: NDArray[np.float64], words: str, typeface: str) -> float:
    """The largest correlation of the crop with the words, set as large as the crop or a pixel smaller on a side."""
    sheet = Sheet(60 * len(words) + 200, 100, 0, 1)
    typeset(sheet, (sheet.width / 2, 50), words, 60, 255, typeface)
    ink = sheet.image.crop(sheet.image.getbbox())
    (height, width), best = crop.shape, 0.0
    for left, top, right, bottom in product((0, 1), repeat=4):
        line = Image.new("L", (width, height), 0)
        line.paste(
            ink.resize((width - left - right, height - top - bottom), Image.Resampling.BOX), (left, top)
        )
        best = max(best, abs(float(np.corrcoef(crop.ravel(), np.asarray(line).ravel())[0, 1])))
    return best


def test_lines_are_broken_between_words() -> None:
    sheet = Sheet(10, 10, 0)
    lines = broken(sheet, "one two three four", 10, sheet.length("three four", 10))
    assert lines == ["one two", "three four"]
    assert broken(sheet, "unbreakable", 10, 5) == ["unbreakable"]


def test_sign_words_are_plain_letters() -> None:
    found = {sign_word(Rng(seed), "all") for seed in range(300)}
    assert len(found) > 150
    assert all(word.isalpha() and word.islower() and 2 < len(word) < 15 for word in found)

"""Content of an image, determined before drawing: a Spec, its counterfactuals, and its caption.

Every attribute of a Spec is drawn from a separate random generator, and every part of an image draws unnamed properties
(positions, tones, grain) from another. So two Specs that differ in one attribute give two images that differ only in
the effect of that attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self
from zlib import crc32

from srkit.errors import UsageError, nearest, unknown
from srkit.rendered.canvas import Pixels, Rendered, Rng

Split = Literal["all", "train", "held-out"]
_HELD_OUT_EVERY = 5
_METADATA = "attribute"


@dataclass(frozen=True)
class Attribute:
    """A property that a caption can name.

    Attributes:
        phrases: values of the attribute, and the phrases of each in captions (none: the caption omits it).
        weights: relative frequency of each value.
        only: values of other attributes under which this one is visible.
        text: function that draws free words of a split of the vocabulary instead.
        hidden: not visible in LR: at x8 a classifier is at most 15 points above chance on LR and reaches 90 % on
            HR (`tests/bench/rendered_attributes.py`).
    """

    phrases: Mapping[str, tuple[str, ...]]
    weights: tuple[float, ...]
    only: Mapping[str, tuple[str, ...]]
    text: Callable[[Rng, Split], str] | None = None
    hidden: bool = False

    def draw(self, rng: Rng, split: Split) -> str:
        if self.text is not None:
            return self.text(rng, split)
        chances = [weight / sum(self.weights) for weight in self.weights]
        return str(rng.choice(list(self.phrases), p=chances))

    def another(self, value: str, rng: Rng, split: Split) -> str:
        """Value other than `value`; for words, one of similar length."""
        if self.text is None:
            return rng.pick([other for other in self.phrases if other != value])
        drawn = [self.text(rng, split) for _ in range(200)]
        return min((t for t in drawn if t and t != value), key=lambda text: abs(len(text) - len(value)))


def choice(
    values: str | Iterable[str], *, weights: str = "", hidden: bool = False, **only: str | tuple[str, ...]
) -> Any:
    """Field of a Spec that is one of a few values.

    Args:
        values: the values, or a text such as "dots: round dots|dot screen, lines, none:", in which a value may be
            followed by its phrases in captions, or by nothing after the colon if captions omit it.
        weights: relative frequency of each value, such as "3 1 1"; empty: equal frequencies.
        hidden: see `Attribute`.
        only: attributes and the value, or values, under which this one is visible.
    """
    phrases = {}
    for part in values.split(", ") if isinstance(values, str) else values:
        value, colon, said = part.partition(":")
        phrases[value] = tuple(said.strip().split("|") if said else [] if colon else [value])
    shares = tuple(float(weight) for weight in weights.split()) or (1.0,) * len(phrases)
    return field(metadata={_METADATA: Attribute(phrases, shares, _conditions(only), hidden=hidden)})


def words(text: Callable[[Rng, Split], str], **only: str | tuple[str, ...]) -> Any:
    """Field of a Spec with words in the image; empty if it has none."""
    return field(metadata={_METADATA: Attribute({}, (), _conditions(only), text, hidden=True)})


def _conditions(only: Mapping[str, str | tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name: (value,) if isinstance(value, str) else value for name, value in only.items()}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Content of one image. Each domain has a subclass, whose fields are its attributes.

    Attributes:
        seed: seed of the attributes when they were drawn, and of all unnamed properties.
        split: the part of the vocabulary that words are drawn from.
    """

    domain: ClassVar[str]
    smallest: ClassVar[int] = 128  # minimal side in pixels at which all that a caption names is visible
    seed: int
    split: Split = "all"

    def __post_init__(self) -> None:
        for name, attribute in self.attributes().items():
            value = getattr(self, name)
            if attribute.text is None and value not in attribute.phrases:
                raise unknown(f"'{name}' of a {self.domain} image is '{value}'", value, attribute.phrases)

    @classmethod
    def attributes(cls) -> dict[str, Attribute]:
        """Attributes of the domain by name."""
        return {f.name: f.metadata[_METADATA] for f in fields(cls) if _METADATA in f.metadata}

    @classmethod
    def drawn(cls, seed: int, split: Split = "all") -> Self:
        """Spec of a seed, with each attribute from a separate generator."""
        values = {
            name: attribute.draw(Rng(seed, cls.domain, "attribute", name), split)
            for name, attribute in cls.attributes().items()
        }
        return cls(seed=seed, split=split, **values)

    @classmethod
    def values(cls, name: str) -> tuple[str, ...]:
        """Possible values of an attribute."""
        return tuple(cls.attributes()[name].phrases)

    def shown(self) -> tuple[str, ...]:
        """Names of the attributes that this image shows and its caption names."""
        return tuple(name for name, attribute in self.attributes().items() if self._shows(name, attribute))

    def _shows(self, name: str, attribute: Attribute) -> bool:
        value = getattr(self, name)
        if not (value if attribute.text is not None else attribute.phrases[value]):
            return False
        return all(getattr(self, other) in values for other, values in attribute.only.items())

    def rng(self, *part: int | str) -> Rng:
        """Generator of a part of the image, independent of the attributes."""
        return Rng(self.seed, *part)

    def draw(self, width: int, height: int) -> Rendered:
        """Draw the image."""
        raise NotImplementedError

    def ink(self, width: int, height: int) -> Pixels | None:
        """Coverage (height, width, 1) of the image by the ink of its words, 0 to 255; None if unknown."""
        return None

    def describe(self, say: Wording) -> Caption:
        """Caption, in the phrases that `say` picks."""
        raise NotImplementedError


def counterfactual(spec: Spec, attribute: str, seed: int = 0) -> Spec:
    """Spec with one attribute changed: to another random value, or to words of similar length.

    Raises:
        UsageError: the image does not show this attribute.
    """
    known = [
        name for name, a in spec.attributes().items() if all(getattr(spec, o) in v for o, v in a.only.items())
    ]
    if attribute not in known:
        raise UsageError(
            f"A counterfactual in '{attribute}' was asked for; this {spec.domain} image has {', '.join(known)}."
            f"{nearest(attribute, known)}"
        )
    rng = Rng(spec.seed, spec.domain, "counterfactual", attribute, seed)
    other = spec.attributes()[attribute].another(getattr(spec, attribute), rng, spec.split)
    changes: dict[str, Any] = {attribute: other}
    return replace(spec, **changes)


def in_split(word: str, split: Split) -> bool:
    """True if a word belongs to a split of the vocabulary: one word in five is held out, by a hash of its letters."""
    return split == "all" or (crc32(word.lower().encode()) % _HELD_OUT_EVERY == 0) == (split == "held-out")


@dataclass(frozen=True)
class Caption:
    """Description of an image: a short sentence, its fine detail, and keywords."""

    short: str
    detail: str
    keywords: tuple[str, ...]


class Wording:
    """Choice of a caption's phrases, from separate generators, so that one changed value changes one phrase."""

    def __init__(self, spec: Spec, seed: int) -> None:
        self._spec, self._rng = spec, Rng(spec.seed, spec.domain, "wording", seed)

    def __call__(self, name: str) -> str:
        """Phrase of an attribute."""
        value = getattr(self._spec, name)
        return self._rng.child(name).pick(self._spec.attributes()[name].phrases[value])

    def pick(self, *phrases: str) -> str:
        """One of several synonymous phrases."""
        return self._rng.child(*phrases).pick(phrases)

    def reads(self, name: str) -> str:
        """Phrase that states the words of an attribute, which is not empty."""
        text, rng = getattr(self._spec, name), self._rng.child(name)
        return f"{rng.pick(('that reads', 'reading', 'with the words', 'saying'))} " + (
            f'"{text}"' if rng.chance(0.6) else text
        )

    def caption(self, short: str, detail: Sequence[str], keywords: Sequence[str]) -> Caption:
        """Caption of the non-empty parts, with the details in random order."""
        parts = [part for part in detail if part]
        order = self._rng.child("order").permutation(len(parts))
        unique = tuple(dict.fromkeys(word for word in keywords if word))
        return Caption(" ".join(short.split()), ", ".join(parts[int(k)] for k in order), unique)


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

"""Examples of a domain for few-shot adaptation: reading, checking, and splitting into support and validation set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from srkit.archs.clipsr import takes_text
from srkit.archs.info import ArchInfo
from srkit.conditioning.makers import NO_EXTRAS, Extras
from srkit.data.alignment import match
from srkit.data.benchmarks import MADE, Benchmark, BenchmarkItem, by_name, cropped_size, listed, rgb8
from srkit.data.captions import caption_beside
from srkit.data.copies import Copies
from srkit.data.finished import refuse_sizes
from srkit.data.pairs import crop_to_multiple, make_lr
from srkit.errors import ImageError, SrkitError, UsageError
from srkit.io.names import shown
from srkit.io.read import read_image
from srkit.io.remote import Remote
from srkit.ops.layout import RGB
from srkit.progress import Progress

MARGIN = 4
"""Gap in LR pixels between the training area and the validation strip: an LR pixel depends on HR pixels up to two LR
pixels away, so that with a gap of four no HR pixel affects both."""
MAX_VALIDATION = 20
"""Default maximum number of validation images: more would take longer than the adaptation."""
_SHIFT_PX, _SHIFT_LR = 0.75, 0.15
"""Shifts in HR and LR pixels from which, if both are reached, a pair counts as shifted; the estimate's accuracy."""
_SURE = 0.7
"""Correlation from which an estimated shift is trusted."""
_UNLIKE = 0.3
"""Correlation below which a pair counts as different content."""


@dataclass(frozen=True, eq=False)
class Example:
    """Pair of HR (scale h, scale w, 3) and LR (h, w, 3)."""

    name: str
    hr: RGB
    lr: RGB
    made: bool = True
    """True if LR was made from HR by srkit, so that it may be made again."""
    source: Path | Remote | None = None
    """File of HR."""


def extras_of(example: Example, info: ArchInfo) -> Extras:
    """Extras of an example for a network: the caption beside its file, if the network takes text.

    Raises:
        UsageError: as in `srkit.data.captions.caption_beside`.
    """
    if not isinstance(example.source, Path) or not takes_text(info):
        return NO_EXTRAS
    return Extras(prompt=caption_beside(example.source))


@dataclass(frozen=True)
class Domain:
    """Folder of examples."""

    name: str
    items: tuple[BenchmarkItem, ...]
    """Examples in the order of their names."""
    lr_source: str
    """Source of the LR images: `LR`, `LR/X4`, or `made: bicubic uint8`."""


@dataclass(frozen=True)
class Needs:
    """Requirements on the examples.

    Attributes:
        scale: factor between LR and HR.
        support: shortest side of an image of the support set, in LR pixels.
        validation: shortest side of a validation image, in LR pixels.
        max_pixels: maximum size of a decoded image.
    """

    scale: int
    support: int
    validation: int
    max_pixels: int = 10**9


E = TypeVar("E", covariant=True)


@dataclass(frozen=True)
class Split(Generic[E]):
    """Support set and validation set; no pixel is in both."""

    support: tuple[E, ...]
    validation: tuple[E, ...]
    strips: bool
    """True if the validation images are strips of the support images."""
    failed: tuple[tuple[str, str], ...] = ()
    """Unreadable files, with the error of each."""
    left_out: tuple[str, ...] = field(default=())
    """Sentences on images that were not used, or not as intended."""


def find_examples(domain: Path, scale: int, progress: Progress | None = None) -> Domain:
    """Find the examples of a folder: its images, or those of `HR/` with partners in `LR/`, `LR/X4` or `LR_bicubic/X4`.

    Args:
        progress: warned of images that are unreadable by their extension.

    Raises:
        UsageError: no such folder, LR images without HR, or missing partners.
        SrkitError: no images.
    """
    if not domain.is_dir():
        raise UsageError(f"The folder of examples {shown(domain)} is not there; check the path.")
    name = domain.resolve().name or str(domain)
    if not (domain / "HR").is_dir():
        if (domain / "LR").is_dir():
            raise UsageError(
                f"{shown(domain)} holds LR/ but no HR/; high-resolution examples are needed, in HR/ or in the folder "
                "itself."
            )
        items = tuple(BenchmarkItem(stem, path, None) for stem, path in by_name(domain, progress).items())
        return Domain(name, items, MADE)
    benchmark = Benchmark(name, domain / "HR")
    source = benchmark.lr_source(scale)
    if source == MADE and (domain / "LR").is_dir():
        references, given = (by_name(domain / part, progress) for part in ("HR", "LR"))
        return Domain(name, _paired(references, given, scale, domain / "LR"), "LR")
    return Domain(name, tuple(benchmark.pairs(scale, progress)), source)


def _paired(
    references: dict[str, Path], given: dict[str, Path], scale: int, folder: Path
) -> tuple[BenchmarkItem, ...]:
    partners = {name: given.get(f"{name}x{scale}", given.get(name)) for name in references}
    if missing := [name for name, path in partners.items() if path is None]:
        raise UsageError(
            f"The folder {shown(folder)} lacks the LR images of {listed(missing)}; add them, or take the folder "
            "away and have them made."
        )
    return tuple(BenchmarkItem(name, path, partners[name]) for name, path in references.items())


def split_examples(domain: Domain, shots: int, holdout: float | None, needs: Needs) -> Split[Example]:
    """Split a domain: the first `shots` usable images are the support set; others, or strips of each, validate.

    Of images with the same content (HR, or given LR) only the first is used.

    Args:
        holdout: validation share of all images, or of each image's area if strips validate. None: all other images,
            evenly thinned to `MAX_VALIDATION`; or a quarter of each image, half of a single one. If none of several
            images can be cut, the last one validates as a whole.

    Raises:
        UsageError: pairs whose sizes do not match, or whose images are shifted against each other.
        SrkitError: no image is usable, or none is large enough to cut off a strip.
    """
    reader = _Reader(domain, needs)
    support = reader.take(domain.items, shots, needs.support)
    rest = [item for item in domain.items if item.name not in reader.seen]
    validation = (
        reader.take(_validation_items(rest, holdout, len(domain.items)), len(rest), needs.validation)
        if rest
        else []
    )
    reader.refuse()
    if not support:
        raise SrkitError(
            f"None of the {len(domain.items)} examples in '{domain.name}' can be used{reader.words}; images with "
            f"both sides of {needs.support * needs.scale} pixels or more, not all of one colour, are needed."
        )
    if validation:
        return Split(tuple(support), tuple(validation), False, tuple(reader.failed), reader.left_out)
    share = holdout or (0.5 if len(support) == 1 else 0.25)
    parts = [_cut(example, share, needs) for example in support]
    strips = tuple(strip for _, strip in parts if strip is not None)
    if not strips and len(support) > 1:
        last = support.pop()
        reader.note(
            f"No example is large enough to be cut, so '{last.name}' validates, and is not trained on."
        )
        return Split(tuple(support), (last,), False, tuple(reader.failed), reader.left_out)
    if not strips:
        side = (needs.support + MARGIN + needs.validation) * needs.scale
        raise SrkitError(
            f"The only usable example, '{support[0].name}', is too small to hold a part out for validation; give "
            f"one of {side} pixels or more along one side, or more of them."
        )
    return Split(tuple(rest for rest, _ in parts), strips, True, tuple(reader.failed), reader.left_out)


def _validation_items(
    items: Sequence[BenchmarkItem], holdout: float | None, total: int
) -> list[BenchmarkItem]:
    count = MAX_VALIDATION if holdout is None else max(1, round(holdout * total))
    if count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def _cut(example: Example, share: float, needs: Needs) -> tuple[Example, Example | None]:
    """Training part, and a validation strip from the end of the longer side; None if there is no room for it."""
    axis = int(example.lr.shape[1] > example.lr.shape[0])
    length = example.lr.shape[axis]
    strip = max(needs.validation, round(length * share))
    kept = length - strip - MARGIN
    if kept < needs.support or example.lr.shape[1 - axis] < needs.validation:
        return example, None

    def part(start: int, end: int) -> Example:
        low, high = ([slice(None)] * 2 for _ in range(2))
        low[axis], high[axis] = slice(start, end), slice(start * needs.scale, end * needs.scale)
        return Example(
            example.name, example.hr[tuple(high)], example.lr[tuple(low)], example.made, example.source
        )

    return part(0, kept), part(length - strip, length)


class _Reader:
    """Reader of examples that records unusable ones."""

    def __init__(self, domain: Domain, needs: Needs) -> None:
        self.domain, self.needs = domain, needs
        self.seen: set[str] = set()
        self.failed: list[tuple[str, str]] = []
        self._notes: list[str] = []
        self._copies = Copies()
        self._sizes: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
        self._shifted: list[str] = []

    def note(self, sentence: str) -> None:
        """Append a sentence to `left_out`."""
        self._notes.append(sentence)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Sentences on images that are not used, or not as intended."""
        return (*self._copies.sentences, *self._notes)

    @property
    def words(self) -> str:
        """Reasons in the form ` (why; why)`, or empty."""
        reasons = [
            *(error.rstrip(".") for _, error in self.failed),
            *(text.rstrip(".") for text in self.left_out),
        ]
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        return f" ({'; '.join(reasons[:3])}{more})" if reasons else ""

    def take(self, items: Sequence[BenchmarkItem], count: int, min_side: int) -> list[Example]:
        """First `count` usable examples among the items."""
        found: list[Example] = []
        for example in self._usable(items, min_side):
            found.append(example)
            if len(found) == count:
                break
        return found

    def refuse(self) -> None:
        """Raise an error that lists all mismatched pairs."""
        refuse_sizes(
            self._sizes,
            f"LR images of '{self.domain.name}' x{self.needs.scale}",
            "replace them or have them made",
        )
        if self._shifted:
            more = f", and {len(self._shifted) - 8} more" if len(self._shifted) > 8 else ""
            raise UsageError(
                f"HR and LR of '{self.domain.name}' are shifted against each other, and a model would learn to shift: "
                f"{', '.join(self._shifted[:8])}{more}; align them or have the LR images made."
            )

    def _usable(self, items: Sequence[BenchmarkItem], min_side: int) -> Iterator[Example]:
        for item in items:
            self.seen.add(item.name)
            try:
                example = self._read(item)
            except SrkitError as error:
                self.failed.append((item.name, str(error)))
                continue
            if example is not None and self._fits(example, min_side) and self._is_new(example):
                yield example

    def _is_new(self, example: Example) -> bool:
        """Record an example; return False for a duplicate of the HR or given LR image of another."""
        views = (example.hr,) if example.made else (example.hr, example.lr)
        return self._copies.add(example.name, *views)

    def _read(self, item: BenchmarkItem) -> Example | None:
        """Read a pair; None if it does not match, which `refuse` reports."""
        scale = self.needs.scale
        hr = rgb8(read_image(item.hr, max_pixels=self.needs.max_pixels))
        height, width = cropped_size(hr.shape[0], hr.shape[1], scale)
        hr = crop_to_multiple(hr, scale)
        if item.lr is None:
            return Example(item.name, hr, make_lr(hr, scale), source=item.hr)
        lr = rgb8(read_image(item.lr, max_pixels=self.needs.max_pixels))
        expected = (height // scale, width // scale)
        if lr.shape[:2] != expected:
            self._sizes[item.name] = ((lr.shape[0], lr.shape[1]), expected)
            return None
        return Example(item.name, hr, lr, False, item.hr) if self._in_place(item.name, hr, lr) else None

    def _in_place(self, name: str, hr: RGB, lr: RGB) -> bool:
        found = match(lr, make_lr(hr, self.needs.scale))
        if found is None:
            return True
        if found.correlation < _UNLIKE:
            raise ImageError(
                f"The LR image of '{name}' does not show what its HR image shows (correlation "
                f"{found.correlation:.2f}); replace one of them."
            )
        shift = max(abs(found.down), abs(found.right))
        if found.correlation < _SURE or shift < _SHIFT_LR or shift * self.needs.scale < _SHIFT_PX:
            return True
        down, right = found.down * self.needs.scale, found.right * self.needs.scale
        self._shifted.append(
            f"in '{name}' LR lies {abs(right):.1f} pixels to the {'right' if right >= 0 else 'left'} of HR and "
            f"{abs(down):.1f} {'below' if down >= 0 else 'above'} it (HR pixels)"
        )
        return False

    def _fits(self, example: Example, min_side: int) -> bool:
        side = min(example.lr.shape[:2])
        if side < min_side:
            size = f"{example.hr.shape[1]} x {example.hr.shape[0]}"
            needed = min_side * self.needs.scale
            self.note(
                f"'{example.name}' is left out: it has {size} pixels, and both sides must have {needed} or more."
            )
            return False
        if bool((example.hr == example.hr[0, 0]).all()):
            self.note(
                f"'{example.name}' is left out: it is all of one colour, from which there is nothing to learn."
            )
            return False
        return True


def min_validation_side(scale: int, border: int, window: int) -> int:
    """Shortest side, in LR pixels, of an image for validation with a border of `border` HR pixels left out."""
    return math.ceil((2 * border + window) / scale)


def middles(
    height: int, width: int, parts: int, largest: int, multiple: int
) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the centres of `parts` equal segments along the longer side of LR (height, width).

    Args:
        largest: longest side of a centre.
        multiple: sides are multiples of this, and at least this long.
    """
    tall = height >= width
    for part in range(parts):
        rows = _middle(height, parts if tall else 1, part if tall else 0, largest, multiple)
        yield rows, _middle(width, 1 if tall else parts, 0 if tall else part, largest, multiple)


def _middle(side: int, parts: int, part: int, largest: int, multiple: int) -> slice:
    first, last = part * side // parts, (part + 1) * side // parts
    length = max(multiple, min(last - first, largest) // multiple * multiple)
    start = first + (last - first - length) // 2
    return slice(start, start + length)

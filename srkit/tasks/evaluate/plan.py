"""Plan of an evaluation, checked before any image is decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePath

from srkit.data.benchmarks import NONE, Benchmark, by_name, cropped_size
from srkit.data.finished import CROP_LIMIT, common_size, match_finished, refuse_sizes
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.io.names import shown
from srkit.io.read import Encoded, probe
from srkit.io.remote import Remote
from srkit.metrics.protocols import Protocol
from srkit.progress import Progress
from srkit.recipes.shard import Shard

Size = tuple[int, int]
"""Type of a size (height, width)."""
Probe = Callable[[Path | Remote | Encoded], Size]


@dataclass(frozen=True)
class Entry:
    """An image to evaluate."""

    name: str
    hr: Path | Remote | None = None
    lr: Path | Remote | None = None
    """Given LR image; None: made from the reference, or not needed."""
    sr: Path | Remote | None = None
    """Finished SR image; None: made by a model."""
    size: Size = (0, 0)
    """Size at which SR and reference are compared; of images at URLs not known before they are `fetched`."""
    error: str | None = None
    """Reason why it cannot be evaluated, known from a header; None: none."""
    prompt: str = ""
    """Caption for a network that is conditioned on text."""
    data: Mapping[Path | Remote, Encoded] = field(default_factory=dict, compare=False, repr=False)
    """Bytes of the images at URLs, once they are `fetched`."""

    def source(self, place: Path | Remote) -> Path | Remote | Encoded:
        """What an image is read from."""
        return self.data.get(place, place)

    @property
    def awaited(self) -> list[Remote]:
        """Images that are to be fetched."""
        places = (self.hr, self.lr, self.sr)
        return [place for place in places if isinstance(place, Remote) and place not in self.data]


@dataclass(frozen=True)
class SetPlan:
    """A set at one scale; the model, if any, is chosen separately."""

    dataset: str
    scale: int | None
    lr_source: str
    entries: tuple[Entry, ...]
    names: tuple[str, ...] = ()
    """Names of all images of the set, if the entries are a shard's; empty: the entries are all."""
    allow_crop: bool = False
    """Compare finished images whose sizes differ by a few pixels."""

    def shard(self, shard: Shard) -> SetPlan:
        """The part of the set that belongs to a shard."""
        mine = tuple(entry for entry in self.entries if shard.holds(PurePath(f"{entry.name}.png")))
        return replace(self, entries=mine, names=tuple(entry.name for entry in self.entries))

    @property
    def has_lr(self) -> bool:
        return self.lr_source != NONE


def plan_dataset(
    benchmark: Benchmark,
    scale: int,
    protocol: Protocol,
    max_pixels: int,
    progress: Progress | None = None,
) -> SetPlan:
    """Plan a set whose SR images are made by a model; `progress` is warned of images with unreadable formats.

    Raises:
        UsageError: LR images are missing or of a wrong size; all of them are listed.
        ResourceError: the protocol needs given LR images, and there are none.
        SrkitError: there are no images.
    """
    source = benchmark.lr_source(scale, makes_lr=protocol.makes_lr)
    if source == NONE:
        places = " or ".join(
            shown(benchmark.folder.parent / above / f"X{scale}") for above in ("LR_bicubic", "LR")
        )
        raise ResourceError(
            f"Protocol '{protocol.name}' takes LR images as they are given, and '{benchmark.name}' has none for "
            f"scale {scale}; put them into {places}, or use protocol 'rgb', which makes them."
        )
    entries = (Entry(item.name, item.hr, item.lr) for item in benchmark.pairs(scale, progress))
    return _sized(SetPlan(benchmark.name, scale, source, tuple(entries)), max_pixels)


def plan_finished(
    sr: Path | Remote,
    benchmark: Benchmark,
    scale: int,
    protocol: Protocol,
    max_pixels: int,
    *,
    pattern: str,
    allow_crop: bool,
    progress: Progress | None = None,
) -> SetPlan:
    """Plan a folder of finished images and one of references.

    Raises:
        UsageError: images do not match by name or size; all of them are listed.
        SrkitError: there are no images.
    """
    items = benchmark.pairs(scale, progress)
    partners = match_finished(sr, items, scale, pattern, progress)
    entries = tuple(Entry(item.name, item.hr, item.lr, partners[item.name]) for item in items)
    source = benchmark.lr_source(scale, makes_lr=protocol.makes_lr)
    return _sized(SetPlan(benchmark.name, scale, source, entries, allow_crop=allow_crop), max_pixels)


def plan_alone(sr: Path | Remote, max_pixels: int, progress: Progress | None = None) -> SetPlan:
    """Plan a folder of images without references.

    Raises:
        UsageError: the folder does not exist, or two images share a name.
        SrkitError: there are no images.
    """
    if not sr.is_dir():
        raise UsageError(f"The folder {shown(sr)} is not there; check `sr`.")
    entries = tuple(Entry(name, sr=path) for name, path in by_name(sr, progress).items())
    return _sized(SetPlan(sr.resolve().name, None, NONE, entries), max_pixels)


def fetched(entry: Entry, plan: SetPlan, max_pixels: int) -> Entry:
    """The entry with bytes and sizes of its images at URLs; what is wrong with them is its `error`."""
    if not entry.awaited or entry.error is not None:
        return entry
    try:
        entry = replace(entry, data={place: place.read() for place in entry.awaited})
        return _sized(replace(plan, entries=(entry,)), max_pixels).entries[0]
    except SrkitError as error:
        return replace(entry, error=str(error))


def _sized(plan: SetPlan, max_pixels: int) -> SetPlan:
    """The plan with the sizes of its images, from their headers, but of those that are still to be fetched.

    Raises:
        UsageError: images have wrong sizes; all of them are listed.
    """
    size = _prober(max_pixels)
    wrong: dict[str, tuple[Size, Size]] = {}
    wrong_lr: dict[str, tuple[Size, Size]] = {}
    entries = tuple(
        entry if entry.awaited else _with_size(entry, plan, size, wrong, wrong_lr) for entry in plan.entries
    )
    advice = f"`allow_crop` accepts up to {CROP_LIMIT} pixels of difference"
    refuse_sizes(wrong, "SR images", f"even with `allow_crop`, {advice[13:]}" if plan.allow_crop else advice)
    refuse_sizes(wrong_lr, f"LR images of {plan.dataset} x{plan.scale}", "replace them or have them made")
    return replace(plan, entries=entries)


def _with_size(
    entry: Entry,
    plan: SetPlan,
    size: Probe,
    wrong: dict[str, tuple[Size, Size]],
    wrong_lr: dict[str, tuple[Size, Size]],
) -> Entry:
    """The entry with its size; SR and LR images that do not fit the reference are added to `wrong` and `wrong_lr`."""
    hr, lr, sr = (None if place is None else entry.source(place) for place in (entry.hr, entry.lr, entry.sr))
    common: Size | None = None
    try:
        if hr is None or plan.scale is None:
            return entry if sr is None else replace(entry, size=size(sr))
        height, width = cropped_size(*size(hr), plan.scale)
        if lr is not None:
            found, expected = size(lr), (height // plan.scale, width // plan.scale)
            if found != expected:
                wrong_lr[entry.name] = (found, expected)
        if sr is not None:
            common = common_size(size(sr), size(hr), plan.scale, allow_crop=plan.allow_crop)
            if common is None:
                wrong[entry.name] = (size(sr), (height, width))
    except SrkitError as error:
        return replace(entry, error=str(error))
    return replace(entry, size=common or (height, width))


def _prober(max_pixels: int) -> Probe:
    """Function that reads sizes from headers, once per image."""

    @cache
    def size(source: Path | Remote | Encoded) -> Size:
        info = probe(source, max_pixels=max_pixels)
        return info.height, info.width

    return size

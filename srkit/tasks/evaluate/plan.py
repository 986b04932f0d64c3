"""Plan of an evaluation, checked before any image is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from srkit.data.benchmarks import NONE, Benchmark, BenchmarkItem, by_name, cropped_size
from srkit.data.finished import CROP_LIMIT, common_size, match_finished, refuse_sizes
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.io.names import shown
from srkit.io.read import probe
from srkit.io.remote import Remote
from srkit.metrics.protocols import Protocol
from srkit.progress import Progress
from srkit.recipes.shard import Shard

Size = tuple[int, int]
"""Type of a size (height, width)."""
Probe = Callable[[Path | Remote], Size]


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
    """Size at which SR and reference are compared."""
    error: str | None = None
    """Reason why it cannot be evaluated, known from a header; None: none."""
    prompt: str = ""
    """Caption for a network that is conditioned on text."""


@dataclass(frozen=True)
class SetPlan:
    """A set at one scale; the model, if any, is chosen separately."""

    dataset: str
    scale: int | None
    lr_source: str
    entries: tuple[Entry, ...]
    names: tuple[str, ...] = ()
    """Names of all images of the set, if the entries are a shard's; empty: the entries are all."""

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
    size = _prober(max_pixels)
    wrong: dict[str, tuple[Size, Size]] = {}
    entries = [_with_reference(item, scale, size, wrong) for item in benchmark.pairs(scale, progress)]
    refuse_sizes(wrong, f"LR images of {benchmark.name} x{scale}", "replace them or have them made")
    return SetPlan(benchmark.name, scale, source, tuple(entries))


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
    size = _prober(max_pixels)
    wrong: dict[str, tuple[Size, Size]] = {}
    wrong_lr: dict[str, tuple[Size, Size]] = {}
    entries = []
    for item in items:
        entry = replace(_with_reference(item, scale, size, wrong_lr), sr=partners[item.name])
        if entry.error is None:
            entry = _with_finished(entry, scale, size, wrong, allow_crop)
        entries.append(entry)
    advice = f"`allow_crop` accepts up to {CROP_LIMIT} pixels of difference"
    refuse_sizes(wrong, "SR images", advice if not allow_crop else f"even with `allow_crop`, {advice[13:]}")
    refuse_sizes(wrong_lr, f"LR images of {benchmark.name} x{scale}", "replace them or have them made")
    return SetPlan(
        benchmark.name, scale, benchmark.lr_source(scale, makes_lr=protocol.makes_lr), tuple(entries)
    )


def plan_alone(sr: Path | Remote, max_pixels: int, progress: Progress | None = None) -> SetPlan:
    """Plan a folder of images without references.

    Raises:
        UsageError: the folder does not exist, or two images share a name.
        SrkitError: there are no images.
    """
    if not sr.is_dir():
        raise UsageError(f"The folder {shown(sr)} is not there; check `sr`.")
    size = _prober(max_pixels)
    entries = []
    for name, path in by_name(sr, progress).items():
        try:
            entries.append(Entry(name, sr=path, size=size(path)))
        except SrkitError as error:
            entries.append(Entry(name, sr=path, error=str(error)))
    return SetPlan(sr.resolve().name, None, NONE, tuple(entries))


def _with_reference(
    item: BenchmarkItem, scale: int, size: Probe, wrong: dict[str, tuple[Size, Size]]
) -> Entry:
    """Entry at its reference's size; an LR image of a wrong size is added to `wrong`."""
    try:
        height, width = cropped_size(*size(item.hr), scale)
        if item.lr is not None:
            found, expected = size(item.lr), (height // scale, width // scale)
            if found != expected:
                wrong[item.name] = (found, expected)
    except SrkitError as error:
        return Entry(item.name, item.hr, item.lr, error=str(error))
    return Entry(item.name, item.hr, item.lr, size=(height, width))


def _with_finished(
    entry: Entry, scale: int, size: Probe, wrong: dict[str, tuple[Size, Size]], allow_crop: bool
) -> Entry:
    if entry.sr is None or entry.hr is None:
        return entry
    try:
        sr, hr = size(entry.sr), size(entry.hr)
        common = common_size(sr, hr, scale, allow_crop=allow_crop)
    except SrkitError as error:
        return replace(entry, error=str(error))
    if common is None:
        wrong[entry.name] = (sr, entry.size)
        return entry
    return replace(entry, size=common)


def _prober(max_pixels: int) -> Probe:
    """Function that reads sizes from headers, once per file."""
    known: dict[Path | Remote, Size] = {}

    def size(path: Path | Remote) -> Size:
        if path not in known:
            info = probe(path, max_pixels=max_pixels)
            known[path] = (info.height, info.width)
        return known[path]

    return size

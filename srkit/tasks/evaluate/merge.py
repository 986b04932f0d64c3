"""Merging of shards: from the JSON Lines of `srkit eval --shard` to the results of the whole sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srkit.errors import UsageError
from srkit.io.names import printable, shown
from srkit.metrics.encoding import image_from, read_field
from srkit.metrics.reports.jsonl import PLACE, RESULT
from srkit.metrics.results import FailedImage, ImageResult, SetResult
from srkit.progress import Progress, Silent

_Key = tuple[Any, ...]
_ABOUT = {*RESULT, PLACE, "status", "error"}


def merge(paths: Sequence[Path], progress: Progress | None = None) -> tuple[SetResult, ...]:
    """Merge results over parts of the same sets; equal to those of one run over all images, to the last digit.

    Args:
        paths: JSON Lines from `srkit.metrics.reports.jsonl`; an empty file is a shard without images.
        progress: receives a warning if versions differ.

    Raises:
        UsageError: a file cannot be read, or is of another program or version, an image occurs twice, or images of a
            set are missing.
    """
    merger = Merger()
    for path in paths:
        for number, record in enumerate(_records(path), start=1):
            try:
                merger.take(record)
            except ValueError as error:
                raise UsageError(
                    f"Line {number} of {shown(path)} is no record of `srkit eval --jsonl` ({error}); make it anew with "
                    "this version of srkit."
                ) from error
    results = merger.results(progress or Silent())
    if not results:
        raise UsageError(
            f"There are no records in {', '.join(map(shown, paths))}; give the JSON Lines of all shards."
        )
    return tuple(results.values())


class Merger:
    """Accumulator of the records of images, in any order."""

    def __init__(self) -> None:
        self._groups: dict[_Key, _Group] = {}

    def take(self, record: Any) -> None:
        """Add a record. Raises ValueError, with the reason as its message, if it is invalid or a duplicate."""
        _take(self._groups, record)

    def results(self, progress: Progress) -> dict[int, SetResult]:
        """Results by their numbers, in order.

        Args:
            progress: receives a warning if versions differ.

        Raises:
            UsageError: images are missing.
        """
        ordered = sorted(self._groups.values(), key=lambda group: group.part)
        for group in ordered:
            group.warn(progress)
        return {group.part: group.result() for group in ordered}


@dataclass
class _Group:
    """A result that is being collected."""

    key: _Key
    part: int
    count: int
    images: dict[int, ImageResult] = field(default_factory=dict)
    failed: dict[int, FailedImage] = field(default_factory=dict)
    versions: list[dict[str, str]] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        dataset, scale = self.key[:2]
        return f"{printable(dataset)}" + ("" if scale is None else f" x{scale}")

    def warn(self, progress: Progress) -> None:
        """Warn if shards were measured by different versions."""
        for name in dict.fromkeys(name for versions in self.versions for name in versions):
            found = {versions.get(name, "none") for versions in self.versions}
            if len(found) > 1:
                progress.warn(
                    f"{self.title}: shards were measured with different {name}: {', '.join(sorted(found))}"
                )

    def result(self) -> SetResult:
        """The complete result.

        Raises:
            UsageError: images are missing.
        """
        missing = self.count - len(self.images) - len(self.failed)
        if missing:
            raise UsageError(
                f"{missing} of {self.count} images of {self.title} are in none of the files; give the JSON Lines of "
                "all shards."
            )
        dataset, scale, model, sha256, protocol, lr_source = self.key
        return SetResult(
            dataset,
            scale,
            model,
            sha256,
            protocol,
            lr_source,
            images=tuple(self.images[n] for n in sorted(self.images)),
            failed=tuple(self.failed[n] for n in sorted(self.failed)),
            versions={name: version for versions in self.versions for name, version in versions.items()},
            prompts=self.prompts,
        )


def _take(groups: dict[_Key, _Group], record: Any) -> None:
    kinds = {"scale": (int, type(None)), "model_sha256": (str, type(None))}
    key = tuple(read_field(record, name, *kinds.get(name, (str,))) for name in RESULT)
    place = read_field(record, PLACE, dict)
    part, index, count = (read_field(place, name, int) for name in ("part", "index", "count"))
    group = groups.setdefault(key, _Group(key, part, count))
    versions = {str(k): str(v) for k, v in read_field(place, "versions", dict).items()}
    if versions not in group.versions:
        group.versions.append(versions)
    name = read_field(record, "name", str)
    if group.count != count or not 0 <= index < count:
        raise ValueError(f"'{printable(name)}' is number {index} of {count}, and others are of {group.count}")
    if index in group.images or index in group.failed:
        raise ValueError(f"'{printable(name)}' of {group.title} is there twice")
    if "prompt" in place:
        group.prompts[name] = read_field(place, "prompt", str)
    if read_field(record, "status", str) == "done":
        group.images[index] = image_from({k: v for k, v in record.items() if k not in _ABOUT})
    else:
        group.failed[index] = FailedImage(name, read_field(record, "error", str))


def _records(path: Path) -> Iterable[Any]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(
            f"The file {shown(path)} cannot be read ({reason}); give JSON Lines of eval."
        ) from error
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"Line {number} of {shown(path)} is no JSON; the run that wrote it was cut off: repeat it."
            ) from error

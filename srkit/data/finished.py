"""Finished SR images and their references, matched by name and by size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from srkit.data.benchmarks import BenchmarkItem, by_name, cropped_size, listed
from srkit.errors import UsageError
from srkit.io.names import shown
from srkit.io.remote import Remote
from srkit.progress import Progress

DEFAULT_PATTERN = "{name}"
CROP_LIMIT = 16
"""Pixels by which `--allow-crop` lets a side differ: more is another image, or another scale."""


def match_finished(
    folder: Path | Remote,
    references: Iterable[BenchmarkItem],
    scale: int,
    pattern: str = DEFAULT_PATTERN,
    progress: Progress | None = None,
) -> dict[str, Path | Remote]:
    """The SR image of every reference, by the reference's name.

    Args:
        folder: of SR images.
        references: what they are held against.
        scale: fills `{scale}` in the pattern.
        pattern: an SR image's name without extension: `{name}` stands for its reference's.
        progress: warned of images that cannot be read by their extension.

    Raises:
        UsageError: no such folder, a pattern that cannot be filled, or images without partner on either side; all
            of them are listed.
        SrkitError: a folder without images.
    """
    if not folder.is_dir():
        raise UsageError(f"The folder {shown(folder)} is not there; check `sr`.")
    found = by_name(folder, progress)
    wanted = {item.name: _filled(pattern, item.name, scale) for item in references}
    missing = [name for name, sr in wanted.items() if sr not in found]
    extra = sorted(set(found) - set(wanted.values()))
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"no SR image for {listed(missing)}")
        if extra:
            parts.append(f"no reference for {listed(extra)}")
        raise UsageError(
            f"The images in {shown(folder)} do not pair with the references: {'; '.join(parts)}; remove or add "
            "images, or give `pattern`, as '{name}_x4'."
        )
    return {name: found[sr] for name, sr in wanted.items()}


def common_size(
    sr: tuple[int, int], hr: tuple[int, int], scale: int, *, allow_crop: bool
) -> tuple[int, int] | None:
    """(height, width) that the two are compared at, both from their top left; None where they do not match.

    An SR image matches that has the reference's size, or the reference's cropped to a multiple of the scale; with
    `allow_crop`, also one that is up to 16 pixels larger or smaller.

    Raises:
        SrkitError: nothing would be left.
    """
    if sr in (hr, cropped_size(*hr, scale)):
        return cropped_size(*hr, scale)
    if allow_crop and all(abs(a - b) <= CROP_LIMIT for a, b in zip(sr, hr, strict=True)):
        return cropped_size(min(sr[0], hr[0]), min(sr[1], hr[1]), scale)
    return None


def refuse_sizes(
    wrong: Mapping[str, tuple[tuple[int, int], tuple[int, int]]], what: str, advice: str
) -> None:
    """List images of a wrong size.

    Args:
        wrong: found and expected (height, width) by name.
        what: `SR images`.
        advice: what to do next.

    Raises:
        UsageError: there are any.
    """
    if wrong:
        sizes = [
            f"'{name}' has {found[1]} x {found[0]} where {expected[1]} x {expected[0]} was expected"
            for name, (found, expected) in list(wrong.items())[:8]
        ]
        more = f", and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise UsageError(
            f"{len(wrong)} {what} do not fit their references: {', '.join(sizes)}{more}; {advice}."
        )


def _filled(pattern: str, name: str, scale: int) -> str:
    if "{name}" not in pattern:
        raise UsageError(f"`pattern` is '{pattern}'; it must hold {{name}}, as '{{name}}_x4'.")
    filled = pattern.replace("{scale}", str(scale))
    if any(brace in filled.replace("{name}", "") for brace in "{}"):
        raise UsageError(f"`pattern` is '{pattern}'; only {{name}} and {{scale}} are filled in.")
    return filled.replace("{name}", name)

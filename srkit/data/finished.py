"""Matching of finished SR images with their references, by name and size."""

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
"""Maximum difference of a side in pixels with `--allow-crop`; more means another image or scale."""


def match_finished(
    folder: Path | Remote,
    references: Iterable[BenchmarkItem],
    scale: int,
    pattern: str = DEFAULT_PATTERN,
    progress: Progress | None = None,
) -> dict[str, Path | Remote]:
    """Find the SR image of every reference, by the reference's name.

    Args:
        folder: folder of SR images.
        references: reference images.
        scale: value of `{scale}` in the pattern.
        pattern: name of an SR image without extension; `{name}` is the reference's name.
        progress: warned of images that are unreadable by their extension.

    Raises:
        UsageError: no such folder, an invalid pattern, or images without a partner on either side; the message lists
            them.
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
    """Size (height, width) at which the two are compared, both from their top left; None if they do not match.

    An SR image matches if it has the reference's size, or that size cropped to a multiple of the scale; with
    `allow_crop`, also if it is up to 16 pixels larger or smaller.

    Raises:
        SrkitError: a side is below the scale.
    """
    if sr in (hr, cropped_size(*hr, scale)):
        return cropped_size(*hr, scale)
    if allow_crop and all(abs(a - b) <= CROP_LIMIT for a, b in zip(sr, hr, strict=True)):
        return cropped_size(min(sr[0], hr[0]), min(sr[1], hr[1]), scale)
    return None


def refuse_sizes(
    wrong: Mapping[str, tuple[tuple[int, int], tuple[int, int]]], what: str, advice: str
) -> None:
    """Raise an error that lists images of a wrong size, if any.

    Args:
        wrong: found and expected (height, width) by name.
        what: name of the images in the message, `SR images` for example.
        advice: what to do next.

    Raises:
        UsageError: `wrong` is not empty.
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

"""Baselines: results of an earlier run, stored in a file, to which later runs are compared.

A baseline serves to compare a new model with an old one, so a different model is allowed. It rejects comparisons that
would be misleading:

- another data set, scale, protocol, source of the LR images, or set of images: always;
- the same model name with another sha256, which is neither the baseline's model nor a new name;
- several models in the baseline, none with the name of the measured one, which leaves the intended one open.

Images that could not be evaluated in the new run are left out of the comparison; the run reports them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srkit.errors import SrkitError, UsageError
from srkit.io.atomic import atomic_path
from srkit.io.names import printable, shown
from srkit.metrics.encoding import result_from, result_object
from srkit.metrics.results import SetResult

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Baseline:
    """Results of an earlier run; `source` is their name in messages."""

    results: tuple[SetResult, ...]
    source: str = "of this run"

    def entry(self, result: SetResult) -> SetResult:
        """Find the baseline's entry for `result`, without a check of the images.

        It can therefore be called before the evaluation, with a result without images.

        Raises:
            UsageError: the baseline was made with another dataset, scale, protocol, LR source or model hash, or its
                model is ambiguous.
        """
        named = [old for old in self.results if old.dataset == result.dataset]
        if not named:
            raise self._refusal("data set", _each(old.dataset for old in self.results), result.dataset)
        scaled = [old for old in named if old.scale == result.scale]
        if not scaled:
            raise self._refusal(
                "scale", _each(_factor(old.scale) for old in named), _factor(result.scale), result.dataset
            )
        same = [old for old in scaled if old.protocol == result.protocol]
        if not same:
            raise self._refusal(
                "protocol", _each(old.protocol for old in scaled), result.protocol, result.title
            )
        made = [old for old in same if old.lr_source == result.lr_source]
        if not made:
            raise self._refusal(
                "LR source", _each(old.lr_source for old in same), result.lr_source, result.title
            )
        return self._model(made, result)

    def match(self, result: SetResult) -> SetResult:
        """Find the baseline's entry for `result`, and check that its images are those of `result`, evaluated or failed.

        Raises:
            UsageError: as in `entry`, or the images differ.
        """
        old = self.entry(result)
        asked = {image.name for image in result.images} | {image.name for image in result.failed}
        known = {image.name for image in old.images}
        if asked != known:
            raise UsageError(
                f"The baseline {self.source} was made on {len(known)} images of {result.title}, this run has "
                f"{len(asked)}{_difference(asked, known)}; evaluate the same images or use `update_baseline`."
            )
        return old

    def _model(self, entries: Sequence[SetResult], result: SetResult) -> SetResult:
        of_name = [old for old in entries if old.model == result.model]
        if not of_name and len(entries) > 1:
            raise UsageError(
                f"The baseline {self.source} holds {_each(old.model for old in entries)} on {result.title} and not "
                f"'{result.model}', so it is not clear which one is meant; use a baseline of one model or "
                "`update_baseline`."
            )
        old = (of_name or entries)[0]
        ours, theirs = result.model_sha256, old.model_sha256
        if of_name and ours is not None and theirs is not None and ours != theirs:
            raise UsageError(
                f"The baseline {self.source} was made with a '{old.model}' of sha256 {theirs[:12]}, and the one "
                f"measured now has {ours[:12]}; use `update_baseline` to accept the new weights, or `model` with the "
                f"'{old.model}' that the baseline was made with, or give the new weights another name."
            )
        return old

    def _refusal(self, what: str, theirs: str, ours: str, where: str = "") -> UsageError:
        of = f" of {where}" if where else ""
        return UsageError(
            f"The baseline {self.source} was made with the {what} {theirs}{of}, and this run uses '{ours}'; give the "
            "baseline that fits or use `update_baseline`."
        )


def read_baseline(path: Path) -> Baseline:
    """Read a baseline written by `write_baseline`.

    Raises:
        UsageError: the file is missing, unreadable, damaged, or of a later version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The baseline {shown(path)} cannot be read ({error.strerror or error}); make it with "
            "`update_baseline`."
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(content, dict) or not isinstance(content.get("results"), list):
        raise _damaged(path, "expected an object with the list 'results'")
    if content.get("format_version") != FORMAT_VERSION:
        raise _damaged(path, f"its format is {content.get('format_version')!r}, expected {FORMAT_VERSION}")
    try:
        results = tuple(result_from(item) for item in content["results"])
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if trouble := _unfit(results):
        raise _damaged(path, trouble)
    return Baseline(results, shown(path))


def write_baseline(path: Path, results: Sequence[SetResult]) -> Baseline:
    """Create or replace the baseline file, and return the baseline.

    Raises:
        SrkitError: an image could not be evaluated or a value is NaN, so that later runs could not be compared to it
            (the file is unchanged); or the file cannot be written.
    """
    if trouble := _unfit(results):
        raise SrkitError(
            f"No baseline was written, because {trouble}; mend or remove the image, or leave out the metric."
        )
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "results": [result_object(result) for result in results],
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Baseline(tuple(results), shown(path))


def _unfit(results: Sequence[SetResult]) -> str:
    """Reason why these results are unsuitable as a baseline; empty if there is none."""
    if not results:
        return "there is no result in it"
    seen: set[tuple[str, int | None, str, str, str]] = set()
    for result in results:
        key = (result.dataset, result.scale, result.protocol, result.lr_source, result.model)
        if key in seen:
            return f"it has two results of {result.title} with {result.model}"
        seen.add(key)
        if result.failed:
            return f"{printable(result.failed[0].name)} of {result.title} could not be evaluated"
        if not result.images:
            return f"it has no image of {result.title}"
        for image in result.images:
            for metric, value in image.values.items():
                if math.isnan(value):
                    return f"the {metric} of {printable(image.name)} in {result.title} is not a number"
    return ""


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"The baseline {shown(path)} is damaged: {reason}; make it anew with `update_baseline`."
    )


def _factor(scale: int | None) -> str:
    return "none" if scale is None else f"x{scale}"


def _each(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in dict.fromkeys(names))


def _difference(asked: set[str], known: set[str]) -> str:
    """Format differences as ` (a.png is not in the baseline; b.png is only there)`."""
    new, gone = sorted(asked - known), sorted(known - asked)
    parts = [f"{printable(name)} is not in the baseline" for name in new[:1]]
    parts += [f"{printable(name)} is only there" for name in gone[:1]]
    return f" ({'; '.join(parts)})"

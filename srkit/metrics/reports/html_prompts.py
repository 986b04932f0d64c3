"""Prompt table of the HTML report: one row per LR image, with a model's results for each prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from srkit.metrics.reports.gallery import LABELS, Gallery, ImageKey, Views
from srkit.metrics.reports.html_section import safe
from srkit.metrics.results import SetResult

_ROWS = 32
"""Maximum number of images of a set, as they are included in the page a second time."""


def prompt_tables(results: Sequence[SetResult], gallery: Gallery | None) -> Iterator[str]:
    """Yield a table for each set that one network evaluated under several prompts, in pieces."""
    groups: dict[tuple[str, str | None], list[SetResult]] = {}
    for result in results:
        if result.model_sha256 is not None and gallery is not None:
            groups.setdefault((result.title, result.model_sha256), []).append(result)
    for (title, _), group in groups.items():
        if len(group) > 1 and gallery is not None and any(result.prompts for result in group):
            yield f"<section><h2>{safe(title)}: prompts side by side</h2>\n"
            yield '<table class="prompts"><tbody>\n'
            names = [image.name for image in group[0].images]
            rows = (_row(name, group, gallery) for name in names)
            yield from [row for row in rows if row][:_ROWS]
            yield "</tbody></table></section>\n"


def _row(name: str, group: Sequence[SetResult], gallery: Gallery) -> str:
    """Row of LR, one cell per prompt, and HR; empty if the stored images show different areas."""
    keys = [ImageKey(result.dataset, result.scale, result.model, name) for result in group]
    found = _same([gallery.whole(key) for key in keys]) or _same([gallery.crop(key) for key in keys])
    if not found:
        return ""
    cells = [_cell(found[0], view, LABELS[view]) for view in ("lr",) if view in found[0].uris]
    cells += [
        _cell(views, "sr", result.prompts.get(name) or "(no prompt)")
        for views, result in zip(found, group, strict=True)
    ]
    cells += [_cell(found[0], view, LABELS[view]) for view in ("hr",) if view in found[0].uris]
    return f'<tr><th scope="row"><bdi>{safe(name)}</bdi></th>{"".join(cells)}</tr>\n'


def _same(views: Sequence[Views | None]) -> list[Views]:
    """All views, if all exist and have the same position and size; else none."""
    there = [one for one in views if one is not None]
    places = {(one.left, one.top, one.width, one.height) for one in there}
    return there if len(there) == len(views) and len(places) == 1 else []


def _cell(views: Views, view: str, caption: str) -> str:
    image = f'<img src="{views.uris[view]}" width="{views.width}" height="{views.height}" alt="" decoding="async">'
    return f"<td><figure>{image}<figcaption><bdi>{safe(caption)}</bdi></figcaption></figure></td>"

"""Section of a dataset in the HTML report: its facts, and one row per image, the worst first."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from srkit.io.names import printable
from srkit.metrics.bootstrap import paired_differences
from srkit.metrics.display import display, format_value
from srkit.metrics.reports.gallery import LABELS, VIEWS, Gallery, ImageKey, Views
from srkit.metrics.reports.report import Section
from srkit.metrics.reports.strip import Axis, strip, ticks
from srkit.metrics.results import SetResult

Axes = Mapping[tuple[str, str], Axis]
"""Axes by the dataset's title and the metric."""


def safe(text: str) -> str:
    """Escape `text` for HTML content and quoted attributes."""
    return html.escape(printable(text))


@dataclass(frozen=True)
class Column:
    """Number column: a metric, or its difference from another model."""

    symbol: str
    """Identifier of its ticks in the page."""
    label: str
    values: tuple[float, ...]
    texts: tuple[str, ...]
    axis: Axis

    def badness(self, row: int) -> float:
        """Sort key, higher for worse values; NaN is worst."""
        value = self.values[row]
        return math.inf if math.isnan(value) else value if self.axis.lower_is_better else -value


def section_parts(number: int, section: Section, axes: Axes, gallery: Gallery | None) -> Iterator[str]:
    """Yield the section in pieces, with the identifier `set-NUMBER`."""
    result = section.result
    title = safe(f"{result.title} with {result.model}")
    yield f'<section id="set-{number}"><h2>{title}</h2>\n{_facts(result)}'
    yield from (f'<p class="note">{safe(remark)}</p>\n' for remark in result.remarks)
    if result.failed:
        yield '<h3>Not evaluated</h3><ul class="messages">\n'
        for failed in result.failed:
            name, error = safe(failed.name), safe(failed.error)
            yield f'<li class="broken"><strong><bdi>{name}</bdi></strong>{error}</li>\n'
        yield "</ul>\n"
    if result.metrics:
        yield from _table(_columns(number, section, axes), result, gallery)
    yield "</section>\n"


def _facts(result: SetResult) -> str:
    facts = {
        "Protocol": result.protocol,
        "LR images": result.lr_source,
        "Support images, left out": ", ".join(result.support),
    }
    items = [f"<div><dt>{name}</dt><dd>{safe(value)}</dd></div>" for name, value in facts.items() if value]
    if result.model_sha256:
        items.append(f"<div><dt>Model's sha256</dt><dd><code>{safe(result.model_sha256)}</code></dd></div>")
    return f'<dl class="facts">{"".join(items)}</dl>\n'


def _columns(number: int, section: Section, axes: Axes) -> list[Column]:
    """Columns of the metrics, and of the first metric's differences from the compared models."""
    result = section.result
    columns = []
    for index, metric in enumerate(result.metrics):
        values = tuple(image.values[metric] for image in result.images)
        texts = tuple(format_value(metric, value) for value in values)
        columns.append(
            Column(f"t{number}-{index}", display(metric).label, values, texts, axes[result.title, metric])
        )
    for comparison in section.comparisons:
        if comparison.metric != result.metrics[0]:
            continue
        shown = display(comparison.metric)
        differences = paired_differences(result, comparison.other, comparison.metric)
        values = tuple(differences.get(image.name, math.nan) for image in result.images)
        texts = tuple(f"{value:+.{shown.decimals}f}" for value in values)
        axis = Axis.of(values, lower_is_better=shown.lower_is_better)
        label = f"{shown.label} minus {comparison.other.model}"
        columns.append(Column(f"t{number}-{len(columns)}", label, values, texts, axis))
    return columns


def _table(columns: list[Column], result: SetResult, gallery: Gallery | None) -> Iterator[str]:
    first = columns[0]
    keys = [ImageKey(result.dataset, result.scale, result.model, image.name) for image in result.images]
    crops = [None if gallery is None else gallery.crop(key) for key in keys]
    wholes = [None if gallery is None else gallery.whole(key) for key in keys]
    any_crops = any(crop is not None for crop in crops)
    yield f'<p class="note">{_legend(first, crops)}</p>\n'
    drawings = "".join(ticks(column.symbol, column.axis, column.values) for column in columns)
    yield f'<svg class="defs" aria-hidden="true">{drawings}</svg>\n<table class="images"><thead><tr>'
    if any_crops:
        yield '<th scope="col" class="crops">Crops</th>'
    yield '<th scope="col"><button type="button">Image</button></th>'
    for column in columns:
        yield _head(column, sorted_by=column is first)
    yield "</tr></thead><tbody>\n"
    for row in sorted(range(len(result.images)), key=first.badness, reverse=True):
        name = result.images[row].name
        cell = f'<td class="crops">{_crops_of(name, crops[row], wholes[row])}</td>' if any_crops else ""
        head = _name(name, crops[row], result.prompts.get(name))
        yield f"<tr>{cell}{head}{''.join(_number(column, row) for column in columns)}</tr>\n"
    yield "</tbody></table>\n"


def _head(column: Column, *, sorted_by: bool) -> str:
    worst, order = ("high", "descending") if column.axis.lower_is_better else ("low", "ascending")
    mark = f' aria-sort="{order}"' if sorted_by else ""
    return (
        f'<th scope="col" class="number" data-worst="{worst}"{mark}>'
        f'<button type="button">{safe(column.label)}</button></th>'
    )


def _legend(first: Column, crops: Sequence[Views | None]) -> str:
    text = (
        f"Worst {first.label} first. In the small drawings each tick is an image of the set, better to the right, "
        "and the dot is this one."
    )
    shown = next((crop for crop in crops if crop is not None), None)
    if shown is not None:
        names = ", ".join(LABELS[view] for view in VIEWS if view in shown.uris)
        where = "where SR is furthest from HR" if "hr" in shown.uris else "from the middle"
        text += f" Crops show {names}, {where}, without loss; choose one to compare and to zoom."
        if missing := sum(crop is None for crop in crops):
            text += f" To keep the page small, {missing} of the better images have none."
    return safe(text)


def _name(name: str, crop: Views | None, prompt: str | None) -> str:
    place = "" if crop is None else f"<small>{crop.width} x {crop.height} at {crop.left},{crop.top}</small>"
    said = "" if prompt is None else f'<small class="prompt"><bdi>{safe(prompt)}</bdi></small>'
    return f'<th scope="row" data-value="{safe(name)}"><bdi>{safe(name)}</bdi>{place}{said}</th>'


def _number(column: Column, row: int) -> str:
    value = column.values[row]
    # In the format of JavaScript's Number().
    number = (
        repr(value)
        if math.isfinite(value)
        else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    )
    return (
        f'<td class="number" data-label="{safe(column.label)}" data-value="{number}">'
        f'<span class="value">{column.texts[row]}</span>{strip(column.symbol, column.axis, value)}</td>'
    )


def _crops_of(name: str, crop: Views | None, whole: Views | None) -> str:
    if crop is None:
        return ""
    # The whole image is in a template, so that it is decoded only on demand.
    kept = "" if whole is None else f"<template>{_images(whole)}</template>"
    return (
        f'<button type="button" class="open" aria-label="Compare {safe(name)}">{_images(crop)}</button>{kept}'
    )


def _images(views: Views) -> str:
    return "".join(
        f'<img data-view="{view}" src="{views.uris[view]}" width="{views.width}" height="{views.height}" '
        'alt="" '
        'decoding="async">'
        for view in VIEWS
        if view in views.uris
    )

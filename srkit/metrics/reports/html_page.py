"""HTML report: one self-contained file that needs no network.

The tables are plain HTML, generated here and in `html_section`; the script in `assets/` adds sorting and the viewer.
The page's content security policy allows only data URIs and its own style and script, so that even a name that evades
the escaping could not load or run anything.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template

from srkit.metrics.bootstrap import Comparison, Interval
from srkit.metrics.display import display, format_value
from srkit.metrics.reports.html_prompts import prompt_tables
from srkit.metrics.reports.html_section import Axes, safe, section_parts
from srkit.metrics.reports.report import Report, Section, write_text
from srkit.metrics.reports.strip import Axis, strip
from srkit.metrics.results import SetResult

_CONTENT = "\0"  # `safe` removes it from texts, so the template can be split there


def write(report: Report, path: Path) -> None:
    """Write the page, row by row, with the gallery's images if there is one.

    Raises:
        SrkitError: the file cannot be written.
    """
    write_text(path, parts(report))


def parts(report: Report) -> Iterator[str]:
    """Yield the page's text in pieces."""
    sections = list(report.sections())
    axes = _axes(report)
    before, after = _frame(report).split(_CONTENT)
    yield before
    yield from _remarks(report.remarks)
    yield from _summary(sections, axes, report.metrics)
    yield from _differences(report.comparisons)
    yield from _gates(report)
    for number, section in enumerate(sections):
        yield from section_parts(number, section, axes, report.gallery)
    yield from prompt_tables(report.results, report.gallery)
    yield after


def _frame(report: Report) -> str:
    """Page template filled except for its content."""
    assets = files("srkit.metrics.reports") / "assets"
    style, script, page = (
        (assets / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html")
    )
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    results = report.results
    notes = [*report.definitions, *([f"Measured with {report.versions}"] if report.versions else [])]
    subtitle = [
        ", ".join(dict.fromkeys(result.title for result in results)),
        ", ".join(dict.fromkeys(result.model for result in results)),
    ]
    return Template(page).substitute(
        title=safe(report.title),
        subtitle=safe(" with ".join(subtitle)),
        notes="\n".join(f"<p>{safe(note)}</p>" for note in notes),
        policy=policy,
        style=style,
        script=script,
        content=_CONTENT,
    )


def _remarks(remarks: tuple[str, ...]) -> Iterator[str]:
    if remarks:
        yield "<section>" + "".join(f"<p>{safe(remark)}</p>" for remark in remarks) + "</section>\n"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _axes(report: Report) -> Axes:
    """Axes per metric and dataset, over all models, so that their strips are comparable."""
    values: dict[tuple[str, str], list[float]] = {}
    for result in report.results:
        for image in result.images:
            for metric, value in image.values.items():
                values.setdefault((result.title, metric), []).append(value)
    return {
        key: Axis.of(found, lower_is_better=display(key[1]).lower_is_better) for key, found in values.items()
    }


def _summary(sections: list[Section], axes: Axes, metrics: tuple[str, ...]) -> Iterator[str]:
    heads = "".join(
        f'<th scope="col" class="number">{safe(display(metric).label)}</th>' for metric in metrics
    )
    spread = (
        f'<th scope="col" class="number">{safe(display(metrics[0]).label)} spread</th>' if metrics else ""
    )
    yield (
        '<section><h2>Summary</h2><div class="scroll"><table class="summary"><thead><tr>'
        '<th scope="col">Data set</th><th scope="col">Model</th><th scope="col">Protocol</th>'
        f'<th scope="col" class="number">Images</th>{heads}{spread}</tr></thead><tbody>\n'
    )
    for number, section in enumerate(sections):
        result, mean = section.result, section.result.mean
        total = len(result.images) + len(result.failed)
        count = f"{len(result.images)} of {total}" if result.failed else str(total)
        rivals = [other.result for other in sections if other.result.title == result.title]
        cells = "".join(_mean_cell(metric, result, rivals) for metric in metrics)
        if metrics and metrics[0] in mean:
            drawing = strip(f"t{number}-0", axes[result.title, metrics[0]], mean[metrics[0]])
            cells += f'<td class="number">{drawing}</td>'
        elif metrics:
            cells += "<td></td>"
        yield (
            f'<tr><td><a href="#set-{number}">{safe(result.title)}</a></td><td>{safe(result.model)}</td>'
            f'<td>{safe(result.protocol)}</td><td class="number">{count}</td>{cells}</tr>\n'
        )
    yield "</tbody></table></div></section>\n"


def _mean_cell(metric: str, result: SetResult, rivals: list[SetResult]) -> str:
    """Cell of a mean, marked if it is the best of several models on that set and all means are over the same images."""
    if metric not in result.metrics:
        return '<td class="number"></td>'
    mean, left_out = result.mean[metric], result.infinite.get(metric)
    others = [one for one in rivals if metric in one.metrics and not math.isnan(one.mean[metric])]
    comparable = len(others) > 1 and all(one.infinite.get(metric) == left_out for one in others)
    best = min if display(metric).lower_is_better else max
    mark = " best" if comparable and mean == best(one.mean[metric] for one in others) else ""
    return f'<td class="number{mark}">{format_value(metric, mean)}</td>'


def _differences(comparisons: tuple[Comparison, ...]) -> Iterator[str]:
    """Table of differences: one row per pair of models on a dataset, one column per metric."""
    if not comparisons:
        return
    level = comparisons[0].interval.level
    metrics = dict.fromkeys(one.metric for one in comparisons)
    pairs: dict[tuple[str, str, str], dict[str, Interval]] = {}
    for one in comparisons:
        names = one.result.title, one.result.model, one.other.model
        pairs.setdefault(names, {})[one.metric] = one.interval
    heads = "".join(
        f'<th scope="col" class="number">{safe(display(metric).label)}</th>' for metric in metrics
    )
    yield (
        f'<section><h2>Differences</h2><p class="note">With the {level:.0%} interval of a paired bootstrap over the '
        'images; coloured where it excludes zero.</p><div class="scroll"><table class="summary"><thead><tr>'
        f'<th scope="col">Data set</th><th scope="col">Model</th><th scope="col">Minus</th>{heads}'
        "</tr></thead><tbody>\n"
    )
    for names, intervals in pairs.items():
        cells = "".join(f"<td>{safe(name)}</td>" for name in names)
        cells += "".join(_difference(metric, intervals.get(metric)) for metric in metrics)
        yield f"<tr>{cells}</tr>\n"
    yield "</tbody></table></div></section>\n"


def _difference(metric: str, found: Interval | None) -> str:
    if found is None:
        return '<td class="number"></td>'
    better = (found.mean > 0) != display(metric).lower_is_better
    mark = (" up" if better else " down") if found.excludes_zero else ""
    bounds = "no interval" if math.isnan(found.low) else f"{found.low:+.4f} to {found.high:+.4f}"
    return f'<td class="number{mark}">{found.mean:+.4f}<small>{bounds}</small></td>'


def _gates(report: Report) -> Iterator[str]:
    if not report.verdicts:
        return
    yield '<section><h2>Gates</h2><ul class="messages">\n'
    for verdict in report.verdicts:
        word, mark = ("passed", "\u2713") if verdict.passed else ("broken", "\u2717")
        yield f'<li class="{word}"><strong aria-hidden="true">{mark}</strong>{safe(str(verdict))}</li>\n'
    yield "</ul></section>\n"

"""srkit eval"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srkit.errors import Exit, SrkitError, UsageError
from srkit.recipes.engine import EngineRecipe
from srkit.recipes.evaluate import EvalRecipe
from srkit_cli import completion, options
from srkit_cli.console import Console, with_flags
from srkit_cli.groups import GATES, INPUT, METRICS, MODEL, REPORT, option

if TYPE_CHECKING:
    from srkit.io.remote import Remote
    from srkit.metrics.reports import Report
    from srkit.metrics.results import SetResult
    from srkit.tasks.evaluate.run import EvalJob

Names = Annotated[
    list[str] | None,
    option(
        "Sets by name, with commas.", INPUT, "--dataset", metavar="NAME", autocompletion=completion.data_sets
    ),
]


def eval(
    shards: Annotated[
        list[Path] | None,
        typer.Argument(help="With --merge: the JSON Lines of all shards.", metavar="[FILE.jsonl]..."),
    ] = None,
    dataset: Names = None,
    model: Annotated[
        list[str] | None,
        option(
            "A name, a file, or bicubic; repeat to compare with the first.",
            MODEL,
            "--model",
            "-m",
            "-n",
            autocompletion=completion.evaluated_models,
        ),
    ] = None,
    scale: options.WholeScale = None,
    sr: Annotated[str | None, option("Folder or URL of finished images.", INPUT, metavar="DIR")] = None,
    hr: Annotated[str | None, option("Folder or URL of their references.", INPUT, metavar="DIR")] = None,
    pattern: Annotated[str, option("Name of an SR image, as '{name}_x4'.", INPUT)] = "{name}",
    allow_crop: Annotated[bool, option("Accept a few pixels of difference.", INPUT, "--allow-crop")] = False,
    metrics: Annotated[
        str,
        option(
            "psnr, ssim, lpips, judge, niqe, musiq, with commas.", METRICS, autocompletion=completion.metrics
        ),
    ] = "psnr,ssim",
    protocol: Annotated[str, option("classical, rgb, div2k, ntire or real.", METRICS)] = "classical",
    data_root: Annotated[
        str | None,
        option("Where sets lie, or a URL; else $SRKIT_DATA. Public ones are fetched.", INPUT, metavar="DIR"),
    ] = None,
    download: Annotated[
        bool, option("Accepted as before; missing sets are fetched anyway.", INPUT, "--download")
    ] = False,
    weights_dir: Annotated[
        Path | None, option("Metric weights by file name; else $SRKIT_WEIGHTS.", METRICS, metavar="DIR")
    ] = None,
    shots: Annotated[
        int, option("Also adapt to the first K images; scored on the others.", MODEL, metavar="K")
    ] = 0,
    shot_steps: Annotated[int | None, option("Maximal number of steps of that.", MODEL, metavar="N")] = None,
    shard: options.ShardOf = None,
    merge: Annotated[
        bool, option("Put the results of shards together, as of one run.", INPUT, "--merge")
    ] = False,
    prompts: Annotated[
        Path | None,
        option(
            "What each image shows, for models that take text: DIR of .txt, .tsv or COCO's .json.",
            MODEL,
            metavar="FILE",
        ),
    ] = None,
    prompt_control: Annotated[
        list[str] | None,
        option(
            "right, none, shuffled, with commas, or =TEXT (repeatable); the first is compared with each.",
            MODEL,
            "--prompt-control",
            metavar="NAMES",
        ),
    ] = None,
    save_images: Annotated[Path | None, option("Keep the SR images.", REPORT, metavar="DIR")] = None,
    report: options.ReportPage = None,
    jsonl: Annotated[Path | None, option("JSON Lines, an image each.", REPORT, metavar="FILE")] = None,
    csv: Annotated[Path | None, option("CSV, an image each.", REPORT, metavar="FILE")] = None,
    junit: Annotated[Path | None, option("JUnit XML for CI systems.", REPORT, metavar="FILE")] = None,
    markdown: Annotated[Path | None, option("Markdown table.", REPORT, metavar="FILE")] = None,
    baseline: Annotated[Path | None, option("Results to compare with.", GATES, metavar="FILE.json")] = None,
    fail_if: Annotated[
        list[str] | None, option("Gate, as 'psnr<-0.05' (repeatable).", GATES, "--fail-if", metavar="GATE")
    ] = None,
    update_baseline: Annotated[
        bool, option("Create or replace the baseline, then gate.", GATES, "--update-baseline")
    ] = False,
    max_pixels: options.MaxPixels = 10**9,
    device: options.Devices = "auto",
    engine: options.Engine = options.EngineName.local,
    workers: options.Workers = None,
    address: options.Address = None,
    dtype: options.Dtype = options.DtypeName.auto,
    threads: options.Threads = None,
    seed: options.Seed = 0,
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Measure a model on data sets, or finished images against their references.

    \b
    srkit eval --dataset Set5,Urban100 -m edsr-x4 --report report.html
    srkit eval --sr out/ --hr HR/ -s 4 --baseline main.json --fail-if "psnr<-0.05"
    srkit eval --sr out/ --metrics niqe,musiq
    srkit eval --dataset Urban100 -m edsr-x4 --shots 5
    srkit eval --dataset Urban100 --shard 2/8 --jsonl 2.jsonl
    srkit eval --merge 1.jsonl 2.jsonl --fail-if "psnr<25"
    """
    if merge != bool(shards):
        raise UsageError(
            "--merge takes the JSON Lines of all shards, and they go with --merge alone: srkit eval --merge 1.jsonl "
            "2.jsonl."
        )
    if merge and model:
        raise UsageError("--merge reads what was measured; leave out --model.")
    if model and sr is not None:
        raise UsageError("--model and --sr exclude each other; finished images need no model.")
    files = {"report": report, "jsonl": jsonl, "csv": csv, "junit": junit, "markdown": markdown}
    for path in (*files.values(), baseline):
        if path is not None:
            options.check_file(path)
    recipe = EvalRecipe(
        metrics=tuple(_listed([metrics])),
        protocol=protocol,
        scale=scale,
        models=tuple(model or ("auto",)),
        shots=shots,
        shot_steps=shot_steps,
        prompt_controls=_controls(prompt_control or ["right"]),
        device=device,
        dtype=dtype.value,
        threads=threads,
        seed=seed,
        max_pixels=max_pixels,
    )

    from srkit.tasks.evaluate.run import EvalJob

    job = EvalJob(
        recipe,
        datasets=tuple(_listed(dataset or [])),
        sr=_place(sr),
        hr=_place(hr),
        pattern=pattern,
        prompts=prompts,
        allow_crop=allow_crop,
        data_root=_place(data_root),
        weights_dir=weights_dir,
        save_images=save_images,
        with_gallery=report is not None,
        gates=tuple(fail_if or ()),
        baseline=baseline,
        update_baseline=update_baseline,
        shard=shard,
        merge=tuple(shards or ()),
        engine=EngineRecipe.of(engine.value, workers, address, device),
    )
    return _run(job, files, json, verbose, Console(quiet=quiet, verbose=verbose))


def _place(text: str | None) -> Path | Remote | None:
    from srkit.io.remote import place_of

    return None if text is None else place_of(text)


def _listed(texts: list[str]) -> list[str]:
    """Split texts such as `Set5,Set14` at commas."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _controls(texts: list[str]) -> tuple[str, ...]:
    """Split texts such as `right,none` at commas; a `=TEXT` control may contain commas."""
    return tuple(part for text in texts for part in ([text] if text.startswith("=") else _listed([text])))


def _run(job: EvalJob, files: dict[str, Path | None], json: bool, verbose: bool, console: Console) -> int:
    from srkit.metrics.reports import FORMATS, Report, document
    from srkit.tasks.evaluate.run import Evaluation

    evaluation = Evaluation(job, console)
    results = tuple(map(_flagged, evaluation.run()))
    trouble: SrkitError | None = None
    try:
        report = evaluation.judge(results)
    except SrkitError as error:  # the partial results are still shown
        report, trouble = Report(results, gallery=evaluation.gallery), error
    for form in FORMATS:
        if (path := files[form.option]) is not None:
            form.write(report, path)
    if json:
        console.json(document(report))
    else:
        _show(report, verbose, console)
    _say_remarks(report, console)
    if trouble is not None:
        raise trouble
    return _exit_code(report)


def _flagged(result: SetResult) -> SetResult:
    """The result with flags in the errors of its images, for every report format."""
    return replace(result, failed=tuple(replace(one, error=with_flags(one.error)) for one in result.failed))


def _show(report: Report, verbose: bool, console: Console) -> None:
    """Print a row for each set and model, preceded by a row for each image with -v, then the comparisons."""
    from srkit.io.names import printable
    from srkit.metrics.display import display, format_value

    heads = [display(metric).label for metric in report.metrics]
    rows: list[list[str | None]] = []

    def row(result: SetResult, image: str, values: dict[str, float]) -> list[str | None]:
        cells = [format_value(m, values[m]) if m in values else None for m in report.metrics]
        scale = None if result.scale is None else f"x{result.scale}"
        return [result.dataset, scale, result.model, result.protocol, result.lr_source, *cells, image]

    for result in report.results:
        if verbose:
            rows += [row(result, printable(image.name), dict(image.values)) for image in result.images]
        count, total = len(result.images), len(result.images) + len(result.failed)
        rows.append(row(result, f"mean of {count}" + (f" of {total}" if total > count else ""), result.mean))
    columns = ("data set", "scale", "model", "protocol", "LR", *heads, "images")
    console.table(columns, rows, numbers=heads)
    if report.comparisons:
        console.line("")
        console.table(
            ("data set", "model", "minus", "metric", "difference", "95 % low", "high", "images"),
            [
                (
                    c.result.title,
                    c.result.model,
                    c.other.model,
                    display(c.metric).label,
                    *(f"{v:+.4f}" for v in (c.interval.mean, c.interval.low, c.interval.high)),
                    c.interval.count,
                )
                for c in report.comparisons
            ],
            numbers=("difference", "95 % low", "high", "images"),
        )


def _say_remarks(report: Report, console: Console) -> None:
    from srkit.io.names import printable
    from srkit.metrics.protocols import find_protocol

    for result in report.results:
        for failed in result.failed:
            console.error(f"{result.title}, {failed.name}: {failed.error}")
        if result.failed:
            console.say(
                f"{result.title}: means over {len(result.images)} images, {len(result.failed)} failed"
            )
    for title, support in dict.fromkeys((r.title, r.support) for r in report.results if r.support):
        console.say(
            f"{title}: {', '.join(map(printable, support))} served to adapt and are left out of the score"
        )
    for protocol, scale in dict.fromkeys(
        (r.protocol, r.scale) for r in report.results if r.scale is not None
    ):
        console.info(find_protocol(protocol).describe(scale or 1))
    for version in dict.fromkeys(
        f"{k}: {v}" for result in report.results for k, v in result.versions.items()
    ):
        console.info(version)
    for result in report.results:
        for remark in result.remarks:
            console.warn(f"{result.title}, {result.model}: {remark}")
    for verdict in report.verdicts:
        if not verdict.passed:
            console.error(str(verdict))


def _exit_code(report: Report) -> int:
    if not any(result.images for result in report.results):
        empty = all(result.names and not result.failed for result in report.results)  # a shard without images
        return Exit.DONE if empty else Exit.FAILED
    if any(not verdict.passed for verdict in report.verdicts):
        return Exit.GATE
    return Exit.PARTIAL if any(result.failed for result in report.results) else Exit.DONE

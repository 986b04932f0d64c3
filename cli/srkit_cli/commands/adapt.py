"""srkit adapt"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srkit.errors import Exit, UsageError
from srkit.recipes.adapt import DEFAULT_STEPS, AdaptRecipe
from srkit.recipes.load import from_settings
from srkit.recipes.self_supervised import DEFAULT_STEPS as SELF_STEPS
from srkit.recipes.self_supervised import PAIR_STEPS, SelfAdaptRecipe
from srkit_cli import completion, options
from srkit_cli.console import Console
from srkit_cli.groups import INPUT, MODEL, OUTPUT, TRAINING, option

if TYPE_CHECKING:
    from srkit.metrics.results import ImageResult
    from srkit.tasks.adapt.loop import Findings, State
    from srkit.tasks.adapt.run import AdaptJob, AdaptResult

_METRICS = ("psnr", "ssim")


def adapt(
    domain: Annotated[
        Path,
        typer.Argument(help="A folder of HR examples, or HR/ and LR/ beneath it; or one of LR images alone."),
    ],
    output: Annotated[
        Path | None,
        option(
            "The weights; else FOLDER-MODEL.safetensors in the working folder.",
            OUTPUT,
            "--output",
            "-o",
            metavar="FILE.safetensors",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    shots: Annotated[
        int | None, option(f"Examples to learn from; {AdaptRecipe.shots}.", TRAINING, metavar="K")
    ] = None,
    self_supervised: Annotated[
        bool, option("Learn from low-resolution images alone.", TRAINING, "--self-supervised")
    ] = False,
    reconstructor: Annotated[
        str | None,
        option(
            "With --self-supervised: what degrades images; a name or a file.",
            MODEL,
            metavar="NAME",
            autocompletion=completion.reconstructors,
        ),
    ] = None,
    method: Annotated[
        str | None,
        option(
            "With --self-supervised: loop, or pairs of clean images degraded alike, the default with --clean.",
            TRAINING,
            metavar="NAME",
        ),
    ] = None,
    clean: Annotated[
        Path | None,
        option(
            "With --self-supervised: clean images to learn from; for --method pairs else the folder's own, shrunk.",
            INPUT,
            metavar="DIR",
        ),
    ] = None,
    scale: options.WholeScale = None,
    model: Annotated[
        str,
        option(
            "A name or a checkpoint file.", MODEL, "--model", "-m", "-n", autocompletion=completion.sr_models
        ),
    ] = "auto",
    steps: Annotated[
        int | None,
        option(
            f"Maximum of steps; {DEFAULT_STEPS} ({SELF_STEPS} if self-supervised, {PAIR_STEPS} by pairs), or what "
            "--minutes allow.",
            TRAINING,
            metavar="N",
        ),
    ] = None,
    minutes: Annotated[float | None, option("Maximum of minutes.", TRAINING, metavar="F")] = None,
    holdout: Annotated[
        float | None, option("Share of the images held out to validate.", TRAINING, metavar="F")
    ] = None,
    set_: options.Settings = None,
    report: options.ReportPage = None,
    max_pixels: options.MaxPixels = 10**9,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeName.auto,
    threads: options.Threads = None,
    seed: options.Seed = 0,
    offline: options.Offline = False,
    weights_dir: options.WeightsDir = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Fine-tune a model to a kind of image.

    From a few high-resolution examples: on the validation images it never gets worse. Or with --self-supervised from
    low-resolution images alone: then no one can say how near to the truth the results are. What counts is how well the
    images can be made once more from them, and how natural they look; or with --clean, the gain on clean images that
    are degraded as they seem to be.

    \b
    srkit adapt --shots 5 screenshots/
    srkit adapt screenshots/ -o screens-x4.safetensors --report report.html
    srkit adapt pairs/ --shots 10 -m edsr-x2 -o mine-x2.safetensors --minutes 5
    srkit adapt phone/ --self-supervised -m real-x4 -o phone-x4.safetensors
    srkit adapt phone/ --self-supervised -m real-x4 --clean photos/
    srkit adapt screenshots/ --set tune.rate=1e-3 --set tune.optimiser=sgd
    srkit adapt phone/ --self-supervised --set loop.control=paper --set loop.noise_std=1
    srkit upscale INPUT OUTPUT -m screens-x4.safetensors
    """
    if report is not None:
        options.check_file(report)
    if self_supervised and shots is not None:
        raise UsageError(
            f"--shots {shots} and --self-supervised were both given; the one learns from high-resolution examples, the "
            "other from low-resolution images alone: leave one out."
        )
    beside = {"reconstructor": reconstructor, "method": method, "clean": clean}
    for name, value in beside.items():
        if value is not None and not self_supervised:
            raise UsageError(f"--{name} serves --self-supervised alone; add that or leave it out.")
    # Flags are short forms of settings and are applied last, as in `srkit train`.
    flags: dict[str, Any] = {
        "model": model,
        "scale": scale,
        "holdout": holdout,
        "device": device,
        "dtype": dtype.value,
        "threads": threads,
        "seed": seed,
        "max_pixels": max_pixels,
    }
    recipe: AdaptRecipe | SelfAdaptRecipe
    if self_supervised:
        for part in ("loop", "pairs"):
            flags |= {f"{part}.steps": steps, f"{part}.minutes": minutes}
        flags |= {name: str(value) for name, value in beside.items() if value is not None}
        recipe = from_settings(SelfAdaptRecipe, set_ or (), flags)
    else:
        flags |= {"tune.steps": steps, "tune.minutes": minutes}
        flags |= {} if shots is None else {"shots": shots}
        recipe = from_settings(AdaptRecipe, set_ or (), flags)

    from srkit.tasks.adapt.run import AdaptJob

    job = AdaptJob(recipe, domain, output, with_gallery=report is not None, overwrite=overwrite)
    return _run(job, report, json, Console(quiet=quiet, verbose=verbose))


def _run(job: AdaptJob, report: Path | None, json: bool, console: Console) -> int:
    from srkit.tasks.adapt.run import run

    result = run(job, console)
    if report is not None:
        from srkit.metrics.reports import html_page

        html_page.write(result.report, report)
    if json:
        console.json(_document(result))
    elif result.loop is None:
        _show(result, console)
    else:
        _show_loop(result, result.loop, console)
    console.say(f"{result.output}: {result.steps} steps, {result.seconds / 60:.1f} min. {result.verdict}")
    if job.output is None:
        console.next_command("srkit", "upscale", "INPUT", "OUTPUT", "-m", str(result.output))
    return Exit.PARTIAL if result.failed else Exit.DONE


def _pairs(result: AdaptResult) -> list[tuple[ImageResult, ImageResult]]:
    return list(zip(result.before.images, result.after.images, strict=True))


def _show(result: AdaptResult, console: Console) -> None:
    """Print a table with a row for each validation image, and one for their mean."""
    from srkit.io.names import printable
    from srkit.metrics.degenerate import difference, mean_of
    from srkit.metrics.display import display, format_value

    def row(name: str, before: dict[str, float], after: dict[str, float], gain: float) -> list[str]:
        cells = [name]
        for metric in _METRICS:
            cells += [format_value(metric, before[metric]), format_value(metric, after[metric])]
        return [*cells, f"{gain:+.2f}"]

    labels = [display(metric).label for metric in _METRICS]
    heads = [f"{label} {when}" for label in labels for when in ("before", "after")]
    gains = [difference(new.values["psnr"], old.values["psnr"]) for old, new in _pairs(result)]
    rows = [
        row(printable(old.name), dict(old.values), dict(new.values), gain)
        for (old, new), gain in zip(_pairs(result), gains, strict=True)
    ]
    rows.append(row(f"mean of {len(rows)}", result.before.mean, result.after.mean, mean_of(gains)))
    columns = ("strip of" if result.strips else "image", *heads, "gain")
    console.table(columns, rows, numbers=columns[1:])


def _show_loop(result: AdaptResult, found: Findings, console: Console) -> None:
    """Print a table with a row for each validation part, and one for their mean."""
    from srkit.io.names import printable
    from srkit.metrics.display import display, format_value

    metrics = result.before.metrics

    def row(name: str, before: dict[str, float], after: dict[str, float]) -> list[str]:
        return [name, *(format_value(m, when[m]) for m in metrics for when in (before, after))]

    rows = [row(printable(old.name), dict(old.values), dict(new.values)) for old, new in _pairs(result)]
    rows.append(row(f"mean of {len(rows)}", result.before.mean, result.after.mean))
    heads = [f"{display(metric).label} {when}" for metric in metrics for when in ("before", "after")]
    columns = ("strip of" if result.strips else "image", *heads)
    console.table(columns, rows, numbers=columns[1:])
    for name, state in (("the weights at the end", found.raw), ("their moving average", found.average)):
        if state is not None:
            console.say(
                f"{name}: L_rec {state.reconstruction:.4f}, alike {state.neutral:.4f}, FAR {state.far:.4f}, "
                f"{state.change:.1f} dB from the base's images"
            )


def _document(result: AdaptResult) -> dict[str, Any]:
    from srkit.metrics.encoding import values_object

    before = result.before
    return {
        "way": "shots" if result.loop is None else "self-supervised",
        "output": str(result.output),
        "model": before.model,
        "model_sha256": before.model_sha256,
        "dataset": before.dataset,
        "scale": before.scale,
        "protocol": before.protocol,
        "lr_source": before.lr_source,
        "before": values_object(before.mean),
        "after": values_object(result.after.mean),
        "kept": result.kept,
        "support": list(result.support),
        "judge": list(result.judge),
        "strips": result.strips,
        "images": [
            {"name": old.name, "before": values_object(old.values), "after": values_object(new.values)}
            for old, new in _pairs(result)
        ],
        "steps": result.steps,
        "best_step": result.best_step,
        "stopped": result.stopped,
        "seconds": result.seconds,
        "rates": result.rates,
        "probe": result.probe,
        "failed": [{"name": name, "error": error} for name, error in result.failed],
        "versions": dict(before.versions),
        **({} if result.loop is None else _of_loop(result.loop)),
    }


def _of_loop(found: Findings) -> dict[str, Any]:
    traces = found.traces
    return {
        "best": found.best,
        "raw": _state(found.raw),
        "average": _state(found.average),
        "method": "loop" if found.pairs is None else "pairs",
        "pairs": None if found.pairs is None else vars(found.pairs),
        "far_weight": found.far_weight,
        "spread": found.spread,
        "traces": {
            "noise": traces.noise,
            "blocks": traces.blocks,
            "sharpness": traces.sharpness,
            "compressed": traces.compressed,
        },
    }


def _state(state: State | None) -> dict[str, float | None] | None:
    """Means of a state; `change` is null if nothing changed."""
    if state is None:
        return None
    change = state.change if math.isfinite(state.change) else None
    means = {"reconstruction": state.reconstruction, "neutral": state.neutral, "far": state.far}
    return {**means, "change": change}

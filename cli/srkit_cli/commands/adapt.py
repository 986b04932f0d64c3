"""srkit adapt"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srkit.errors import Exit, UsageError
from srkit.recipes.adapt import DEFAULT_STEPS, AdaptRecipe, TunePart
from srkit_cli.console import Console
from srkit_cli.options import Debug, Device, Dtype, DtypeName, Json, Quiet, Seed, Threads, Verbose

if TYPE_CHECKING:
    from srkit.metrics.results import ImageResult
    from srkit.tasks.adapt import AdaptResult

_METRICS = ("psnr", "ssim")


def adapt(
    domain: Annotated[Path, typer.Argument(help="A folder of HR examples, or HR/ and LR/ beneath it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The weights.", metavar="FILE.safetensors")],
    shots: Annotated[int, typer.Option(help="Examples to learn from.", metavar="K")] = AdaptRecipe.shots,
    scale: Annotated[
        int | None, typer.Option("--scale", "-s", help="Whole factor between LR and HR.")
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", "-n", help="A name or a checkpoint file.")] = "auto",
    steps: Annotated[
        int | None,
        typer.Option(help=f"Most steps of learning; {DEFAULT_STEPS}, or what --minutes allow.", metavar="N"),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Most minutes of learning.", metavar="F")] = None,
    holdout: Annotated[
        float | None, typer.Option(help="Share of the examples kept back to judge.", metavar="F")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page with pictures.", metavar="FILE.html")] = None,
    max_pixels: Annotated[int, typer.Option(help="Refuse pictures that declare more.", metavar="N")] = 10**9,
    device: Device = "auto",
    dtype: Dtype = DtypeName.auto,
    threads: Threads = None,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> int:
    """Teach a model a new kind of picture from a few examples; it never gets worse by those kept back.

    \b
    srkit adapt screenshots/ -o screens-x4.safetensors --report report.html
    srkit adapt pairs/ --shots 10 -m edsr-x2 -o mine-x2.safetensors --minutes 5
    srkit upscale INPUT OUTPUT -m screens-x4.safetensors
    """
    if report is not None and (report.is_dir() or not report.parent.is_dir()):
        raise UsageError(f"'{report}' cannot be written: give a file in a folder that exists.")
    recipe = AdaptRecipe(
        model=model,
        scale=scale,
        shots=shots,
        holdout=holdout,
        tune=TunePart(steps=steps, minutes=minutes),
        device=device,
        dtype=dtype.value,
        threads=threads,
        seed=seed,
        max_pixels=max_pixels,
    )
    console = Console(quiet=quiet, verbose=verbose)

    from srkit.tasks.adapt import AdaptJob, run

    result = run(AdaptJob(recipe, domain, output, with_gallery=report is not None), console)
    if report is not None:
        from srkit.metrics.reports import html_page

        html_page.write(result.report, report)
    if json:
        console.json(_document(result))
    else:
        _show(result, console)
    console.say(f"{result.output}: {result.steps} steps, {result.seconds / 60:.1f} min. {result.verdict}")
    return Exit.PARTIAL if result.failed else Exit.DONE


def _pairs(result: AdaptResult) -> list[tuple[ImageResult, ImageResult]]:
    return list(zip(result.before.images, result.after.images, strict=True))


def _show(result: AdaptResult, console: Console) -> None:
    """A row for each picture that judged, and one for their mean."""
    from srkit.metrics.display import display, format_value, printable

    def row(name: str, before: dict[str, float], after: dict[str, float]) -> list[str]:
        cells = [name]
        for metric in _METRICS:
            cells += [format_value(metric, before[metric]), format_value(metric, after[metric])]
        return [*cells, f"{after['psnr'] - before['psnr']:+.2f}"]

    labels = [display(metric).label for metric in _METRICS]
    heads = [f"{label} {when}" for label in labels for when in ("before", "after")]
    rows = [row(printable(old.name), dict(old.values), dict(new.values)) for old, new in _pairs(result)]
    rows.append(row(f"mean of {len(rows)}", result.before.mean, result.after.mean))
    columns = ("strip of" if result.strips else "picture", *heads, "gain")
    console.table(columns, rows, numbers=columns[1:])


def _document(result: AdaptResult) -> dict[str, Any]:
    from srkit.metrics.encoding import values_object

    before = result.before
    return {
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
        "failed": [{"name": name, "error": error} for name, error in result.failed],
        "versions": dict(before.versions),
    }

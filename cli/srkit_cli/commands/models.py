"""srkit models"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srkit.errors import Exit, UsageError
from srkit.io.names import shown_bytes
from srkit_cli import completion
from srkit_cli.console import Console
from srkit_cli.groups import option
from srkit_cli.options import Debug, Json, Offline, OverwriteFile, Quiet

if TYPE_CHECKING:
    from srkit.tasks.models import ModelFacts

app = typer.Typer(help="The models there are: shipped, fetched, and to fetch.")

Name = Annotated[str, typer.Argument(help="A name of `srkit models list`.", metavar="NAME")]


@app.callback(invoke_without_command=True)
def models(context: typer.Context, json: Json = False, debug: Debug = False) -> int:
    """The models there are: shipped, fetched, and to fetch (alone: as `list`)."""
    if context.invoked_subcommand is None:
        return list_(json)
    if json:
        raise UsageError(f"--json stands before '{context.invoked_subcommand}'; put it behind.")
    return Exit.DONE


@app.command("list")
def list_(json: Json = False, debug: Debug = False) -> int:
    """List the models: name, task, scale, size, licence, training recipe, measured quality."""
    from srkit.tasks.models import as_record, list_models

    console, found = Console(), list_models()
    if json:
        console.json([as_record(facts) for facts in found])
        return Exit.DONE
    columns = ("name", "task", "scale", "size", "licence", "recipe", "quality", "state", "source")
    rows = [
        (
            facts.name,
            facts.task,
            f"x{facts.scale}" if facts.scale else "",
            _bytes(facts.size),
            facts.licence,
            facts.recipe,
            _quality(facts.scores),
            facts.state,
            facts.source,
        )
        for facts in found
    ]
    console.table(columns, rows, numbers=("scale", "size"))
    return Exit.DONE


@app.command()
def show(
    model: Annotated[
        str,
        typer.Argument(
            help="A name of `srkit models list`, or a file.",
            metavar="NAME|FILE",
            autocompletion=completion.all_models,
        ),
    ],
    offline: Offline = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show all that is known of one model, here or in OpenModelDB, or of a file of weights."""
    from srkit.tasks.models import as_record, checksum_note, show_model

    console = Console()
    facts = show_model(model, console)
    if json:
        console.json(as_record(facts) | {"checksum": checksum_note(facts)})
        return Exit.DONE
    for label, value in _lines(facts, checksum_note(facts)):
        console.line(f"{label:<16}{value}")
    return Exit.DONE


@app.command()
def pull(
    what: Annotated[
        str,
        typer.Argument(
            help="A name, one of OpenModelDB (4x-Name), a URL, owner/repo, or hf:owner/repo/file@revision.",
            metavar="MODEL",
            autocompletion=completion.all_models,
        ),
    ],
    sha256: Annotated[str | None, option("What the file must have.", metavar="HEX")] = None,
    offline: Offline = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Fetch a model; a broken-off download goes on where it ended, and the checksum is checked."""
    from srkit.tasks.models import pull_model

    console = Console(quiet=quiet)
    pulled = pull_model(what, sha256, console)
    if json:
        console.json(asdict(pulled) | {"path": str(pulled.path)})
        return Exit.DONE
    if not pulled.fetched:
        console.say("It was there already, and its checksum is right.")
    console.line(str(pulled.path))
    return Exit.DONE


@app.command()
def search(
    query: Annotated[list[str], typer.Argument(help="Words that all must occur.", metavar="QUERY...")],
    limit: Annotated[
        int, typer.Option(help="Maximal number of models to show; 0 for all.", metavar="N", min=0)
    ] = 25,
    offline: Offline = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Search OpenModelDB, whose models `-m 4x-Name` and `pull` take; its index is fetched at most once a day.

    \b
    srkit models search photo jpeg
    srkit models search 4x anime --json
    """
    from srkit.tasks.models import search_models

    console = Console(quiet=quiet)
    found = search_models(" ".join(query), console)
    kept = found[:limit] if limit else found
    if json:
        console.json([asdict(model) for model in kept])
    else:
        columns = ("name", "scale", "architecture", "licence", "size", "fetched", "url", "sha256")
        rows = [
            (
                model.name,
                f"x{model.scale}",
                model.arch,
                model.licence or "not stated",
                _bytes(model.size),
                "by name" if model.fetchable else "by hand" if model.readable else "no",
                model.url,
                model.sha256,
            )
            for model in kept
        ]
        console.table(columns, rows, numbers=("scale", "size"))
    more = f"; --limit 0 shows the other {len(found) - len(kept)}" if len(found) > len(kept) else ""
    console.say(f"{len(found)} of OpenModelDB's models match{more}.")
    return Exit.DONE


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Only these.", metavar="[NAME]...", autocompletion=completion.all_models),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Check the SHA-256 of every shipped and fetched file; exit code 5 where one is wrong or missing."""
    from srkit.tasks.models import verify_models

    console, results = Console(quiet=quiet), verify_models(names or ())
    bad = [result for result in results if result.status != "ok"]
    if json:
        console.json([asdict(result) for result in results])
    else:
        console.table(("name", "status", "path"), [(r.name, r.status, r.path) for r in results])
    for result in bad:
        console.error(result.error or f"'{result.path}' is {_wrong(result.expected, result.found)}.")
    console.say(f"{len(results) - len(bad)} of {len(results)} files are right.")
    return Exit.RESOURCE if bad else Exit.DONE


@app.command()
def path(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A model; without, the folders.", metavar="[NAME]", autocompletion=completion.all_models
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Print where a model's file lies, or the folders in which models are looked for."""
    from srkit.tasks.models import model_path, places

    console = Console()
    if name is None:
        found = {label: str(folder) for label, folder in asdict(places()).items()}
        if json:
            console.json(found)
        else:
            for label, folder in found.items():
                console.line(f"{label:<10}{folder}")
        return Exit.DONE
    file = str(model_path(name))
    if json:
        console.json({"name": name, "path": file})
    else:
        console.line(file)
    return Exit.DONE


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A model's name, or a checkpoint file.", metavar="NAME|FILE")],
    output: Annotated[
        Path, option(".safetensors or .pth for spandrel, .onnx.", None, "--output", "-o", metavar="FILE")
    ],
    target: Annotated[str, option("spandrel or onnx.", None, "--for", metavar="PROGRAM")],
    overwrite: OverwriteFile = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Write a model for other programs: chaiNNer and ComfyUI (spandrel), or any that runs ONNX."""
    from srkit.tasks.model_files import export_model

    console = Console(quiet=quiet)
    exported = export_model(model, target, output, overwrite=overwrite)
    if json:
        console.json(
            {"model": exported.name, "target": target, "output": str(output), "scale": exported.info.scale}
        )
    else:
        console.line(str(output))
    return Exit.DONE


@app.command()
def blend(
    start: Annotated[str, typer.Argument(help="A model's name, or a file.", metavar="A")],
    end: Annotated[str, typer.Argument(help="Another of the same network.", metavar="B")],
    output: Annotated[Path, option("A .safetensors file.", None, "--output", "-o", metavar="FILE")],
    alpha: Annotated[float, option("Share of B, 0 to 1.", metavar="X")],
    overwrite: OverwriteFile = False,
    offline: Offline = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Write the weights between those of two models of one architecture, arguments and scale.

    \b
    srkit models blend runs/psnr/model.safetensors runs/gan/model.safetensors --alpha 0.4 -o between.safetensors
    """
    from srkit.tasks.model_files import blend_models

    console = Console(quiet=quiet)
    blended = blend_models(start, end, alpha, output, console, overwrite=overwrite)
    if json:
        header = blended.header
        console.json(
            {"output": str(output), "sha256": blended.sha256, "scale": blended.info.scale}
            | ({"licence": header.licence, **header.blended} if header else {})
        )
    else:
        console.line(str(output))
    return Exit.DONE


def _lines(facts: ModelFacts, checksum: str) -> list[tuple[str, Any]]:
    """Labels and values of the printed lines; unknown values are left out."""
    lines = [
        ("name", facts.name),
        ("summary", facts.summary),
        ("task", facts.task),
        ("scale", f"x{facts.scale}" if facts.scale else ""),
        ("architecture", facts.arch),
        ("parameters", f"{facts.parameters:,}" if facts.parameters else ""),
        ("size", _bytes(facts.size)),
        ("licence", facts.licence),
        ("state", facts.state),
        ("source", facts.source),
        ("path", facts.path),
        ("sha256", facts.sha256),
        ("checksum", checksum),
        ("recipe", facts.recipe),
        ("training data", facts.training_data),
    ]
    for protocol, sets in facts.scores.items():
        for name, values in sets.items():
            shown = ", ".join(f"{metric} {value:.4g}" for metric, value in values.items())
            lines.append((f"{protocol}", f"{name}: {shown}"))
    return [(label, value) for label, value in lines if value]


def _quality(scores: dict[str, Any]) -> str:
    """PSNR by data set in the classical protocol."""
    sets = scores.get("classical", {})
    return ", ".join(f"{name} {values['psnr']:.2f} dB" for name, values in sets.items() if "psnr" in values)


def _bytes(size: int | None) -> str:
    return "" if size is None else shown_bytes(size)


def _wrong(expected: str | None, found: str | None) -> str:
    if found is None:
        return "missing; install srkit again or pull the model again"
    return (
        f"damaged: its SHA-256 is {found}, expected {expected}; install srkit again or pull the model again"
    )

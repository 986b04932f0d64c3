"""Assembles the commands; `main` turns an error into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from srkit._version import __version__
from srkit.errors import Exit, SrkitError
from srkit_cli.commands import demo_image, doctor, models, schema, train, upscale

app = typer.Typer(
    name="srkit",
    help="Super-resolution: upscale pictures, measure the result, train and adapt models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("upscale")(upscale.upscale)
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.command("demo-image")(demo_image.demo_image)
app.command("doctor")(doctor.doctor)
app.command("schema")(schema.schema)

# What typer raises for a wrong flag or value; taken from typer's own class, since its base is not exported.
_FlagError: type[Exception] = typer.BadParameter.__mro__[2]


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"srkit {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version_: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with the code that spec and README promise."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        return int(app(arguments, prog_name="srkit", standalone_mode=False) or Exit.DONE)
    except SrkitError as error:
        return _say(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _say(
            "Interrupted; what was finished stays, and --skip-existing or --resume goes on from there.",
            Exit.INTERRUPTED,
        )
    except BrokenPipeError:
        # Whoever read our output has gone; writing to it again at exit would fail loudly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except _FlagError as error:
        sentence = getattr(error, "format_message", error.__str__)().rstrip(".")
        return _say(f"{sentence}; see `srkit {_command_of(arguments)}--help`.", Exit.USAGE)
    except MemoryError:
        return _say("Memory ran out; choose smaller pictures or a smaller --tile.", Exit.FAILED)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return _say(
            f"Something unforeseen failed ({text}); --debug shows where, and a report of it helps.",
            Exit.FAILED,
        )


def _command_of(arguments: list[str]) -> str:
    return f"{arguments[0]} " if arguments and not arguments[0].startswith("-") else ""


def _say(sentence: str, code: Exit) -> Exit:
    if "--debug" in sys.argv and sys.exc_info()[0] is not None:
        traceback.print_exc()
    # A file name may hold bytes that stderr cannot show.
    sys.stderr.write(f"srkit: {sentence}\n".encode("utf-8", "replace").decode("utf-8"))
    return code

"""Assembles the commands; `main` turns an error into one sentence and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from functools import cache
from typing import Any

import typer
import typer.main

from srkit._version import __version__
from srkit.errors import Exit, SrkitError
from srkit.io.names import unusable
from srkit_cli import completion
from srkit_cli.commands import (
    adapt,
    demo_image,
    doctor,
    estimate_kernel,
    eval,
    models,
    schema,
    train,
    upscale,
)
from srkit_cli.commands import completion as completion_command
from srkit_cli.console import Console, fill_streams, say_on_stderr, settle_streams
from srkit_cli.groups import GroupedCommand

app = typer.Typer(
    name="srkit",
    help="Super-resolution: upscale images, measure the result, train and adapt models.",
    epilog="srkit COMMAND --help prints the options of a command, srkit --version the version.",
    add_help_option=False,  # see _dispatch
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its panels take longer to import and draw than the rest of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("upscale", cls=GroupedCommand)(upscale.upscale)
app.command("eval", cls=GroupedCommand)(eval.eval)
app.command("adapt", cls=GroupedCommand)(adapt.adapt)
app.command("estimate-kernel", cls=GroupedCommand)(estimate_kernel.estimate_kernel)
app.command("train", cls=GroupedCommand)(train.train)
app.add_typer(models.app, name="models")
app.command("demo-image")(demo_image.demo_image)
app.command("doctor")(doctor.doctor)
app.command("schema")(schema.schema)
app.add_typer(completion_command.app, name="completion")

# Base class of typer's errors for invalid flags and values; taken from a subclass, since typer does not export it.
_FlagError: type[Exception] = typer.BadParameter.__mro__[2]


def main() -> None:
    """Run the command line and exit with the code that the specification and README define."""
    fill_streams()
    sys.exit(_run(sys.argv[1:]))


@cache
def known_flags() -> frozenset[str]:
    """Long flags of all commands."""
    waiting: list[Any] = [typer.main.get_command(app)]
    flags: set[str] = set()
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        flags |= {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}
    return frozenset(flags)


def _dispatch(arguments: list[str]) -> int:
    if os.environ.get(completion.VARIABLE):
        return completion.answer(app)
    # As typer options, these two would import pydantic at every start.
    if arguments[:1] == ["--version"]:
        Console().line(f"srkit {__version__}")
        return Exit.DONE
    if arguments[:1] in ([], ["--help"], ["-h"]):
        command = typer.main.get_command(app)
        Console().line(command.get_help(typer.Context(command, info_name="srkit")))
        return Exit.DONE if arguments else Exit.USAGE
    return int(app(arguments, prog_name="srkit", standalone_mode=False) or Exit.DONE)


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    if os.environ.get("SRKIT_OFFLINE"):
        from srkit.zoo.connectivity import offline_variable

        offline_variable()  # before anything imports the Hub's client, which then reads its own variable
    if debug:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("srkit").setLevel(logging.DEBUG)
    try:
        code = _dispatch(arguments)
        if code == Exit.INTERRUPTED:  # typer has caught the interrupt
            raise KeyboardInterrupt
        Console().flush()
    except BrokenPipeError:
        code = Exit.FAILED
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        sentence, code = _explained(error, arguments)
        if sentence:
            say_on_stderr(f"srkit: {sentence}")
    finally:
        settle_streams()
    return code


def _explained(error: BaseException, arguments: list[str]) -> tuple[str, Exit]:
    """Message and exit code of the exception that ended a command."""
    if isinstance(error, typer.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # typer takes any EOFError for the end of a dialogue
    if isinstance(error, SrkitError):
        return str(error), error.exit_code
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return (
            "Interrupted; what was finished stays, and --skip-existing or --resume goes on from there.",
            Exit.INTERRUPTED,
        )
    if isinstance(error, _FlagError):
        sentence = getattr(error, "format_message", error.__str__)().rstrip(".")
        sentence = sentence.replace("Value error, ", "")  # pydantic's prefix to typer's message on choices
        # Without arguments typer has shown the help, and the message is empty.
        return (f"{sentence}; see `srkit {_command_of(arguments)}--help`." if sentence else ""), Exit.USAGE
    # PyTorch's error, recognised without importing torch; the CPU allocator raises a plain RuntimeError.
    of_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and of_torch):
        return "Memory ran out; choose smaller images, a smaller --tile, or a smaller batch.", Exit.FAILED
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        error = unusable(error)
        return str(error), error.exit_code
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"Something unforeseen failed ({text}); --debug shows where, and a report of it helps.",
        Exit.FAILED,
    )


def _command_of(arguments: list[str]) -> str:
    return f"{arguments[0]} " if arguments and not arguments[0].startswith("-") else ""

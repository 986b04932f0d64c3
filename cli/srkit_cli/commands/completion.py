"""srkit completion"""

from __future__ import annotations

import os
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from srkit.errors import Exit
from srkit_cli.completion import PROGRAM, script
from srkit_cli.console import Console
from srkit_cli.options import Debug, Quiet

app = typer.Typer(help="Completion of commands, options and names by the shell.")


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


ShellName = Annotated[Shell, typer.Argument(help="The shell.", metavar="SHELL", show_choices=True)]


@app.command()
def show(shell: ShellName, debug: Debug = False) -> int:
    """Print a shell's completion script, to be sourced or saved by hand."""
    Console().line(script(shell.value))
    return Exit.DONE


@app.command()
def install(shell: ShellName, quiet: Quiet = False, debug: Debug = False) -> int:
    """Write a shell's completion script into the user's own folder, and have the shell read it."""
    from srkit.io.atomic import atomic_path

    target, rc, line = _places(shell)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as path:
        path.write_text(script(shell.value) + "\n", encoding="utf-8")
    console = Console(quiet=quiet)
    console.line(str(target))
    if rc is not None:
        added = _add_line(rc, line)
        console.say(f"{rc} {'now reads' if added else 'reads'} it.")
    console.say(f"Completion of {PROGRAM} works in {shell.value} shells that are opened from now on.")
    return Exit.DONE


def _places(shell: Shell) -> tuple[Path, Path | None, str]:
    """Path of the script, of the file that loads it (None: the shell does so by itself), and the line to add there."""
    home = Path.home()
    if shell is Shell.fish:
        return (
            _xdg("XDG_CONFIG_HOME", home / ".config") / "fish" / "completions" / f"{PROGRAM}.fish",
            None,
            "",
        )
    if shell is Shell.zsh:
        rc = Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"
        return home / ".zfunc" / f"_{PROGRAM}", rc, "fpath+=~/.zfunc; autoload -Uz compinit; compinit"
    target = _xdg("XDG_DATA_HOME", home / ".local" / "share") / "bash-completion" / "completions" / PROGRAM
    # bash-completion, if installed, finds the file by itself.
    name = shlex.quote(str(target))
    return target, home / ".bashrc", f"[ ! -r {name} ] || . {name}"


def _xdg(variable: str, default: Path) -> Path:
    named = os.environ.get(variable, "")
    return Path(named) if named.startswith("/") else default


def _add_line(rc: Path, line: str) -> bool:
    """Append a line unless it is present, without other changes to the file; True if it was appended."""
    from srkit.io.names import writing_failed

    try:
        text = rc.read_bytes() if rc.exists() else b""
        if line.encode() in text.splitlines():
            return False
        start = b"" if not text or text.endswith(b"\n") else b"\n"
        with rc.open("ab") as file:
            file.write(start + line.encode() + b"\n")
    except OSError as error:
        raise writing_failed(rc, error) from error
    return True

"""Shell completion: answers while a user types, and the names that options offer.

A shell's script (`srkit completion`) runs the program with `_SRKIT_COMPLETE` set; otherwise only the functions that
offer names are imported, and these import the rest when they are called.
"""

from __future__ import annotations

from collections.abc import Iterable

import typer

from srkit.errors import Exit

PROGRAM, VARIABLE = "srkit", "_SRKIT_COMPLETE"

# typer's own script, if autoloaded, offers nothing at a shell's first completion.
_ZSH = f"""#compdef {PROGRAM}
compdef _{PROGRAM} {PROGRAM}

_{PROGRAM}() {{
  eval $(env _TYPER_COMPLETE_ARGS="${{words[1,$CURRENT]}}" {VARIABLE}=complete_zsh {PROGRAM})
}}

if [ "$funcstack[1]" = "_{PROGRAM}" ]; then _{PROGRAM}; fi"""


def answer(app: typer.Typer) -> int:
    """Answer a shell on stdout; typer ends the process with the code that the shell's script expects."""
    from typer._completion_classes import completion_init  # as typer does with `add_completion=True`

    completion_init()
    try:
        app([], prog_name=PROGRAM, complete_var=VARIABLE)
    except Exception:  # a message would appear in the line that is being typed
        return Exit.FAILED
    return Exit.DONE


def script(shell: str) -> str:
    """Completion script of a shell."""
    from typer._completion_shared import get_completion_script

    if shell == "zsh":
        return _ZSH
    return get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell)


# -- names that are offered -----------------------------------------------------------------------------------------


def sr_models(incomplete: str) -> list[str]:
    """Models that upscale, and their families."""
    from srkit.zoo.manifest import Manifest

    return ["auto", *Manifest.load().families(), *_models("sr"), *_pulled()]


def evaluated_models(incomplete: str) -> list[str]:
    """Models that `eval` takes."""
    return ["bicubic", *sr_models(incomplete)]


def kernel_models(incomplete: str) -> list[str]:
    """Models that estimate kernels."""
    return _models("kernels")


def reconstructors(incomplete: str) -> list[str]:
    """Reconstructors for `adapt --self-supervised`."""
    return _models("reconstructor")


def all_models(incomplete: str) -> list[str]:
    """Every named model."""
    return [*_models(), *_pulled()]


def data_sets(incomplete: str) -> list[str]:
    """Names of data sets, after a comma too."""
    from srkit.data.benchmarks import HOW_TO_GET

    return _after_comma(incomplete, HOW_TO_GET)


def metrics(incomplete: str) -> list[str]:
    """Names of metrics, after a comma too."""
    from srkit.metrics.display import DISPLAY

    return _after_comma(incomplete, [name for name in DISPLAY if name != "lr_psnr"])


def recipes(incomplete: str) -> list[str]:
    """Recipes that are shipped."""
    from srkit.recipes.load import shipped_recipes

    return shipped_recipes()


def schemas(incomplete: str) -> list[str]:
    """Commands that have a schema."""
    from srkit_cli.commands.schema import known_schemas

    return known_schemas()


def domains(incomplete: str) -> list[str]:
    """Domains of `demo-image`."""
    from srkit.rendered.table import DOMAINS

    return list(DOMAINS)


def _models(task: str | None = None) -> list[str]:
    from srkit.zoo.manifest import Manifest

    return [entry.name for entry in Manifest.load() if task in (None, entry.task)]


def _pulled() -> list[str]:
    from srkit.zoo.cache import pulled_files

    return [path.stem for path in pulled_files()]


def _after_comma(incomplete: str, names: Iterable[str]) -> list[str]:
    before = incomplete[: incomplete.rfind(",") + 1]
    return [before + name for name in names if name not in before.split(",")]

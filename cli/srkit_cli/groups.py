"""Named groups of options in --help without Rich, which takes longer to import than everything else in --help."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

GROUPS = ("Input", "Size", "Model", "Metrics", "Training", "Output", "Report", "Gates", "Engine")
"""Values of an option's `rich_help_panel`, in the order of the help."""
INPUT, SIZE, MODEL, METRICS, TRAINING, OUTPUT, REPORT, GATES, ENGINE = GROUPS


def option(help: str, group: str | None = None, *flags: str, **more: Any) -> Any:
    """A `typer.Option` of a group; without `flags`, its flag is the parameter's name."""
    return typer.Option(*flags, help=help, rich_help_panel=group, **more)


class GroupedCommand(TyperCommand):
    """Command whose help lists its options by `rich_help_panel`; options without one come last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", *GROUPS, "Other")}
        for parameter in self.get_params(ctx):
            is_argument = parameter.param_type_name == "argument"
            name = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or "Other"
            if record := parameter.get_help_record(ctx):
                sections[name].append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

"""CONTRIBUTING.md and README.md tell the truth."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:srkit|cli|tests|weights|\.ci)/[^`]*)`", TEXT + README)))
)
def test_every_path_named_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_layers_are_those_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers")["layers"]
    named = TEXT.partition("`srkit_cli >")[2].partition("`")[0]
    words = [" ".join(part.split()) for part in f"srkit_cli >{named}".split(">")]
    assert words == [layer.replace("srkit.", "") for layer in layers]


def test_every_listed_thing_has_a_line_in_its_table() -> None:
    """A file beside a table that the table does not import would be one that nobody can use."""
    for folder, table in (("archs", "table.py"), ("losses", "table.py")):
        imported = _imports(ROOT / "srkit" / folder / table)
        shared = {"__init__", "table", "info", "blocks", "maconv", "rrdb", "trunks", "views"}
        # These compare maps and heads, or need more of a network or an image than two images.
        shared |= {"contrast", "criteria", "gan", "generator", "reconstruction"}
        # What kernel networks are given of an image, and what stands behind a trunk.
        shared |= {"consistency", "detail", "amf", "condition_encoders"}
        # Parts of a network; a discriminator of features and a text, and what it and a generator are to make small.
        shared |= {"text_fusion", "glyphs", "guidance", "matching"}
        files = {path.stem for path in (ROOT / "srkit" / folder).glob("*.py")} - shared
        assert {f"srkit.{folder}.{name}" for name in files} <= imported


def test_every_discriminator_and_criterion_has_a_line_in_its_table() -> None:
    from srkit.archs import discriminators
    from srkit.archs.table import DISCRIMINATORS

    classes = {
        value
        for name, value in vars(discriminators).items()
        if isinstance(value, type) and value.__module__ == discriminators.__name__ and name[0] != "_"
    }
    assert classes == set(DISCRIMINATORS.values())
    for table in ("DISCRIMINATORS", "CRITERIA"):
        assert f"`{table}`" in TEXT


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def test_readme_has_the_two_commands_on_its_first_screen() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)[:2]
    assert "srkit demo-image" in blocks[0]
    assert "srkit upscale" in blocks[0]
    assert blocks[1].strip().endswith("-m pytest")
    assert README.index(blocks[1]) < 1500


def test_readme_names_the_exit_codes() -> None:
    from srkit.errors import Exit

    for code in Exit:
        assert f"| {code.value} |" in README


def test_readme_uses_flags_that_exist() -> None:
    """Every long flag in the README's commands is one of the command's."""
    import typer.main
    from srkit_cli.app import app

    group = typer.main.get_command(app)
    for line in re.findall(r"^(?:torchrun.*-m srkit_cli|srkit) (.+)$", README, flags=re.MULTILINE):
        words = line.partition("#")[0].split()
        command = group.commands[words[0]]
        if hasattr(command, "commands"):
            command = command.commands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= known, line

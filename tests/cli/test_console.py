"""What reaches a terminal: names that could command it are escaped, and markup in them is text."""

from __future__ import annotations

import ast
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from srkit_cli.console import Console, with_flags

import srkit

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "line\nsrkit: all is well",
    "\r overwritten",
    "\u202egnp.exe",
)
MARKUP = ("[/red]", "[bold red]x[/bold red]", "[link=file:///etc/passwd]x", ":warning:", "%s {0}")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Streams = Callable[[], tuple[io.StringIO, io.StringIO]]


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def streams(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Puts streams in the place of stdout and stderr; to be called in the test, after pytest put its own."""
    for variable, value in (("TERM", "dumb"), ("NO_COLOR", "1"), ("COLUMNS", "200")):
        monkeypatch.setenv(variable, value)

    def put() -> tuple[io.StringIO, io.StringIO]:
        made = (Terminal(), Terminal()) if request.param else (io.StringIO(), io.StringIO())
        for name, stream in zip(("stdout", "stderr"), made, strict=True):
            monkeypatch.setattr(f"sys.{name}", stream)
        return made

    return put


@pytest.mark.parametrize("name", HOSTILE)
def test_messages_and_tables_command_no_terminal(streams: Streams, name: str) -> None:
    out, err = streams()
    console = Console(verbose=True)
    for say in (console.info, console.warn, console.error, console.say):
        say(f"'{name}' is broken")
    console.table(("name", "value"), [(name, 1)])
    if out.isatty():
        console.line(name.replace("\n", ""))
    assert err.getvalue().count("\n") == 4
    for character in "\x1b\x9b\x07\r\u202e":
        assert character not in out.getvalue() + err.getvalue()


@pytest.mark.parametrize("name", MARKUP)
def test_markup_in_names_is_text(streams: Streams, name: str) -> None:
    out, err = streams()
    console = Console()
    console.start(name, 2.0)
    console.warn(f"'{name}' is broken")
    console.advance()
    console.finish()
    console.table(("name", "value"), [(name, 1)])
    assert f"'{name}' is broken" in err.getvalue()
    assert name in out.getvalue()


@pytest.mark.parametrize("name", ["\x1b[2J.png", "line\nsrkit: all is well.png", "[red].png"])
def test_names_of_files(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"no image")
    save(tmp_path / "in" / "good.png")
    ran = upscale(tmp_path / "in", tmp_path / "out", "--json")
    assert ran.code == 3
    assert "\x1b" not in ran.err + ran.out
    assert [line for line in ran.err.splitlines() if line.startswith("srkit: ")] == []
    assert {os.path.basename(r["input"]) for r in ran.records} == {name, "good.png"}  # noqa: PTH119


def test_settings_are_written_as_flags(streams: Streams) -> None:
    out, err = streams()
    console = Console()
    console.warn("use a smaller `tile`, or raise `max_pixels`; `srkit doctor` says more")
    console.json({"input": "`tile`", "files": [{"error": "give `hr`", "warnings": ["`max_pixels` is 0"]}]})
    assert (
        err.getvalue() == "warning: use a smaller --tile, or raise --max-pixels; `srkit doctor` says more\n"
    )
    assert json.loads(out.getvalue()) == {
        "input": "`tile`",
        "files": [{"error": "give --hr", "warnings": ["--max-pixels is 0"]}],
    }


def test_words_that_are_no_settings_stay() -> None:
    for text in (
        "expected a folder that `save_pretrained` of diffusers wrote",
        "ValueError: `lengths` must be sorted",
        "'`model`.png' is broken",
        "the prompt is 'a `scale` model', and the image's 'own `tile`'",
    ):
        assert with_flags(text) == text
    assert with_flags("the images' prompts: add `prompts` to 'it's a `model`'; see `hr`") == (
        "the images' prompts: add --prompts to 'it's a `model`'; see --hr"
    )


def test_words_in_backticks_in_messages_are_settings() -> None:
    """Each such word in the library's strings, but where one is named that is not the program's."""
    found = {
        word
        for path in Path(srkit.__file__).parent.rglob("*.py")
        for text in _messages(ast.parse(path.read_text(encoding="utf-8")))
        for word in re.findall(r"`([a-z][a-z0-9_]*)`", text)
    }
    assert "data_root" in found
    strangers = {word for word in found if with_flags(f"`{word}`") == f"`{word}`"}
    assert strangers == {"save_pretrained"}


def _messages(tree: ast.Module) -> Iterator[str]:
    """Strings that are no docstrings."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value

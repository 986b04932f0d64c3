"""What reaches a terminal: names that could command it are escaped, and markup in them is text."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from srkit_cli.console import Console

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
    console.json({"input": "`tile`", "files": [{"error": "give `hr`", "warnings": ["`shard_size` is 0"]}]})
    assert (
        err.getvalue() == "warning: use a smaller --tile, or raise --max-pixels; `srkit doctor` says more\n"
    )
    assert json.loads(out.getvalue()) == {
        "input": "`tile`",
        "files": [{"error": "give --hr", "warnings": ["--shard-size is 0"]}],
    }

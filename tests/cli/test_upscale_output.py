"""`srkit upscale`: what goes to which stream, JSON, standard input and output."""

from __future__ import annotations

import json
import os
import pty
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srkit.io.read import probe

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


@pytest.fixture
def folder(save: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with a good image, one of 16 bit and a broken one."""
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "b.png", depth=16)
    (tmp_path / "in" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return tmp_path / "in"


def test_messages_go_to_stderr(upscale: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    ran = upscale(folder, tmp_path / "out", "-f", "jpg")
    assert (ran.code, ran.out) == (3, "")
    first, second, last = ran.err.splitlines()
    assert first.startswith("warning:")
    assert "b.png" in first
    assert "8 bits" in first
    assert second.startswith("error:")
    assert "c.png" in second
    assert last == "2 done, 1 failed"
    assert "\r" not in ran.err
    assert "\x1b" not in ran.err  # no progress bar: stderr is no terminal here


def test_quiet(upscale: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    for flag in ("-q", "--quiet"):
        ran = upscale(folder, tmp_path / "out", "-f", "jpg", "--overwrite", flag)
        assert (ran.code, ran.out) == (3, "")
        assert re.fullmatch(r"error: .*c\.png.*\n", ran.err)
    ran = upscale(folder / "a.png", tmp_path / "a.png", "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_verbose(upscale: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    ran = upscale(folder / "a.png", tmp_path / "a.png", "-v")
    assert (ran.code, ran.out) == (0, "")
    assert re.search(r"a\.png: 48 x 32, [0-9.]+ s\n", ran.err)


def test_json_lines(
    upscale: Callable[..., Any], folder: Path, schema: Callable[[str], Any], tmp_path: Path
) -> None:
    first = upscale(folder / "a.png", tmp_path / "out", "--json")
    second = upscale(folder, tmp_path / "out", "--json", "--skip-existing", "-f", "png")
    assert (first.code, second.code) == (0, 3)
    assert second.status == {"a.png": "skipped", "b.png": "done", "c.png": "failed"}
    for record in (*first.records, *second.records):
        schema("upscale").validate(record)
        assert Path(record["output"]).parent == tmp_path / "out"
    (done,) = first.records
    assert (done["width"], done["height"], done["scale"], done["dtype"]) == (48, 32, 2.0, "float32")
    assert (done["device"], done["error"]) == ("cpu", None)
    failed = second.records[2]
    assert "c.png" in failed["error"]
    assert (failed["width"], failed["models"]) == (None, [])
    warned = upscale(folder / "b.png", tmp_path / "b.jpg", "--json").records[0]
    assert "8 bits" in warned["warnings"][0]


def test_schema_ships(call: Callable[..., Any], schema: Callable[[str], Any]) -> None:
    for name in ("upscale", "upscale-plan"):
        ran = call("schema", name)
        assert ran.code == 0
        assert json.loads(ran.out) == schema(name).schema
        schema(name).check_schema(json.loads(ran.out))


def test_debug_shows_a_traceback(
    server: Any, call: Callable[..., Any], folder: Path, edsr_weights: Path, tmp_path: Path
) -> None:
    missing = ("upscale", tmp_path / "nothing.png", tmp_path / "out", "-m", edsr_weights)
    assert "Traceback" not in call(*missing).err
    ran = call(*missing, "--debug")
    assert ran.code == 2
    assert "Traceback" in ran.err
    assert "UsageError" in ran.err
    ran = server.run("upscale", folder, tmp_path / "out", "-m", edsr_weights, "--debug")
    assert ran.code == 3
    assert "Traceback" in ran.err
    assert "ImageError" in ran.err


def terminal(run: Callable[[str], Any]) -> tuple[Any, str]:
    """Run with a terminal, by its name; what it returns and what the terminal showed."""
    master, slave = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(master, 65536):
                shown.append(data)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    result = run(os.ttyname(slave))
    os.close(slave)
    reader.join(timeout=300)
    os.close(master)
    return result, b"".join(shown).decode(errors="replace")


def test_progress_on_a_terminal(server: Any, folder: Path, edsr_weights: Path, tmp_path: Path) -> None:
    arguments = ("upscale", folder, "-m", edsr_weights, "--json", "--overwrite", tmp_path / "out")
    colours = {"TERM": "xterm-256color", "COLORTERM": "", "NO_COLOR": ""}
    stdout = tmp_path / "stdout"

    def run(*more: str, **environment: str) -> tuple[Any, str]:
        return terminal(
            lambda tty: server.run(
                *arguments, *more, stderr=tty, stdout=stdout, environment=colours | environment
            )
        )

    ran, shown = run()
    assert ran.code == 3
    assert "upscaling" in shown
    assert COLOUR.search(shown)
    assert "2 done, 1 failed" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    # The bar has stderr; data stay on stdout.
    assert [json.loads(line)["status"] for line in stdout.read_text().splitlines()] == [
        "done",
        "done",
        "failed",
    ]
    _, shown = run(NO_COLOR="1")
    assert "upscaling" in shown
    assert not COLOUR.search(shown)
    _, shown = run("--quiet")
    assert "upscaling" not in shown
    assert "\x1b" not in shown


def test_standard_streams(server: Any, folder: Path, edsr_weights: Path, tmp_path: Path) -> None:
    source, out, flags = folder / "a.png", tmp_path / "stdout", ("-m", edsr_weights, "--dtype", "fp32")
    assert server.run("upscale", source, tmp_path / "file.png", *flags).code == 0
    right = (tmp_path / "file.png").read_bytes()
    for given, stdin in ((source, "/dev/null"), ("-", source)):
        ran = server.run("upscale", given, "-", *flags, stdin=stdin, stdout=out)
        assert (ran.code, ran.err) == (0, "1 done\n")
        assert out.read_bytes() == right
    ran = server.run("upscale", "-", tmp_path / "new" / "b.png", "--json", *flags, stdin=source)
    assert (ran.code, ran.records[0]["input"], ran.records[0]["status"]) == (0, "-", "done")
    assert (tmp_path / "new" / "b.png").read_bytes() == right
    ran = server.run("upscale", "-", "-", "-f", "webp", "-s", "3", *flags, stdin=source, stdout=out)
    assert ran.code == 0
    info = probe(out.read_bytes())
    assert (info.format, info.width, info.height) == ("webp", 72, 48)


def test_standard_input_obeys_the_other_flags(
    server: Any, folder: Path, edsr_weights: Path, schema: Callable[[str], Any], tmp_path: Path
) -> None:
    source, target = folder / "a.png", tmp_path / "b.png"
    arguments = ("upscale", "-", target, "-m", edsr_weights, "--json")
    ran = server.run(*arguments, "--plan", stdin=source)
    assert ran.code == 0
    schema("upscale-plan").validate(ran.records[0])
    assert (ran.records[0]["pictures"][0]["input"], target.exists()) == ("-", False)
    assert server.run(*arguments, "--save-recipe", stdin=source).code == 0
    saved = json.loads((tmp_path / "b.png.srkit.json").read_text())
    assert saved["command"] == ["srkit", *map(str, arguments), "--save-recipe"]
    ran = server.run(*arguments, stdin=source)
    assert ran.out == ""
    ran.refused(2, target)
    ran = server.run(*arguments, "--skip-existing", stdin=source)
    assert (ran.code, ran.records[0]["status"]) == (0, "skipped")


def test_standard_input_that_is_no_image(
    server: Any, edsr_weights: Path, schema: Callable[[str], Any], tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("words")
    arguments = ("upscale", "-", tmp_path / "b.png", "-m", edsr_weights, "--json")
    for stdin in ("/dev/null", tmp_path / "text"):
        ran = server.run(*arguments, stdin=stdin)
        assert ran.code == 1
        assert ran.records[0]["status"] == "failed"
        schema("upscale").validate(ran.records[0])
        assert "standard input" in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("{source}", "-", "--json"), "--json"),
        (("{folder}", "-"), "stdout"),
        (("{folder}/*.png", "-"), "stdout"),
        (("{folder}/nothing.png", "-"), "nothing.png"),
        (("{source}", "-", "--suffix", "_x2"), "--suffix"),
        (("{source}", "-", "--save-recipe"), "--save-recipe"),
        (("-", "{folder}"), "standard input"),
        (("-", "{folder}/new"), "standard input"),
    ],
)
def test_streams_that_make_no_sense(
    server: Any, folder: Path, edsr_weights: Path, arguments: tuple[str, ...], named: str
) -> None:
    filled = [a.format(source=folder / "a.png", folder=folder) for a in arguments]
    ran = server.run("upscale", *filled, "-m", edsr_weights, stdin=folder / "a.png")
    assert ran.out == ""
    ran.refused(2, named)
    assert len(list(folder.iterdir())) == 3


def test_standard_output_that_is_full(server: Any, folder: Path, edsr_weights: Path, tmp_path: Path) -> None:
    for arguments in (
        ("upscale", folder / "a.png", "-", "-m", edsr_weights),
        ("upscale", folder, tmp_path / "out", "--plan", "-m", edsr_weights),
        ("--version",),
        ("schema", "upscale"),
    ):
        child = server.start(*arguments, stdout="/dev/full")
        assert child.wait_code() == 1
        assert re.fullmatch(r"srkit: Standard output cannot be written .*\n", child.err), child.err


def test_standard_output_that_is_closed(
    server: Any, folder: Path, edsr_weights: Path, tmp_path: Path
) -> None:
    closed = "import os; r, w = os.pipe(); os.dup2(w, 1); os.close(r)"
    for arguments in (
        ("upscale", folder, tmp_path / "out", "--json", "-m", edsr_weights),
        ("upscale", folder / "a.png", "-", "-m", edsr_weights),
        ("--version",),
    ):
        child = server.start(*arguments, setup=closed)
        assert (child.wait_code(), child.err) == (1, "")

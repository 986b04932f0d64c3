"""`srkit upscale`: values, paths and combinations that are refused before any work, with exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Ranges of numbers are tested with the recipe; one of them stands here for all.
BAD_VALUES = [
    "--scale 16.01",
    "--scale four",
    "--tile 15",
    "--tile 64.5",
    "--tile large",
    "--overlap much",
    "--width 385",
    "--format gif",
    "--seed 99999999999999999999",
    "--device cuda:9",
    "--device tpu",
    "--device cuda:x",
    "--dtype fp8",
    "--dtype fp16 --device cpu",
    "--overwrite --skip-existing",
    "--suffix a/b",
    "--bogus",
    "one-too-many",
]


@pytest.mark.parametrize("flags", BAD_VALUES)
def test_bad_value(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path, flags: str
) -> None:
    source = save(tmp_path / "a.png")
    ran = upscale(source, tmp_path / "out" / "a.png", *flags.split())
    asked = flags.split()[0]
    assert ran.out == ""
    ran.refused(2)
    assert asked.lstrip("-") in ran.err or asked == "--width"
    assert sorted(tmp_path.iterdir()) == [source]


def test_missing_argument(call: Callable[..., Any]) -> None:
    ran = call("upscale")
    ran.refused(2, "INPUT", "srkit upscale --help")


def test_missing_input(upscale: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("nothing.png", "nothing", "nothing*.png", "x" * 300):
        ran = upscale(tmp_path / name, tmp_path / "out")
        assert ran.out == ""
        ran.refused(2, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_link_to_itself_as_input(upscale: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    ran = upscale(tmp_path / "loop.png", tmp_path / "out")
    ran.refused(2, tmp_path / "loop.png")


@pytest.mark.parametrize("output", ["in", "in/out", "in/deep/out", "link", "link/out", "x/../in/out"])
def test_output_inside_input(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path, output: str
) -> None:
    save(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to("in")
    ran = upscale(tmp_path / "in", tmp_path / output, "--overwrite", "--suffix", "_x2")
    ran.refused(2, tmp_path / "in")
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["a.png"]


def test_output_is_the_input(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to("in")
    before = source.read_bytes()
    for given, output in (
        (source, source),
        (source, tmp_path / "in"),
        (source, tmp_path / "link"),
        (source, tmp_path / "link" / "a.png"),
        (tmp_path / "link" / "a.png", source),
        (tmp_path / "in" / "*.png", tmp_path / "in"),
        (tmp_path / "link" / "*", tmp_path / "in"),
    ):
        ran = upscale(given, output, "--overwrite")
        ran.refused(2, "a.png")
    assert source.read_bytes() == before


def test_beside_the_input(upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(tmp_path / "a.png")
    assert upscale(source, tmp_path, "--suffix", "_x2").code == 0
    assert upscale(source, tmp_path, "--format", "jpg").code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.png", "a_x2.png"]


def test_several_images_to_one_file(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "in" / "a.png")
    file = save(tmp_path / "file.png")
    for given in (tmp_path / "in", tmp_path / "in" / "*"):
        ran = upscale(given, file, "--overwrite")
        ran.refused(2, file)


def test_a_file_where_a_folder_is_needed(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png")
    ran = upscale(source, tmp_path / "a.png" / "b.png")
    ran.refused(2, tmp_path / "a.png")


def test_existing_outputs_are_refused_before_any_work(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / "in" / f"{name}.png")
    last = save(tmp_path / "out" / "c.png")
    before = last.read_bytes()
    ran = upscale(tmp_path / "in", tmp_path / "out")
    ran.refused(2, last, "--overwrite", "--skip-existing")
    assert (list((tmp_path / "out").iterdir()), last.read_bytes()) == ([last], before)
    (tmp_path / "out" / "b.png").symlink_to("nowhere")
    upscale(tmp_path / "in", tmp_path / "out").refused(2, tmp_path / "out" / "b.png", 1)


def test_names_that_contradict(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png")
    for name, flags, named in (
        ("b.png", ("--format", "jpg"), ("b.png", "--format", "jpg")),
        ("b.xyz", (), ("b.xyz", ".png", ".jpg", ".webp", ".tif", ".avif")),
        ("b.png", ("--suffix", "_x2"), ("--suffix",)),
    ):
        upscale(source, tmp_path / name, *flags).refused(2, *named)
    assert list(tmp_path.iterdir()) == [source]


def test_device_or_pipe_as_input(upscale: Callable[..., Any], tmp_path: Path) -> None:
    ran = upscale("/dev/null", tmp_path / "out.png")
    ran.refused(2, "/dev/null", "standard input")


def test_no_command(call: Callable[..., Any]) -> None:
    ran = call()
    assert ran.code == 2
    assert "upscale" in ran.out
    assert ran.err == ""
    ran = call("upscal")
    ran.refused(2, "upscal")

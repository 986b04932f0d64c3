"""What the tests past one process share: a folder of images, and what the local engine makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from srkit_cli.app import _run

from srkit.io.image import DecodedImage
from srkit.io.write import write_image


def files(folder: Path) -> dict[str, bytes]:
    """The files of a tree but hidden ones, by their relative paths."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Any]) -> Path:
    """Fourteen images, two of which become files of one name, in two folders."""
    folder = tmp_path_factory.mktemp("scale") / "in"
    (folder / "below").mkdir(parents=True)
    for n in range(12):
        name = f"below/{n}.png" if n % 3 == 0 else f"{n}.png"
        write_image(DecodedImage(rendered(16 + n, 24, n % 2)), folder / name, format="png")
    for format, extension in (("png", "png"), ("jpg", "jpg")):
        write_image(DecodedImage(rendered(20, 24)), folder / f"twice.{extension}", format=format)
    return folder


@pytest.fixture
def upscale(edsr_weights: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `srkit upscale --json` to PNG in this process: exit code, records, stderr."""

    def run(*arguments: object) -> tuple[int, list[dict[str, Any]], str]:
        capsys.readouterr()
        options = ("-m", edsr_weights, "--dtype", "fp32", "--format", "png", "-r", "--json")
        code = _run([str(one) for one in ("upscale", *options, *arguments)])
        said = capsys.readouterr()
        return int(code), [json.loads(line) for line in said.out.splitlines()], said.err

    return run


@pytest.fixture(scope="session")
def expected(photos: Path, edsr_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the local engine writes."""
    out = tmp_path_factory.mktemp("local")
    options = ("-m", edsr_weights, "--dtype", "fp32", "--format", "png", "-r", "-q")
    assert _run([str(one) for one in ("upscale", *options, photos, out)]) == 0
    return files(out)


@pytest.fixture
def damaged(photos: Path, tmp_path: Path) -> Path:
    """A folder of two images, one of which is damaged."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    data = (photos / "1.png").read_bytes()
    (folder / "good.png").write_bytes(data)
    (folder / "bad.png").write_bytes(data[: len(data) // 2])
    return folder


@pytest.fixture
def evaluate(
    photos: Path, edsr_weights: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Any]:
    """Runs `srkit eval` in this process on seven images: one is too small, one is damaged;
    by a network and by bicubic: exit code, all that is written by name, stderr."""
    folder, data = tmp_path / "data/Own/HR", (photos / "1.png").read_bytes()
    folder.mkdir(parents=True)
    for n in (1, 4, 5, 7, 8, 10):
        (folder / f"{n}.png").write_bytes((photos / f"{n}.png").read_bytes())
    (folder / "damaged.png").write_bytes(data[:20])

    def run(out: Path, *arguments: object) -> tuple[int, dict[str, bytes], str]:
        out.mkdir()
        options: list[object] = [
            "--data-root",
            tmp_path / "data",
            "--dataset",
            "Own",
            "--dtype",
            "fp32",
            "--json",
        ]
        options += ["-m", edsr_weights, "-m", "bicubic", "-s", 4, "--save-images", out / "sr"]
        for form in ("jsonl", "csv", "junit", "markdown"):
            options += [f"--{form}", out / form]
        capsys.readouterr()
        code = _run([str(one) for one in ("eval", *options, *arguments)])
        said = capsys.readouterr()
        (out / "json").write_text(said.out)
        return int(code), files(out), said.err

    return run


def assert_sentence(err: str, *named: str) -> None:
    assert err.startswith("srkit: "), err
    assert err.count("\n") == 1, err
    assert not [name for name in named if name not in err], err

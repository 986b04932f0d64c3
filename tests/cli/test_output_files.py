"""The files that `srkit` makes: their modes, and what becomes of links that stand where they go."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_disk_full import ADAPT, ESTIMATE, EVAL, RECIPE

COMMANDS = [
    pytest.param((*EVAL, "--report", "{out}/made"), id="HTML report"),
    pytest.param((*EVAL, "--csv", "{out}/made"), id="CSV"),
    pytest.param((*EVAL, "--junit", "{out}/made"), id="JUnit"),
    pytest.param((*EVAL, "--baseline", "{out}/made", "--update-baseline"), id="baseline"),
    pytest.param((*ADAPT, "-o", "{out}/made.safetensors", "--overwrite"), id="adapted weights"),
    pytest.param((*ESTIMATE, "{images}/a.png", "{out}/made.npz", "--overwrite"), id="kernel map"),
    pytest.param(("demo-image", "{out}/made.png", "--overwrite"), id="demo image"),
    pytest.param(
        ("upscale", "{images}/a.png", "{out}/made.png", "-m", "{model}", "--overwrite", "--save-recipe"),
        id="upscaled image",
    ),
    pytest.param(("train", "{root}/tiny.toml", "--data", "{images}", "-o", "{out}"), id="training"),
]


@pytest.fixture
def run(
    server: Any,
    save: Callable[..., Path],
    edsr_weights: Path,
    dkenet_weights: Path,
    nbsr_weights: Path,
    tmp_path: Path,
) -> Callable[..., Any]:
    """Runs a command with its placeholders filled in; {out} is tmp_path/out."""
    for seed, name in enumerate("abc"):
        save(tmp_path / "Own" / "HR" / f"{name}.png", 72, 64, seed=seed)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "out").mkdir()
    places = {
        "out": tmp_path / "out",
        "images": tmp_path / "Own" / "HR",
        "root": tmp_path,
        "model": edsr_weights,
    }
    places |= {"kernels": dkenet_weights, "restorer": nbsr_weights}

    def run(arguments: tuple[str, ...], **options: Any) -> Any:
        if arguments[0] == "adapt":
            arguments = tuple(a for a in arguments if a != "--overwrite")
        return server.run(*(argument.format(**places) for argument in arguments), **options)

    return run


@pytest.mark.parametrize("arguments", COMMANDS)
def test_modes_follow_the_umask(run: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run(arguments, setup="import os; os.umask(0o027)")
    assert ran.code == 0, ran.err
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files}
    assert set(modes.values()) == {oct(0o640)}, modes


@pytest.mark.parametrize("arguments", COMMANDS[:-1])
def test_a_link_is_replaced_and_what_it_leads_to_stays(
    run: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    name = next(a for a in arguments if a.startswith("{out}")).removeprefix("{out}/")
    made = tmp_path / "out" / name
    made.symlink_to(outside)
    ran = run(arguments)
    assert ran.code in (0, 2), ran.err
    assert outside.read_text() == "precious"
    if ran.code == 0:
        assert made.is_file()
        assert not made.is_symlink()


def test_a_training_follows_no_link_of_its_log(run: Callable[..., Any], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (tmp_path / "out" / "metrics.jsonl").symlink_to(outside)
    ran = run(("train", "{root}/tiny.toml", "--data", "{images}", "-o", "{out}"))
    assert ran.code == 1
    assert "metrics.jsonl" in ran.sentence
    assert outside.read_text() == "precious"


def test_an_output_folder_may_be_a_link(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "linked").symlink_to(tmp_path / "elsewhere")
    ran = run(("upscale", "{images}", "{out}/linked", "-m", "{model}"))
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["a.png", "b.png", "c.png"]
    (tmp_path / "out" / "inside").symlink_to(tmp_path / "Own" / "HR")
    ran = run(("upscale", "{images}", "{out}/inside", "-m", "{model}", "--overwrite"))
    assert ran.code == 2

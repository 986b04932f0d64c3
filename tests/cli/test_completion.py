"""Completion as shells ask for it, `srkit completion`, and the groups of options in --help."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from srkit_cli.app import app
from srkit_cli.groups import GROUPS

EXPECTED: dict[tuple[str, ...], set[str]] = {
    ("up",): {"upscale"},
    ("",): {"upscale", "eval", "adapt", "estimate-kernel", "train", "models", "completion"},
    ("upscale", "--over"): {"--overlap", "--overwrite"},
    ("upscale", "-m", "edsr-"): {"edsr-x2", "edsr-x4", "edsr-x8"},
    ("upscale", "a.png", "b.png", "--model", "real-"): {
        "real-light",
        "real-light-x4",
        "real-pixels",
        "real-pixels-x4",
        "real-x4",
    },
    ("upscale", "--dtype", "b"): {"bf16"},
    ("eval", "-m", "bi"): {"bicubic"},
    ("eval", "--dataset", "Set5,U"): {"Set5,Urban100"},
    ("eval", "--metrics", "psnr,s"): {"psnr,ssim"},
    ("adapt", "--self-supervised", "--reconstructor", ""): {"reconstructor-x4"},
    ("estimate-kernel", "-m", ""): {"dkenet-x2", "dkenet-x4"},
    ("train", "edsr-x"): {"edsr-x2", "edsr-x3", "edsr-x4", "edsr-x8"},
    ("models", "s"): {"show", "search"},
    ("models", "show", "com"): {"compact"},
    ("schema", "upscale"): {"upscale", "upscale-plan"},
    ("demo-image", "--domain", "man"): {"manga"},
    ("completion", "install", ""): {"bash", "zsh", "fish"},
    ("upscale", "a.p"): set(),  # left to the shell, which offers files
}
"""Words after `srkit`, the last one half typed, and what is offered."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and `srkit` on the path."""
    program = tmp_path / "bin" / "srkit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m srkit_cli "$@"\n')
    program.chmod(0o755)
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR"):
        monkeypatch.delenv(variable, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return home


# -- what a shell asks ----------------------------------------------------------------------------------


def asked(shell: str, words: tuple[str, ...]) -> dict[str, str]:
    """The environment that a shell's script sets."""
    line = " ".join(("srkit", *words))
    by_shell = {
        "bash": {"COMP_WORDS": "\n".join(("srkit", *words)), "COMP_CWORD": str(len(words))},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    return {"_SRKIT_COMPLETE": f"complete_{shell}", **by_shell[shell]}


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        *(("bash", words) for words in EXPECTED),
        *((shell, words) for shell in ("zsh", "fish") for words in list(EXPECTED)[:5]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_offered(shell: str, words: tuple[str, ...], server: Any) -> None:
    ran = server.run(environment=asked(shell, words))
    assert (ran.code, ran.err) == (0, "")
    if shell == "zsh":
        found = {
            match.replace('""', '"')
            for match in re.findall(r'^(?:_arguments .*\(\()?"([^"]*)"', ran.out, re.M)
        }
    else:
        found = {line.partition("\t")[0] for line in ran.out.splitlines() if line}
    assert found >= EXPECTED[words] if words == ("",) else found == EXPECTED[words]


def test_an_answer_imports_nothing_heavy(program: Callable[..., Any]) -> None:
    timed = ("-X", "importtime")
    ran = program(interpreter=timed, environment=asked("bash", ("upscale", "-m", "edsr-x")))
    assert ran.out.splitlines() == ["edsr-x2", "edsr-x4", "edsr-x8"]
    modules = {line.rpartition("|")[2].strip() for line in ran.err.splitlines()}
    assert modules & {"torch", "numpy", "pyvips", "cv2", "PIL", "rich.console"} == set()
    assert "srkit.zoo.manifest" in modules
    usual = program("--help", interpreter=timed)
    modules = {line.rpartition("|")[2].strip() for line in usual.err.splitlines()}
    assert "srkit.zoo.manifest" not in modules


def test_what_goes_wrong_is_not_said_into_the_line(server: Any, tmp_path: Path) -> None:
    ran = server.run(environment={**asked("bash", ("upscale", "-m", "")), "COMP_CWORD": "many"})
    assert (ran.code, ran.out, ran.err) == (1, "", "")


# -- in shells ------------------------------------------------------------------------------------------


def test_in_bash(home: Path, child_environment: dict[str, str]) -> None:
    """What a new interactive bash has after `install`."""
    environment = child_environment | {"HOME": str(home), "PATH": os.environ["PATH"]}
    subprocess.run(
        ["srkit", "completion", "install", "bash"], env=environment, check=True, capture_output=True
    )
    asking = "".join(
        f"COMP_WORDS=(srkit {' '.join(repr(word) for word in words)}); COMP_CWORD={len(words)}; COMPREPLY=(); "
        '_srkit_completion srkit; echo "${COMPREPLY[@]}"\n'
        for words in list(EXPECTED)[:6]
    )
    ran = subprocess.run(
        ["bash", "-ic", f"complete -p srkit\n{asking}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    registered, *answers = ran.stdout.splitlines()
    assert registered == "complete -o default -F _srkit_completion srkit"
    for words, answer in zip(EXPECTED, answers, strict=False):
        assert set(answer.split()) >= EXPECTED[words]
    assert len(answers) == 6


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_in_fish(home: Path, child_environment: dict[str, str]) -> None:
    environment = child_environment | {"HOME": str(home), "PATH": os.environ["PATH"]}
    subprocess.run(
        ["srkit", "completion", "install", "fish"], env=environment, check=True, capture_output=True
    )
    for words in (("up",), ("upscale", "-m", "edsr-")):
        line = " ".join(("srkit", *words))
        ran = subprocess.run(
            ["fish", "-c", f"complete -C '{line}'"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert {offered.partition("\t")[0] for offered in ran.stdout.splitlines()} == EXPECTED[words]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_in_zsh(home: Path, child_environment: dict[str, str]) -> None:
    """The first completion of a new shell, in a terminal of its own."""
    environment = child_environment | {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}
    subprocess.run(
        ["srkit", "completion", "install", "zsh"], env=environment, check=True, capture_output=True
    )
    script = (
        "zmodload zsh/zpty; zpty inner zsh -i; zpty -w inner ''; sleep 2; zpty -w -n inner $'srkit upsc\\t'; "
        "for i in {1..100}; do zpty -r -t inner part; text+=$part; [[ $text == *'srkit upscale '* ]] && break; "
        "sleep 0.2; done; echo $text"
    )
    ran = subprocess.run(
        ["zsh", "-fc", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert "srkit upscale " in ran.stdout


# -- srkit completion -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "file", "rc"),
    [
        ("bash", ".local/share/bash-completion/completions/srkit", ".bashrc"),
        ("zsh", ".zfunc/_srkit", ".zshrc"),
        ("fish", ".config/fish/completions/srkit.fish", None),
    ],
)
@pytest.mark.parametrize("before", [None, b"", b"export A=1", b"export A=1\n\nexport B=\xff\n"])
def test_install(
    shell: str, file: str, rc: str | None, before: bytes | None, home: Path, call: Callable[..., Any]
) -> None:
    if rc is not None and before is not None:
        (home / rc).write_bytes(before)
    ran = call("completion", "install", shell)
    assert (ran.code, ran.out) == (0, f"{home / file}\n")
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert set(files) == {home / name for name in (file, rc) if name}
    assert (home / file).read_text() == call("completion", "show", shell).out
    if rc is not None:
        text = files[home / rc]
        assert text.startswith(before or b"")
        assert len(text.removeprefix(before or b"").strip().splitlines()) == 1
        assert rc in ran.err
    assert call("completion", "install", shell).code == 0
    assert files == {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_places_that_variables_name(
    home: Path, call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR"):
        monkeypatch.setenv(variable, str(tmp_path / "a b" / variable))
    (tmp_path / "a b" / "ZDOTDIR").mkdir(parents=True)
    for shell in ("bash", "zsh", "fish"):
        assert call("completion", "install", shell).code == 0
    found = {str(path.relative_to(tmp_path)) for path in (tmp_path / "a b").rglob("*") if path.is_file()}
    assert found == {
        "a b/XDG_DATA_HOME/bash-completion/completions/srkit",
        "a b/XDG_CONFIG_HOME/fish/completions/srkit.fish",
        "a b/ZDOTDIR/.zshrc",
    }
    ran = subprocess.run(["bash", "-c", ". ~/.bashrc && complete -p srkit"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [("show", "tcsh"), ("install", "tcsh"), ("show",), ("install",), ()])
def test_shells_that_are_not_known(arguments: tuple[str, ...], home: Path, call: Callable[..., Any]) -> None:
    ran = call("completion", *arguments)
    assert (ran.code, ran.out) == (2, "")
    if arguments[1:]:
        assert all(name in ran.sentence for name in ("tcsh", "bash", "zsh", "fish"))
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_home_that_cannot_be_written_to(shell: str, home: Path, call: Callable[..., Any]) -> None:
    for name in (".local", ".zfunc", ".config"):
        (home / name).write_text("a file where a folder is needed")
    ran = call("completion", "install", shell)
    assert (ran.code, ran.out) == (2, "")
    assert str(home) in ran.sentence


# -- groups ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["upscale", "eval", "adapt", "estimate-kernel", "train"])
def test_options_stand_in_groups(name: str, call: Callable[..., Any]) -> None:
    ran = call(name, "--help")
    assert ran.code == 0
    sections = re.split(r"^(\w+):\n", ran.out, flags=re.M)
    by_name = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert list(by_name) == [group for group in ("Arguments", *GROUPS, "Other") if group in by_name]
    assert {"Input", "Engine", "Other"} <= set(by_name)
    assert len(by_name) > 5
    listed = {
        option: group
        for group, text in by_name.items()
        for option in re.findall(r"^  .*?(--[\w-]+)", text, re.M)
    }
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    options = [p for p in command.params if p.param_type_name == "option"]
    assert len(options) > 15
    for option in options:
        general = option.name in ("json", "quiet", "verbose", "debug")
        assert (listed[max(option.opts, key=len)] == "Other") == general, option.name

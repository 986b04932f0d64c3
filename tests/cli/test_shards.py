"""`--shard` of upscale and eval, and `eval --merge`: the parts of a job are together what the whole is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srkit.errors import Exit

COUNT = 3


@pytest.fixture
def photos(save: Callable[..., Path], tmp_path: Path) -> Path:
    """Ten images, two of which become files of one name, in two folders."""
    folder = tmp_path / "in"
    for n in range(4):
        save(folder / f"{n}.png", 16, 12, seed=n)
        save(folder / f"below/{n}.png", 12, 16, seed=9 + n)
    save(folder / "twice.png", 16, 16, seed=20)
    save(folder / "twice.jpg", 16, 16, seed=21)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_shards_of_upscale_make_what_the_whole_makes(
    photos: Path, edsr_weights: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    options = ("-m", edsr_weights, "-r", "--format", "png")
    assert call("upscale", photos, tmp_path / "whole", *options).code == 0
    done = 0
    for index in range(1, COUNT + 1):
        ran = call("upscale", photos, tmp_path / "parts", *options, "--shard", f"{index}/{COUNT}", "--json")
        assert ran.code == 0, ran.err
        done += len(ran.records)
    assert done == 10
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_shard_may_be_empty(
    save: Callable[..., Path], edsr_weights: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    save(tmp_path / "in/a.png", 12, 12)
    codes = [
        call("upscale", tmp_path / "in", tmp_path / "out", "-m", edsr_weights, "--shard", f"{i}/40").code
        for i in range(1, 41)
    ]
    assert codes == [0] * 40
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.fixture
def evaluate(
    save: Callable[..., Path], call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs `srkit eval` beside a set `Own` of seven images, one of them damaged."""
    for n in range(6):
        save(tmp_path / f"data/Own/HR/{n}.png", 40, 36, seed=n)
    (tmp_path / "data/Own/HR/zzz.png").write_bytes((tmp_path / "data/Own/HR/0.png").read_bytes()[:400])
    monkeypatch.delenv("SRKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call("eval", *arguments)


@pytest.fixture
def shards(evaluate: Callable[..., Any], edsr_weights: Path, tmp_path: Path) -> list[Path]:
    """JSON Lines of all shards."""
    paths = [tmp_path / f"{index}.jsonl" for index in range(1, COUNT + 1)]
    for index, path in enumerate(paths, start=1):
        ran = evaluate(*measured(edsr_weights), "--shard", f"{index}/{COUNT}", "--jsonl", path)
        assert ran.code in (Exit.DONE, Exit.PARTIAL), ran.err
    return paths


def measured(weights: Path) -> tuple[object, ...]:
    return ("--dataset", "Own", "--data-root", "data", "-s", 2, "-m", "bicubic", "-m", weights)


def test_merged_shards_are_the_whole_to_the_last_digit(
    evaluate: Callable[..., Any], shards: list[Path], edsr_weights: Path, tmp_path: Path
) -> None:
    whole = evaluate(*measured(edsr_weights), "--json", "--markdown", tmp_path / "whole.md")
    merged = evaluate("--merge", *reversed(shards), "--json", "--markdown", tmp_path / "merged.md")
    assert whole.code == merged.code == Exit.PARTIAL
    assert merged.out == whole.out
    assert (tmp_path / "merged.md").read_bytes() == (tmp_path / "whole.md").read_bytes()


def test_gates_and_baselines_hold_for_the_whole(
    evaluate: Callable[..., Any], shards: list[Path], tmp_path: Path
) -> None:
    assert evaluate("--merge", *shards, "--fail-if", "psnr<99").code == Exit.GATE
    lines = [json.loads(line) for path in shards for line in path.read_text().splitlines()]
    whole = tmp_path / "done.jsonl"
    kept = [line for line in lines if line["status"] == "done"]
    for line in kept:
        line["place"]["count"] = len(kept) // 2
    whole.write_text("".join(json.dumps(line) + "\n" for line in kept))
    assert evaluate("--merge", whole, "--baseline", "b.json", "--update-baseline").code == 0
    assert evaluate("--merge", whole, "--baseline", "b.json", "--fail-if", "psnr<-0.01").code == 0


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda paths: paths[1:], "images of Own x2"),
        (lambda paths: [*paths, paths[0]], "twice"),
        (lambda paths: [paths[0].with_name("none.jsonl")], "none.jsonl"),
        (lambda paths: [cut(paths[0]), *paths[1:]], "1.jsonl"),
        (lambda paths: [foreign(paths[0]), *paths[1:]], "1.jsonl"),
    ],
    ids=["a shard is missing", "one is there twice", "no file", "cut off", "of another program"],
)
def test_what_is_not_the_whole_is_refused(
    spoil: Callable[[list[Path]], list[Path]], named: str, evaluate: Callable[..., Any], shards: list[Path]
) -> None:
    ran = evaluate("--merge", *spoil(shards))
    assert ran.code == Exit.USAGE
    assert named in ran.err
    assert ran.out == ""


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-20])
    return path


def foreign(path: Path) -> Path:
    path.write_text('{"name": "a.png", "psnr": 30.1}\n')
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("--merge",),
        ("a.jsonl",),
        ("--merge", "a.jsonl", "--dataset", "Own"),
        ("--merge", "a.jsonl", "-m", "edsr-x4"),
        ("--dataset", "Own", "--data-root", "data", "--shard", "1/2", "--fail-if", "psnr<9"),
        ("--dataset", "Own", "--data-root", "data", "--shard", "1/2", "--shots", "1"),
        ("--dataset", "Own", "--data-root", "data", "--shard", "3/2"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_refused(
    evaluate: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    assert evaluate(*arguments).code == Exit.USAGE

"""Prompts from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.guided import save as save_guided


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_guided(tmp_path_factory.mktemp("weights") / "guided-x4.safetensors", "random")


def test_prompt_in_plan_record_and_recipe(
    call: Callable[..., Any],
    save: Callable[..., Path],
    schema: Callable[[str], Any],
    guided: Path,
    tmp_path: Path,
) -> None:
    source, target = save(tmp_path / "in.png", 20, 16), tmp_path / "out.png"
    flags = ("-m", guided, "--prompt", "a sign\x1b[1m, EXIT")
    planned = call("upscale", source, target, *flags, "--plan")
    assert planned.code == 0
    assert "a sign\\x1b[1m, EXIT" in planned.out
    assert "\x1b" not in planned.out
    (plan,) = call("upscale", source, target, *flags, "--plan", "--json").records
    schema("upscale-plan").validate(plan)
    assert plan["pictures"][0]["prompt"] == "a sign\x1b[1m, EXIT"
    ran = call("upscale", source, target, *flags, "--json", "--save-recipe")
    (record,) = ran.records
    schema("upscale").validate(record)
    assert record["prompt"] == "a sign\x1b[1m, EXIT"
    saved = json.loads(target.with_name("out.png.srkit.json").read_text())
    assert saved["prompt"] == saved["settings"]["prompt"] == "a sign\x1b[1m, EXIT"
    assert saved["models"][0]["providers"]["text"] == "random"


def test_refusals(
    call: Callable[..., Any], save: Callable[..., Path], guided: Path, cdasr_weights: Path, tmp_path: Path
) -> None:
    source, target = save(tmp_path / "in.png"), tmp_path / "new/out.png"
    call("upscale", source, target, "-m", cdasr_weights, "--prompt", "a").refused(2, cdasr_weights.stem)
    both = ("--prompt", "a", "--prompts", tmp_path)
    call("upscale", source, target, "-m", guided, *both).refused(2, "--prompt", "--prompts")
    call("eval", "--dataset", "Set5", "-m", guided, "--prompt-control", "none").refused(2, "--prompts")
    assert not target.parent.exists()


def test_eval_under_controls(
    call: Callable[..., Any],
    save: Callable[..., Path],
    schema: Callable[[str], Any],
    guided: Path,
    tmp_path: Path,
) -> None:
    rows = ["path\tcaption"]
    for name in ("a", "b"):
        save(tmp_path / f"Mine/HR/{name}.png", 64, 64)
        rows.append(f"{name}.png\tthe letter {name}")
    (tmp_path / "said.tsv").write_text("\n".join(rows))
    flags = (
        "--prompts",
        tmp_path / "said.tsv",
        "--prompt-control",
        "right,none",
        "--prompt-control",
        "=one, two",
    )
    ran = call("eval", "--dataset", "Mine", "--data-root", tmp_path, "-m", guided, *flags, "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    schema("eval").validate(document)
    assert [one["model"].partition(" ")[2] for one in document] == ["right", "none", "'one, two'"]
    compared = {one["other_model"].partition(" ")[2] for one in document[0]["comparisons"]}
    assert compared == {"none", "'one, two'"}

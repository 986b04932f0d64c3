"""The speedrun's table: what finished runs reached, by row and budget."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.speedrun import COMMON, ROWS, curve, table
from srkit.archs.table import build
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.train import TrainRecipe
from srkit.tasks.train import WEIGHTS


def _run(folder: Path, *validations: tuple[int, float, float], done: bool = True) -> Path:
    folder.mkdir(parents=True)
    lines = [{"step": 1, "loss": 0.1, "seconds": 0.2}]
    lines += [{"step": step, "seconds": seconds, "val_psnr": psnr} for step, seconds, psnr in validations]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    if done:
        (folder / WEIGHTS).touch()
    return folder


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_network_that_can_be_trained(row: str) -> None:
    recipe = load_training_recipe("edsr-x4", [*COMMON, *ROWS[row]])
    assert isinstance(recipe, TrainRecipe)
    build(recipe.model.arch, recipe.model.arguments)
    assert recipe.run.clock == "cpu"


def test_the_last_validation_of_finished_runs_is_shown(tmp_path: Path) -> None:
    first, second, third = list(ROWS)[:3]
    whole = _run(tmp_path / f"{second}-220", (500, 100.0, 27.111), (1600, 219.6, 28.254))
    _run(tmp_path / f"{first}-1500", (9000, 1499.0, 28.0))
    _run(tmp_path / f"{third}-220", (500, 100.0, 27.0), done=False)
    _, _, *rows = table(tmp_path, [220, 1500])
    assert rows == [f"| {first} |  |  | 9,000 | 28.00 |", f"| {second} | 1,600 | 28.25 |  |  |"]
    assert curve(whole) == "27.11 at 100 s, 28.25 at 220 s"

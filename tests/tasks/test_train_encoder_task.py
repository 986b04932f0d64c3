"""Training a feature network as a user does it: from a recipe and a folder to weights that its provider loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.encoders.compact import Compact
from srkit.encoders.judge import Judge
from srkit.errors import ResourceError, UsageError
from srkit.recipes.encoder import EncoderRecipe
from srkit.recipes.load import from_mapping
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.training.state import read_checkpoint
from srkit.zoo.header import read_header
from srkit.zoo.load import load_model

CPU = torch.device("cpu")
MODELS: dict[str, dict[str, Any]] = {
    "contrast": {"arch": "compact", "arguments": {"widths": [8, 8], "blocks": [0, 1], "dim": 8, "side": 32}},
    "exemplar": {"arch": "judge", "arguments": {"widths": [6, 8]}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    """Six pictures; 0.png and 3.png are held out: every third. One is too small."""
    root = tmp_path_factory.mktemp("photographs")
    for i in range(6):
        side = 40 if i == 5 else 80 + i
        cv2.imwrite(str(root / f"{i}.png"), rendered(side, side, seed=i % 2)[:, :, ::-1])
    return root


def _job(
    folder: Path, output: Path, objective: str = "contrast", data: Any = None, **changes: Any
) -> TrainJob[EncoderRecipe]:
    parts = {
        "pictures": 4,
        "degraded": 2,
        "sides": [32],
        "domains": ["screen", "texture"],
        "rendered": 2,
        "rendered_side": 64,
        "holdout_every": 3,
    }
    recipe = from_mapping(
        EncoderRecipe,
        {
            "name": "tiny",
            "objective": objective,
            "model": MODELS[objective],
            "data": parts | (data or {}),
            "optim": {"lr": 1e-3, "steps": 4},
            "run": {"validate_every": 2, "precision": "fp32"},
        },
    )
    return replace(TrainJob(recipe, (folder,), output, device="cpu"), **changes)


def test_what_a_run_leaves(folder: Path, tmp_path: Path) -> None:
    result = run(_job(folder, tmp_path, training_data="rendered, CC0", licence="Apache-2.0"))
    assert (result.weights, result.steps) == (tmp_path / WEIGHTS, 4)
    assert (result.pictures, result.held_out) == (3 + 4, ("0.png", "3.png"))
    assert result.validation_psnr is None
    assert set(result.scores) == {"loss"}
    assert (tmp_path / "recipe.toml").is_file()
    assert (tmp_path / "metrics.jsonl").is_file()
    header = read_header(result.weights)
    assert (header.task, header.arch, header.scale, header.steps) == ("encoder", "compact", 1, 4)
    assert (header.licence, header.training_data) == ("Apache-2.0", "rendered, CC0")
    encoder = Compact(CPU, result.weights)
    assert encoder.embed(torch.rand(2, 3, 50, 60)).vector.shape == (2, 8)
    scales = load_model(result.weights, task="encoder").network.scales
    assert isinstance(scales, torch.Tensor)
    assert not torch.equal(scales, torch.ones(2))


def test_the_judge_is_a_task_of_its_own(folder: Path, tmp_path: Path) -> None:
    result = run(_job(folder, tmp_path, "exemplar"))
    a = torch.rand(1, 3, 32, 40)
    assert float(Judge(CPU, result.weights).distance(a, a)) == 0
    with pytest.raises(ResourceError, match="task 'judge'"):
        Compact(CPU, result.weights)


def test_the_same_steps_give_the_same_file(folder: Path, tmp_path: Path) -> None:
    first, second = (run(_job(folder, tmp_path / name)).weights.read_bytes() for name in ("a", "b"))
    assert first == second


def test_a_finished_run_can_be_gone_on_with(folder: Path, tmp_path: Path) -> None:
    job = _job(folder, tmp_path)
    run(job)
    with pytest.raises(UsageError, match="holds a run already"):
        run(job)
    recipe = replace(job.recipe, optim=replace(job.recipe.optim, steps=6))
    assert run(replace(job, recipe=recipe, resume=True)).steps == 6
    before = read_checkpoint(tmp_path, CPU)["best_score"]
    heavier = replace(recipe, quality=100.0, optim=replace(recipe.optim, steps=7))
    loss = run(replace(job, recipe=heavier, resume=True)).scores["loss"]
    assert loss > -before  # the best of another sum is no measure
    other = _job(folder, tmp_path, "exemplar", resume=True)
    with pytest.raises(UsageError, match="another network or objective"):
        run(other)


def test_it_starts_from_no_weights(folder: Path, tmp_path: Path) -> None:
    job = _job(folder, tmp_path)
    recipe = replace(job.recipe, model=replace(job.recipe.model, start="compact"))
    with pytest.raises(UsageError, match="leave it empty"):
        run(replace(job, recipe=recipe))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"domains": ["screan"]}, "Did you mean 'screen'"),
        ({"sides": []}, "at least one side"),
        ({"sides": [16]}, "none below 32"),
        ({"rendered": 0}, r"'data.rendered' is 0"),
        ({"pictures": 1}, r"'data.pictures' is 1"),
        ({"degraded": -1}, r"'data.degraded' is -1"),
    ],
)
def test_values_that_make_no_sense(data: dict[str, Any], message: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        run(_job(folder, tmp_path, data=data))
    assert not list(tmp_path.iterdir())

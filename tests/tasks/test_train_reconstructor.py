"""Training of the reconstructor: what its weights say of how they were trained.

What it shares with the other kinds is tested in test_training_kinds.py.
"""

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

from srkit.archs.reconstructor import Reconstructor
from srkit.encoders.compact import Compact
from srkit.errors import UsageError
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.reconstructor import ReconstructorRecipe
from srkit.tasks.train import TrainJob, TrainResult, run
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from tests.helpers import Listening, refused
from tests.tasks.training_cases import CASES

SCORE = "reconstruction error"


def _job(photographs: Path, output: Path, *settings: str) -> TrainJob[Any]:
    return CASES["reconstructor"].job(photographs, output, *settings)


def _load(path: Path) -> LoadedModel:
    return load_model(path, task="reconstructor")


@pytest.fixture(scope="module")
def finished(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return run(_job(photographs, tmp_path_factory.mktemp("runs") / "tiny"))


def test_what_a_run_leaves(photographs: Path, finished: TrainResult) -> None:
    assert finished.validation_psnr is None
    assert set(finished.scores) == {SCORE}
    model = _load(finished.weights)
    header, network = model.header, model.network
    recipe = _job(photographs, finished.weights.parent).recipe
    assert header is not None
    assert isinstance(network, Reconstructor)
    assert header.arguments == {**recipe.model.arguments, "described": 24}
    version = Compact(torch.device("cpu"), random=True).version
    assert header.providers == {
        "distance": "random",
        "distance version": version,
        "far": "random",
        "far stage": "stage1",
        "far version": version,
    }
    assert header.controller == {"noise_std": recipe.controller.noise_std}
    assert bool((network.usual[:, [0, 2]] > 0).all())
    assert bool(network.usual[:, 1].any())


def test_it_learns(photographs: Path, tmp_path: Path) -> None:
    """Sixty steps are better than one."""
    settings = ("optim.ema = 0.8", "optim.lr = 3e-3", "run.validate_every = 1000")
    scores = [
        run(_job(photographs, tmp_path / str(steps), *settings, f"optim.steps = {steps}")).scores[SCORE]
        for steps in (1, 60)
    ]
    assert scores[1] < 0.7 * scores[0]


def test_auto_is_said_and_kept(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SRKIT_WEIGHTS", raising=False)
    job = _job(photographs, tmp_path / "run", 'distance = "auto"', "optim.steps = 1")
    header = _load(run(job).weights).header
    assert header is not None
    assert header.providers["distance"] == "compact"
    assert load_training_recipe(tmp_path / "run" / "recipe.toml") == replace(job.recipe, distance="compact")
    # LPIPS' trunk comes to the machine; the run stays what it was, and only a wish of one's own is refused.
    trunk = tmp_path / "torch" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    trunk.parent.mkdir(parents=True)
    trunk.touch()
    more = replace(job.recipe, optim=replace(job.recipe.optim, steps=2))
    assert run(replace(job, recipe=more, resume=True)).steps == 2
    with refused(UsageError, "distance", "compact", "random"):
        run(replace(job, recipe=replace(more, distance="random"), resume=True))


def test_without_the_controller(photographs: Path, tmp_path: Path) -> None:
    header = _load(run(_job(photographs, tmp_path, "controller.use = false")).weights).header
    assert header is not None
    assert header.controller == {}


def test_another_scale_starts_from_these_weights(
    finished: TrainResult, tmp_path: Path, rendered: Callable[..., NDArray[np.uint8]]
) -> None:
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rendered(132, 132, seed=i)[:, :, ::-1])
    progress = Listening()
    start = (f'model.start = "{finished.weights}"', "model.arguments.scale = 4")
    job = _job(tmp_path, tmp_path / "run", *start, "optim.steps = 1", "optim.lr = 1e-12")
    network = _load(run(job, progress).weights).network
    before = _load(finished.weights).network.state_dict()
    assert progress.about(len(before) - 1, len(before), finished.weights)
    for name, tensor in network.state_dict().items():
        if name in before and name not in ("degrade.shrink.weight", "usual"):
            torch.testing.assert_close(tensor, before[name], atol=1e-5, rtol=1e-2)


def test_the_shipped_recipe_is_whole() -> None:
    recipe = load_training_recipe("reconstructor", values={"scale": 2, "steps": 7})
    assert isinstance(recipe, ReconstructorRecipe)
    assert recipe.model.arguments["scale"] == 2
    assert recipe.optim.steps == 7

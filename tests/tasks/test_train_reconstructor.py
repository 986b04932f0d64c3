"""Training the reconstructor: from a recipe and a folder to weights that say what they were trained with."""

from __future__ import annotations

import json
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
from srkit.encoders.compact import random_compact
from srkit.errors import UsageError
from srkit.progress import Silent
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.load import from_mapping, merge
from srkit.recipes.reconstructor import ReconstructorRecipe
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.training.state import read_checkpoint
from srkit.zoo.load import load_model

CPU = torch.device("cpu")
SCORE = "reconstruction error"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    """Four pictures; 0.png and 3.png are held out: every third."""
    root = tmp_path_factory.mktemp("photographs")
    for i in range(4):
        cv2.imwrite(str(root / f"{i}.png"), rendered(132, 132 + i, seed=i % 2)[:, :, ::-1])
    return root


def _recipe(changes: dict[str, Any] | None = None) -> ReconstructorRecipe:
    table: dict[str, Any] = {
        "name": "tiny",
        "model": {
            "arch": "reconstructor",
            "arguments": {
                "scale": 2,
                "features": 4,
                "image_blocks": 1,
                "degradation_blocks": 1,
                "blocks": 1,
                "embedding": 6,
            },
        },
        "distance": "random",
        "far": {"encoder": "random", "stage": "stage1"},
        "data": {"patch": 24, "batch": 2, "holdout_every": 3, "degradation": "mild"},
        "judged": 2,
        "optim": {"steps": 4, "lr": 1e-3, "warmup_steps": 0},
        "run": {"validate_every": 2, "precision": "fp32"},
    }
    merge(table, changes or {})
    return from_mapping(ReconstructorRecipe, table)


def _job(folder: Path, output: Path, recipe: ReconstructorRecipe, **changes: Any) -> TrainJob[Any]:
    return replace(TrainJob(recipe, (folder,), output, device="cpu"), **changes)


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `_recipe()`."""
    output = tmp_path_factory.mktemp("runs") / "tiny"
    run(_job(folder, output, _recipe(), training_data="rendered, CC0"))
    return output


def test_what_a_run_leaves(folder: Path, finished: Path) -> None:
    recipe = _recipe()
    assert load_training_recipe(finished / "recipe.toml") == recipe
    model = load_model(finished / WEIGHTS, task="reconstructor")
    header, network = model.header, model.network
    assert header is not None
    assert isinstance(network, Reconstructor)
    assert header.arguments == {**recipe.model.arguments, "described": 24}
    assert (header.task, header.scale, header.steps) == ("reconstructor", 2, 4)
    version = random_compact(CPU).version
    assert header.providers == {
        "distance": "random",
        "distance version": version,
        "far": "random",
        "far stage": "stage1",
        "far version": version,
    }
    assert header.controller == {"noise_std": recipe.controller.noise_std}
    assert (header.recipe, header.recipe_sha256) == ("tiny", recipe.sha256)
    assert header.training_data == "rendered, CC0"
    value = header.scores["held out"]["mild"][SCORE]
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    values = [line["val_reconstruction_error"] for line in lines]
    assert len(values) == 2
    assert value == round(min(values), 4)
    assert bool((network.usual[:, [0, 2]] > 0).all())
    assert bool(network.usual[:, 1].any())


def test_the_result(folder: Path, tmp_path: Path) -> None:
    result = run(_job(folder, tmp_path, _recipe()))
    assert (result.steps, result.pictures, result.held_out) == (4, 2, ("0.png", "3.png"))
    assert result.validation_psnr is None
    assert set(result.scores) == {SCORE}


def test_it_learns(folder: Path, tmp_path: Path) -> None:
    """Sixty steps are better than one."""
    scores = []
    for steps in (1, 60):
        changes = {"optim": {"steps": steps, "ema": 0.8, "lr": 3e-3}, "run": {"validate_every": 1000}}
        result = run(_job(folder, tmp_path / str(steps), _recipe(changes)))
        scores.append(result.scores[SCORE])
    assert scores[1] < 0.7 * scores[0]


def test_the_same_job_gives_the_same_bytes(folder: Path, finished: Path, tmp_path: Path) -> None:
    again = run(_job(folder, tmp_path / "again", _recipe(), training_data="rendered, CC0")).weights
    assert again.read_bytes() == (finished / WEIGHTS).read_bytes()
    other = run(_job(folder, tmp_path / "other", replace(_recipe(), seed=1))).weights
    assert other.read_bytes() != again.read_bytes()


def test_a_resumed_run_goes_on_exactly(folder: Path, finished: Path, tmp_path: Path) -> None:
    class Stopping(Silent):
        steps = 3  # the first report is of what was done before

        def start(self, task: str, total: float) -> None:
            self.trains = task == "training"

        def advance(self, amount: float = 1.0) -> None:
            if self.trains:
                self.steps -= 1
            if self.steps == 0:
                raise KeyboardInterrupt

    job = _job(folder, tmp_path, _recipe(), training_data="rendered, CC0")
    with pytest.raises(KeyboardInterrupt):
        run(job, Stopping())
    assert read_checkpoint(tmp_path, CPU)["step"] == 2
    result = run(replace(job, resume=True))
    assert result.weights.read_bytes() == (finished / WEIGHTS).read_bytes()


def test_auto_is_said_and_kept(
    folder: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SRKIT_WEIGHTS", raising=False)
    recipe = _recipe({"distance": "auto", "optim": {"steps": 1}})
    job = _job(folder, tmp_path / "run", recipe)
    header = load_model(run(job).weights, task="reconstructor").header
    assert header is not None
    assert header.providers["distance"] == "compact"
    assert load_training_recipe(tmp_path / "run" / "recipe.toml") == replace(recipe, distance="compact")
    # LPIPS' trunk comes to the machine; the run stays what it was, and only a wish of one's own is refused.
    trunk = tmp_path / "torch" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    trunk.parent.mkdir(parents=True)
    trunk.touch()
    more = replace(recipe, optim=replace(recipe.optim, steps=2))
    assert run(replace(job, recipe=more, resume=True)).steps == 2
    with pytest.raises(UsageError, match="whose 'distance' is 'compact', and this recipe's is 'random'"):
        run(replace(job, recipe=replace(more, distance="random"), resume=True))


def test_without_the_controller(folder: Path, finished: Path, tmp_path: Path) -> None:
    recipe = _recipe({"controller": {"use": False}})
    header = load_model(run(_job(folder, tmp_path, recipe)).weights, task="reconstructor").header
    assert header is not None
    assert header.controller == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"far": {"weight": 0.0}},
        {"far": {"contrast": 0.0}},
        {"controller": {"noise_std": 1.0}},
        {"controller": {"use": False}},
        {"perceptual": 1.0},
        {"data": {"degradation": "real-esrgan"}},
        {"data": {"ranges": {"first": {"jpeg": [10, 20]}}}},
        {"model": {"arguments": {"modulation": "stylegan2"}}},
    ],
)
def test_every_setting_counts(folder: Path, finished: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    weights = run(_job(folder, tmp_path, _recipe(changes))).weights
    other = load_model(weights, task="reconstructor").network.state_dict()
    network = load_model(finished / WEIGHTS, task="reconstructor").network.state_dict()
    assert any(
        name not in network or not torch.equal(tensor, network[name]) for name, tensor in other.items()
    )


def test_another_scale_starts_from_these_weights(folder: Path, finished: Path, tmp_path: Path) -> None:
    class Listening(Silent):
        told = ""

        def info(self, message: str) -> None:
            self.told += message + "\n"

    progress = Listening()
    model = {"start": str(finished / WEIGHTS), "arguments": {"scale": 4}}
    recipe = _recipe({"model": model, "optim": {"steps": 1, "lr": 1e-12}})
    network = load_model(run(_job(folder, tmp_path, recipe), progress).weights, task="reconstructor").network
    before = load_model(finished / WEIGHTS, task="reconstructor").network.state_dict()
    fitting = {name for name in before if name not in ("degrade.shrink.weight", "usual")}
    assert f"{len(before) - 1} of {len(before)} tensors start from" in progress.told
    for name, tensor in network.state_dict().items():
        if name in fitting:
            torch.testing.assert_close(tensor, before[name], atol=1e-5, rtol=1e-2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"arch": "edsr"}}, "recipes of this kind train 'reconstructor'"),
        ({"model": {"arguments": {"described": 5}}}, "leave it out of the recipe"),
        ({"data": {"degradation": ""}}, "'data.degradation' is empty"),
        ({"data": {"degradation": "reel"}}, "There is no degradation 'reel'"),
        ({"data": {"patch": 20}}, "'data.patch' is 20; it must be at least 22"),
        ({"far": {"stage": "layer2"}}, "'far.stage' is 'layer2'"),
        ({"far": {"encoder": "vgg19"}}, "no encoder with stages 'vgg19'"),
        ({"far": {"weight": -1.0}}, "'far.weight' is -1.0; it must be at least 0"),
        ({"flawed": 1.5}, "'flawed' is 1.5; it must be at least 0 and at most 1"),
        ({"controller": {"noise_std": -0.1}}, "'controller.noise_std' is -0.1"),
        ({"controller": {"quantile": 1.0}}, "'controller.quantile' is 1.0; it must be between 0 and 1"),
        ({"distance": "lpisp"}, "no perceptual distance 'lpisp'"),
        ({"judged": 0}, "'judged' is 0"),
        ({"optim": {"lr": 0.0}}, "'optim.lr' is 0.0"),
    ],
)
def test_recipes_that_make_no_sense(
    folder: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        run(_job(folder, tmp_path / "run", _recipe(changes)))
    assert not (tmp_path / "run").exists()


def test_another_run_is_not_resumed(folder: Path, finished: Path) -> None:
    with pytest.raises(UsageError, match=r"a run of another network \(reconstructor.*features=4"):
        run(_job(folder, finished, _recipe({"model": {"arguments": {"features": 5}}}), resume=True))
    with pytest.raises(UsageError, match=r"whose 'far.stage' is 'stage1', and this recipe's is 'stage2'"):
        run(_job(folder, finished, _recipe({"far": {"stage": "stage2"}}), resume=True))
    with pytest.raises(UsageError, match="holds a run already"):
        run(_job(folder, finished, _recipe()))


def test_the_shipped_recipe_is_whole() -> None:
    recipe = load_training_recipe("reconstructor", values={"scale": 2, "steps": 7})
    assert isinstance(recipe, ReconstructorRecipe)
    assert recipe.model.arguments["scale"] == 2
    assert recipe.optim.steps == 7

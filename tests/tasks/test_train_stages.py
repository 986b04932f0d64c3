"""Training in stages: each from the weights of the one before, resumed as a whole."""

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

from srkit.archs.table import build, info_of
from srkit.errors import ResourceError, UsageError
from srkit.progress import Silent
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.stages import StagesRecipe
from srkit.recipes.train import TrainRecipe
from srkit.tasks.train import WEIGHTS, TrainJob, run, task_of
from srkit.tasks.train_stages import stages_of
from srkit.training.state import CHECKPOINT, read_checkpoint
from srkit.zoo.load import load_model

Picture = NDArray[np.uint8]

STAGE = """
name = "{name}"
[model]
arch = "edsr"
arguments = {{ scale = 4, features = 8, blocks = {blocks}, upsampler = "single" }}
[data]
patch = 8
batch = 2
holdout_every = 2
[optim]
lr = {lr}
steps = {steps}
[run]
precision = "fp32"
"""
STAGES = """
kind = "stages"
name = "both"
scale = 2
[stages.shallow]
recipe = "{folder}/shallow.toml"
share = 2
[stages.deep]
recipe = "{folder}/deep.toml"
set.optim.warmup_steps = 0
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Picture]) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    for i in range(3):
        cv2.imwrite(str(root / f"{i}.png"), rendered(40, 44 + i, seed=i % 2)[:, :, ::-1])
    return root


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Four steps, then three of a rate so small that they change nothing."""
    (tmp_path / "shallow.toml").write_text(STAGE.format(name="shallow", blocks=1, lr=1e-3, steps=4))
    (tmp_path / "deep.toml").write_text(STAGE.format(name="deep", blocks=2, lr=1e-12, steps=3))
    path = tmp_path / "both.toml"
    path.write_text(STAGES.format(folder=tmp_path))
    return path


def _job(file: Path, data: Path, output: Path, *settings: str, **changes: Any) -> TrainJob[Any]:
    recipe = load_training_recipe(file, settings)
    assert isinstance(recipe, StagesRecipe)
    return replace(TrainJob(recipe, (data,), output, device="cpu"), **changes)


class InterruptIn(Silent):
    """Interrupts a run in the second step of a stage."""

    def __init__(self, stage: str) -> None:
        self.stage, self.left, self.messages = stage, -1, list[str]()

    def info(self, message: str) -> None:
        self.messages.append(message)
        if message.endswith(f", {self.stage}"):
            self.left = 2

    def start(self, label: str, total: float | None) -> None:
        self.training = label == "training"

    def advance(self, amount: float = 1.0) -> None:
        if self.training and self.left >= 0 and amount > 0:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def test_each_stage_starts_from_the_one_before(file: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    job = _job(file, data, output, "seed=3", training_data="rendered, CC0")
    result = run(job)
    assert (result.weights, result.steps, result.pictures) == (output / WEIGHTS, 7, 1)
    assert {p.name for p in output.iterdir()} == {"recipe.toml", "shallow", "deep", WEIGHTS}
    assert load_training_recipe(output / "recipe.toml") == job.recipe

    shallow, deep = (load_training_recipe(output / name / "recipe.toml") for name in ("shallow", "deep"))
    assert isinstance(shallow, TrainRecipe)
    assert isinstance(deep, TrainRecipe)
    assert (shallow.seed, shallow.model.start, shallow.optim.warmup_steps) == (3, "", 100)
    assert (deep.seed, deep.model.start) == (3, str(output / "shallow" / WEIGHTS))
    assert deep.optim.warmup_steps == 0

    first, last = (load_model(path) for path in (output / "shallow" / WEIGHTS, output / WEIGHTS))
    x = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(last.network(x), first.network(x), atol=1e-3, rtol=0)
    assert last.header is not None
    assert first.header is not None
    assert (last.header.recipe, last.header.recipe_sha256) == ("both", job.recipe.sha256)
    assert (first.header.steps, last.header.steps) == (4, 7)
    assert (last.header.arguments["blocks"], last.header.scale) == (2, 2)  # the scale said in one place
    assert last.header.training_data == "rendered, CC0"
    assert result.validation_psnr == pytest.approx(
        last.header.scores["classical"]["held out"]["psnr"], abs=1e-3
    )


@pytest.mark.parametrize("stage", ["shallow", "deep"])
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    stage: str, file: Path, data: Path, tmp_path: Path
) -> None:
    def tensors(output: Path) -> dict[str, Any]:
        return load_model(output / WEIGHTS).network.state_dict()

    whole = run(_job(file, data, tmp_path / "whole"))
    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        run(_job(file, data, broken), InterruptIn(stage))
    assert not (broken / WEIGHTS).exists()
    assert (broken / "deep").exists() == (stage == "deep")
    with pytest.raises(UsageError, match="holds a run already; continue it with --resume"):
        run(_job(file, data, broken))
    progress = InterruptIn("none")
    resumed = run(_job(file, data, broken, resume=True), progress)
    assert resumed.steps == whole.steps
    assert resumed.seconds > 0
    for name, tensor in tensors(tmp_path / "whole").items():
        assert torch.equal(tensor, tensors(broken)[name])
    finished = "stage 1 of 2, shallow: finished before"
    assert (finished in progress.messages) == (stage == "deep")


def test_all_stages_are_replaced(file: Path, data: Path, tmp_path: Path) -> None:
    first = run(_job(file, data, tmp_path / "run"))
    lines = [(tmp_path / "run" / stage / "metrics.jsonl").read_text() for stage in ("shallow", "deep")]
    with pytest.raises(UsageError, match="holds a run already"):
        run(_job(file, data, tmp_path / "run"))
    second = run(_job(file, data, tmp_path / "run", "steps=4", overwrite=True))
    assert (first.steps, second.steps) == (7, 4)
    for stage, before in zip(("shallow", "deep"), lines, strict=True):
        now = (tmp_path / "run" / stage / "metrics.jsonl").read_text()
        assert len(now.splitlines()) <= len(before.splitlines())


def test_a_moved_run_is_resumed(file: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(_job(file, data, tmp_path / "old"), InterruptIn("deep"))
    (tmp_path / "old").rename(tmp_path / "new")
    assert run(_job(file, data, tmp_path / "new", resume=True)).steps == 7


def test_steps_and_minutes_are_shared_out(file: Path, data: Path, tmp_path: Path) -> None:
    result = run(_job(file, data, tmp_path / "steps", "steps=9"))
    steps = [
        read_checkpoint(tmp_path / "steps" / name, torch.device("cpu"))["step"]
        for name in ("shallow", "deep")
    ]
    assert (steps, result.steps) == ([6, 3], 9)
    run(_job(file, data, tmp_path / "minutes", minutes=0.9 / 60))
    spent = {
        name: read_checkpoint(tmp_path / "minutes" / name, torch.device("cpu"))["seconds"]
        for name in ("shallow", "deep")
    }
    assert spent["shallow"] >= 0.6
    assert spent["deep"] >= 0.3


def test_a_finished_stage_of_another_recipe_is_not_built_on(file: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(_job(file, data, tmp_path / "run"), InterruptIn("deep"))
    with pytest.raises(
        UsageError, match=r"The stage 'shallow' in .* was trained by another recipe than this"
    ):
        run(_job(file, data, tmp_path / "run", "scale=3", resume=True))


def test_nothing_to_resume(file: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"There is no run in .* to resume; start without --resume"):
        run(_job(file, data, tmp_path / "new", resume=True))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["stages={}"], "has no stages; give at least one"),
        (["stages.deep.share=0"], "'stages.deep.share' is 0.0; it must be above 0"),
        (["stages.deep.set.optim.steps=0"], "'optim.steps' is 0"),
        (["stages.deep.set.optim.stebs=1"], "In the stage 'deep': 'optim.stebs' is no setting"),
        (["stages.deep.recipe=edsr-x5"], "There is no recipe 'edsr-x5'"),
        (["steps=0"], "'steps' is 0; it must be at least 1"),
        (["scale=7"], "EDSR was given scale 7"),
        (["stages.a/b.recipe=edsr-x4"], "A stage is called 'a/b'"),
    ],
)
def test_recipes_that_make_no_sense(
    settings: list[str], words: str, file: Path, data: Path, tmp_path: Path
) -> None:
    """All is found out before the first stage begins."""
    with pytest.raises((UsageError, ResourceError)) as caught:
        run(_job(file, data, tmp_path / "run", *settings))
    assert words in str(caught.value)
    assert not list(tmp_path.glob(f"run/*/{CHECKPOINT}"))


def test_an_encoder_that_is_not_to_be_had_is_noticed_at_once(file: Path, data: Path, tmp_path: Path) -> None:
    missing = f"open_clip:ViT-B-32:{tmp_path / 'gone.pt'}"
    settings = ["stages.deep.set.loss.semantic=0.01", f"stages.deep.set.providers.semantic={missing}"]
    with pytest.raises(ResourceError, match=r"gone\.pt"):
        run(_job(file, data, tmp_path / "run", *settings))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("align", ["cdasr-align", "cdasr-align-perceptual"])
@pytest.mark.parametrize("upsampler", ["single", "edsr"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8, 16])
def test_cdasr_at_every_scale(scale: int, upsampler: str, align: str, tmp_path: Path) -> None:
    """The scale is said in one place; the second stage takes every tensor of the first."""
    settings = [
        f"scale={scale}",
        f"stages.align.recipe={align}",
        *(f"stages.{name}.set.model.arguments.upsampler={upsampler}" for name in ("pretrain", "align")),
    ]
    recipe = load_training_recipe("cdasr", settings)
    task_of("stages").check(TrainJob(recipe, (tmp_path,), tmp_path / "run"))
    stages = dict(zip(("pretrain", "align", "meta"), stages_of(recipe, tmp_path / "run"), strict=True))
    assert {name: stage.recipe.kind for name, stage in stages.items()} == {
        "pretrain": "sr",
        "align": "sr",
        "meta": "meta",
    }
    with torch.device("meta"):
        first, second = (
            build(stages[name].recipe.model.arch, stages[name].recipe.model.arguments)
            for name in ("pretrain", "align")
        )
    assert info_of(first).scale == info_of(second).scale == scale
    taken = second.state_dict()
    assert all(taken[name].shape == tensor.shape for name, tensor in first.state_dict().items())


def test_stages_of_stages(file: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"In the stage 'deep': '.*both.toml' has stages itself"):
        run(_job(file, data, tmp_path / "run", f"stages.deep.recipe={file}"))

"""Training in stages: each from the weights of the one before.

What it shares with the other kinds, resuming included, is tested in test_training_kinds.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import PixelShuffle

from srkit.archs.blocks import ResidualBlock, upsampling_stages
from srkit.archs.table import build, info_of
from srkit.errors import ResourceError, UsageError
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.load import to_toml
from srkit.recipes.train import TrainRecipe
from srkit.tasks.train import WEIGHTS, TrainJob, check, run
from srkit.tasks.train.stages import stages_of
from srkit.training.state import read_checkpoint
from srkit.zoo.load import load_model
from tests.helpers import refused
from tests.tasks.training_cases import CASES

JOB = CASES["stages"].job
CPU = torch.device("cpu")


def test_each_stage_starts_from_the_one_before(photographs: Path, tmp_path: Path) -> None:
    """The second has a rate so small that it changes nothing."""
    output = tmp_path / "run"
    settings = ("stages.deep.set.optim.lr = 1e-12", "seed = 3")
    run(JOB(photographs, output, *settings))
    assert {p.name for p in output.iterdir()} == {"recipe.toml", "shallow", "deep", WEIGHTS}
    shallow, deep = (load_training_recipe(output / name / "recipe.toml") for name in ("shallow", "deep"))
    assert isinstance(shallow, TrainRecipe)
    assert isinstance(deep, TrainRecipe)
    assert (shallow.seed, shallow.model.start) == (3, "")
    assert (deep.seed, deep.model.start) == (3, str(output / "shallow" / WEIGHTS))
    first, last = (load_model(path) for path in (output / "shallow" / WEIGHTS, output / WEIGHTS))
    x = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(last.network(x), first.network(x), atol=1e-3, rtol=0)
    assert first.header is not None
    assert (first.header.steps, first.header.scale) == (3, 2)  # the scale said in one place


def test_all_stages_are_replaced(photographs: Path, tmp_path: Path) -> None:
    first = run(JOB(photographs, tmp_path / "run"))
    lines = [(tmp_path / "run" / stage / "metrics.jsonl").read_text() for stage in ("shallow", "deep")]
    with refused(UsageError, tmp_path / "run"):
        run(JOB(photographs, tmp_path / "run"))
    second = run(replace(JOB(photographs, tmp_path / "run", steps=4), overwrite=True))
    assert first.steps > second.steps == 4
    for stage, before in zip(("shallow", "deep"), lines, strict=True):
        now = (tmp_path / "run" / stage / "metrics.jsonl").read_text()
        assert len(now.splitlines()) <= len(before.splitlines())


def test_steps_and_minutes_are_shared_out(photographs: Path, tmp_path: Path) -> None:
    share = "stages.shallow.share = 2"
    result = run(JOB(photographs, tmp_path / "steps", share, steps=9))
    steps = [read_checkpoint(tmp_path / "steps" / name, CPU)["step"] for name in ("shallow", "deep")]
    assert (steps, result.steps) == ([6, 3], 9)
    run(replace(JOB(photographs, tmp_path / "minutes", share), minutes=0.9 / 60))
    spent = {
        name: read_checkpoint(tmp_path / "minutes" / name, CPU)["seconds"] for name in ("shallow", "deep")
    }
    assert spent["shallow"] >= 0.6
    assert spent["deep"] >= 0.3


def test_what_is_set_for_all_stages_and_for_one(tmp_path: Path) -> None:
    """A stage's own setting counts; stages that have no scale to be set are left out."""
    settings = ["common.data.batch=3", "common.optim.steps=9", "stages.align.set.data.batch=5"]
    stages = stages_of(load_training_recipe("cdasr", settings), tmp_path)  # type: ignore[arg-type]
    found = [(stage.recipe.data.batch, stage.recipe.optim.steps) for stage in stages[:2]]  # type: ignore[attr-defined]
    assert found == [(3, 9), (5, 9)]
    assert stages[2].recipe == load_training_recipe(
        "cdasr-meta", values={"start": str(tmp_path / "align" / WEIGHTS), "seed": 0}
    )
    with refused(UsageError, "pretrain", "optim.stebs", "steps"):
        stages_of(load_training_recipe("cdasr", ["common.optim.stebs=9"]), tmp_path)  # type: ignore[arg-type]


def test_no_stages_and_stages_of_stages(photographs: Path, tmp_path: Path) -> None:
    job = JOB(photographs, tmp_path / "run")
    with refused(UsageError, "stages"):
        run(replace(job, recipe=replace(job.recipe, stages={})))
    path = tmp_path / "both.toml"
    path.write_text(to_toml(job.recipe))
    with refused(UsageError, "deep", path):
        run(JOB(photographs, tmp_path / "run", f'stages.deep.recipe = "{path}"'))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (('stages.deep.recipe = "edsr-x5"',), "edsr-x5"),
        (
            (
                "stages.deep.set.loss.semantic = 0.01",
                'stages.deep.set.providers.semantic = "open_clip:ViT-B-32:/nowhere/gone.pt"',
            ),
            "/nowhere/gone.pt",
        ),
    ],
)
def test_what_a_later_stage_lacks_is_noticed_at_once(
    settings: tuple[str, ...], named: str, photographs: Path, tmp_path: Path
) -> None:
    with refused(ResourceError, named):
        run(JOB(photographs, tmp_path / "run", *settings))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("align", ["cdasr-align", "cdasr-align-perceptual"])
@pytest.mark.parametrize("upsampler", ["single", "edsr"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8, 16])
def test_cdasr_at_every_scale(scale: int, upsampler: str, align: str, tmp_path: Path) -> None:
    """The scale is said in one place; the second stage takes every tensor of the first."""
    settings = [
        f"scale={scale}",
        f"stages.align.recipe={align}",
        f"common.model.arguments.upsampler={upsampler}",
    ]
    recipe = load_training_recipe("cdasr", settings)
    check(TrainJob(recipe, (tmp_path,), tmp_path / "run"))
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
    between = 0 if upsampler == "single" else {8: 2 * 2, 16: 3 * 2}.get(scale, 0)
    layers = list(second.get_submodule("reconstruction.layers").children())
    assert sum(isinstance(layer, ResidualBlock) for layer in layers) == between
    assert sum(isinstance(layer, PixelShuffle) for layer in layers) == len(
        upsampling_stages(scale) if upsampler == "edsr" else (scale,)
    )
    taken = second.state_dict()
    assert all(taken[name].shape == tensor.shape for name, tensor in first.state_dict().items())

"""Training what tells, or is told, the blur of every pixel: from a recipe and a folder to weights that load."""

from __future__ import annotations

import dataclasses
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

from srkit.archs.dkenet import DKENet
from srkit.archs.nbsr import NBSR
from srkit.data.blurred import BlurPlan
from srkit.degradation.pca import kernel_basis
from srkit.encoders.depth import depth_provider
from srkit.errors import ResourceError, UsageError
from srkit.progress import Silent
from srkit.recipes.kernels import BlurPart, KernelsRecipe
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.load import from_mapping
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.training.state import read_checkpoint
from srkit.zoo.load import load_model

CPU = torch.device("cpu")
MODELS: dict[str, dict[str, Any]] = {
    "kernels": {"arch": "dkenet", "arguments": {"scale": 2, "features": 8, "depth_features": 4}},
    "picture": {
        "arch": "nbsr",
        "arguments": {"scale": 2, "features": 8, "blocks": 1, "trunk": "edsr", "code": 5, "sft_size": 1},
    },
    "depth": {"arch": "depth", "arguments": {"widths": [4, 6, 8], "side": 32}},
}
LOSSES = {"kernels": "kernel", "picture": "l1", "depth": "depth"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    """Six pictures; 0.png and 3.png are held out: every third. One is too small for crops of blurred pictures."""
    root = tmp_path_factory.mktemp("photographs")
    for i in range(6):
        side = 33 if i == 5 else 60 + i
        cv2.imwrite(str(root / f"{i}.png"), rendered(side, side, seed=i % 2)[:, :, ::-1])
    return root


def _recipe(target: str, **parts: Any) -> KernelsRecipe:
    table: dict[str, Any] = {
        "name": "tiny",
        "target": target,
        "model": MODELS[target],
        "data": {
            "patch": 32 if target == "depth" else 8,
            "batch": 2,
            "holdout_every": 3,
            "judged": 2,
            "blur": {"scenes": 2, "scene_side": 48},
        },
        "optim": {"steps": 4, "lr": 1e-3, "warmup_steps": 0},
        "run": {"validate_every": 2, "precision": "fp32"},
        "loss": {LOSSES[target]: 1.0},
    }
    for name, changes in parts.items():
        table[name] = table[name] | changes if isinstance(changes, dict) and name in table else changes
    return from_mapping(KernelsRecipe, table)


def _job(folder: Path, output: Path, recipe: KernelsRecipe, **changes: Any) -> TrainJob[KernelsRecipe]:
    return replace(TrainJob(recipe, (folder,), output, device="cpu"), **changes)


class Listening(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def info(self, message: str) -> None:
        self.messages.append(message)


@pytest.fixture(scope="module")
def runs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run for each target."""
    root = tmp_path_factory.mktemp("runs")
    for target in MODELS:
        run(_job(folder, root / target, _recipe(target)))
    return {target: root / target for target in MODELS}


@pytest.mark.parametrize(
    ("target", "task", "score", "words"),
    [
        ("kernels", "kernels", "kernel error", "(absolute, summed over the taps)"),
        ("picture", "sr", "psnr", "dB on the crops held out"),
        ("depth", "depth", "depth error", "aligned depth maps held out are missed by"),
    ],
)
def test_what_a_run_leaves(
    folder: Path, tmp_path: Path, target: str, task: str, score: str, words: str
) -> None:
    progress = Listening()
    job = _job(folder, tmp_path, _recipe(target), training_data="rendered, CC0")
    result = run(job, progress)
    assert (result.steps, result.held_out) == (4, ("0.png", "3.png"))
    assert result.pictures == (4 if target == "depth" else 3)
    assert load_training_recipe(tmp_path / "recipe.toml") == job.recipe
    assert sum(words in message for message in progress.messages) == 2

    model = load_model(result.weights, task=task)
    header = model.header
    assert header is not None
    assert (header.arch, header.arguments) == (MODELS[target]["arch"], MODELS[target]["arguments"])
    assert (header.task, header.scale, header.steps) == (task, 1 if target == "depth" else 2, 4)
    assert (header.recipe, header.recipe_sha256) == ("tiny", job.recipe.sha256)
    value = header.scores["held out"][target][score]
    assert value > 0
    if target == "picture":
        assert result.validation_psnr == value
    else:
        assert (result.validation_psnr, dict(result.scores)) == (None, {score: value})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    name = {"kernels": "val_kernel_error", "picture": "val_psnr", "depth": "val_depth_error"}[target]
    values = [line[name] for line in lines]
    best = max(values) if target == "picture" else min(values)
    assert value == round(best, 4)


@pytest.mark.parametrize("target", MODELS)
def test_it_learns(folder: Path, tmp_path: Path, target: str) -> None:
    """Sixty steps are better than one."""
    recipe = _recipe(target, optim={"steps": 60, "ema": 0.8, "lr": 3e-3}, run={"validate_every": 1000})
    scores = []
    for steps in (1, 60):
        result = run(
            _job(folder, tmp_path / str(steps), replace(recipe, optim=replace(recipe.optim, steps=steps)))
        )
        scores.append(result.validation_psnr if target == "picture" else -sum(result.scores.values()))
    assert scores[1] > scores[0] + (0.05 if target == "picture" else 0.02)


def test_kernels_of_some_pixels_teach_too(folder: Path, tmp_path: Path) -> None:
    """One pixel of nine, from another place in each step; all of them judge."""
    recipe = _recipe("kernels", optim={"steps": 60, "ema": 0.8, "lr": 3e-3}, run={"validate_every": 1000})
    thin = replace(recipe, data=replace(recipe.data, every=3))
    first = replace(thin, optim=replace(thin.optim, steps=1))
    errors = [
        sum(run(_job(folder, tmp_path / str(number), chosen)).scores.values())
        for number, chosen in enumerate((first, thin, recipe))
    ]
    assert errors[1] < errors[0] - 0.02
    assert errors[1] == pytest.approx(errors[2], rel=0.2) and errors[1] != errors[2]


@pytest.mark.parametrize("target", MODELS)
def test_the_same_job_gives_the_same_bytes(
    folder: Path, runs: dict[str, Path], tmp_path: Path, target: str
) -> None:
    again = run(_job(folder, tmp_path / "again", _recipe(target))).weights
    assert again.read_bytes() == (runs[target] / WEIGHTS).read_bytes()
    other = run(_job(folder, tmp_path / "other", replace(_recipe(target), seed=1))).weights
    assert other.read_bytes() != again.read_bytes()


@pytest.mark.parametrize("target", MODELS)
def test_a_resumed_run_goes_on_exactly(
    folder: Path, runs: dict[str, Path], tmp_path: Path, target: str
) -> None:
    class Stopping(Silent):
        steps = 3  # the first report is of what was done before

        def start(self, task: str, total: float) -> None:
            self.trains = task == "training"

        def advance(self, amount: float = 1.0) -> None:
            if self.trains:
                self.steps -= 1
            if self.steps == 0:
                raise KeyboardInterrupt

    job = _job(folder, tmp_path, _recipe(target))
    with pytest.raises(KeyboardInterrupt):
        run(job, Stopping())
    assert read_checkpoint(tmp_path, CPU)["step"] == 2
    result = run(replace(job, resume=True))
    assert result.weights.read_bytes() == (runs[target] / WEIGHTS).read_bytes()


def test_nbsr_carries_what_its_codes_mean(runs: dict[str, Path]) -> None:
    network = load_model(runs["picture"] / WEIGHTS).network
    assert isinstance(network, NBSR)
    torch.testing.assert_close(network.basis, kernel_basis(2, 5), atol=1e-3, rtol=0)
    assert bool((network.code_deviation > 0).all())
    assert float(network.code_mean.abs().max()) > 0.01


def test_nbsr_keeps_the_codes_of_the_weights_that_it_starts_from(
    folder: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    recipe = _recipe("picture", model={"start": str(runs["picture"] / WEIGHTS)}, seed=3)
    before = load_model(runs["picture"] / WEIGHTS).network
    after = load_model(run(_job(folder, tmp_path, recipe)).weights).network
    assert isinstance(before, NBSR)
    assert isinstance(after, NBSR)
    for name in ("basis", "code_mean", "code_deviation"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name


def test_nbsr_makes_its_own_codes_where_it_starts_from_another_scale(
    folder: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    arguments = MODELS["picture"]["arguments"] | {"scale": 3}
    recipe = _recipe("picture", model={"start": str(runs["picture"] / WEIGHTS), "arguments": arguments})
    network = load_model(run(_job(folder, tmp_path, recipe)).weights).network
    assert isinstance(network, NBSR)
    torch.testing.assert_close(network.basis, kernel_basis(3, 5), atol=1e-3, rtol=0)


def test_nbsr_starts_from_an_edsr(folder: Path, edsr_weights: Path, tmp_path: Path) -> None:
    progress = Listening()
    recipe = _recipe("picture", model={"start": str(edsr_weights)}, optim={"lr": 1e-12})
    network = load_model(run(_job(folder, tmp_path, recipe), progress).weights).network
    assert any(message.startswith("10 of ") and "start from" in message for message in progress.messages)
    edsr = load_model(edsr_weights).network
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(network(x, codes=torch.randn(1, 5, 8, 8)), edsr(x), atol=2e-3, rtol=0)


def test_nbsr_learns_from_estimated_kernels(folder: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    weights = runs["kernels"] / WEIGHTS
    recipe = _recipe("picture", estimator=str(weights))
    told = run(_job(folder, tmp_path / "told", recipe)).weights
    assert told.read_bytes() != (runs["picture"] / WEIGHTS).read_bytes()
    model = load_model(told)
    assert model.header is not None
    sha256 = load_model(weights, task="kernels").sha256
    assert model.header.providers == {"kernels": "model", "kernels version": f"sha256 {sha256[:12]}"}

    other = _recipe("picture", model={"arguments": MODELS["picture"]["arguments"] | {"scale": 4}})
    with pytest.raises(UsageError, match="is for x2, and the network for x4; choose one for the same scale"):
        run(_job(folder, tmp_path / "x4", replace(other, estimator=str(weights))))
    with pytest.raises(ResourceError, match="for the task 'sr'; expected 'kernels'"):
        run(_job(folder, tmp_path / "sr", replace(recipe, estimator=str(told))))


def test_weights_serve_what_they_are_for(runs: dict[str, Path]) -> None:
    provider = depth_provider("compact", CPU, weights=runs["depth"] / WEIGHTS)
    assert provider.estimate(torch.rand(1, 3, 20, 30)).shape == (1, 1, 20, 30)
    network = load_model(runs["kernels"] / WEIGHTS, task="kernels").network
    assert isinstance(network, DKENet)
    with pytest.raises(ResourceError, match="for the task 'kernels'; expected 'sr'"):
        load_model(runs["kernels"] / WEIGHTS)


def test_another_run_is_not_resumed(folder: Path, runs: dict[str, Path]) -> None:
    recipe = _recipe("kernels", model={"arguments": MODELS["kernels"]["arguments"] | {"features": 12}})
    with pytest.raises(UsageError, match=r"a run of another network \(dkenet.*features=8"):
        run(_job(folder, runs["kernels"], recipe, resume=True))
    with pytest.raises(UsageError, match="holds a run already"):
        run(_job(folder, runs["kernels"], _recipe("kernels")))


def test_the_recipes_part_is_the_plan_of_the_pairs() -> None:
    """With the same defaults, so that a recipe that says nothing means what the pairs' documentation says."""
    plan = {field.name: field.default for field in dataclasses.fields(BlurPlan)}
    for field in dataclasses.fields(BlurPart):
        assert plan.pop(field.name) == field.default, field.name
    assert set(plan) == {"scale", "patch", "batch", "seed", "rank"}


@pytest.mark.parametrize(
    ("target", "changes", "words"),
    [
        (
            "kernels",
            {"loss": {"l1": 1.0, "kernel": 1.0}},
            "'l1' does not suit the target 'kernels'; choose of kernel",
        ),
        ("picture", {"loss": {"kernel": 1.0}}, "does not suit the target 'picture'; choose of l1, l2, perc"),
        ("kernels", {"loss": {"kernel": 0.0}}, "names no loss"),
        (
            "picture",
            {"loss": {"l1": 1.0, "semantic": 1.0}},
            "needs a semantic provider, which this training has none",
        ),
        (
            "depth",
            {"model": MODELS["kernels"]},
            "'dkenet' does not learn the target 'depth'; set model.arch to 'depth'",
        ),
        ("kernels", {"estimator": "dkenet-x4"}, "target 'kernels' is told no kernels; leave it empty"),
        ("kernels", {"data": {"batch": 0}}, r"'data.batch' is 0; it must be from 1 to"),
        ("picture", {"data": {"judged": 0}}, "'data.judged' is 0"),
        ("kernels", {"data": {"every": 0}}, "'data.every' is 0"),
        ("picture", {"data": {"every": 2}}, "'data.every' is 2, and the target 'picture' has no kernels"),
        ("depth", {"data": {"patch": 16}}, "'data.patch' is 16; it must be from 32"),
        ("picture", {"optim": {"lr": 0.0}}, "'optim.lr' is 0.0; it must be above 0"),
        ("picture", {"data": {"blur": {"motion": 0.5}}}, "add up to 1.45; they must add up to 1"),
        ("kernels", {"data": {"blur": {"noise": [1.0]}}}, "'data.blur.noise' is .*two numbers"),
    ],
)
def test_recipes_that_make_no_sense(
    folder: Path, tmp_path: Path, target: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        run(_job(folder, tmp_path / "run", _recipe(target, **changes)))
    assert not (tmp_path / "run").exists()

"""Training a feature network: the losses, what is kept, and exact resumption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from srkit.archs.table import build
from srkit.data.views import CLEAN, DEGRADATIONS, ViewPlan, Views, ViewSource
from srkit.ops.layout import RGB
from srkit.progress import Silent
from srkit.recipes.encoder import EncoderRecipe
from srkit.recipes.load import from_mapping, to_mapping
from srkit.recipes.train import RunPart
from srkit.training.distributed import World
from srkit.training.encoder import LOSS, EncoderStep, loss_validator, measure_scales
from srkit.training.learners import ExemplarLearner, info_nce, make_learner, quality_error
from srkit.training.state import TrainState, new_state
from srkit.training.trainer import Limits, Trainer

CPU = torch.device("cpu")
MODELS: dict[str, dict[str, Any]] = {
    "contrast": {"arch": "compact", "arguments": {"widths": [8, 8], "blocks": [0, 1], "dim": 8, "side": 32}},
    "exemplar": {"arch": "judge", "arguments": {"widths": [6, 8]}},
}


def _recipe(objective: str, steps: int = 6, **changes: Any) -> EncoderRecipe:
    return from_mapping(
        EncoderRecipe,
        {
            "name": "tiny",
            "objective": objective,
            "model": MODELS[objective],
            "data": {"pictures": 4, "degraded": 2, "sides": [32]},
            "optim": {"lr": 3e-3, "warmup_steps": 2, "steps": steps, "ema": 0.5},
            "run": {"validate_every": 3, "checkpoint_minutes": 1000, "precision": "fp32"},
            **changes,
        },
    )


def _source(rendered: Callable[..., RGB], seed: int = 0) -> ViewSource:
    photographs = [rendered(96, 96, s) for s in (seed, seed + 1)]
    grids = [[np.indices((64, 64)).sum(0) % n < n // 2] for n in (4, 8, 16)]
    domains = [[np.repeat(g[..., None] * np.uint8(255), 3, 2) for g in grid] for grid in grids]
    return ViewSource(photographs, domains, ViewPlan(4, 2, (32,), seed))


def _state(recipe: EncoderRecipe) -> TrainState:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(recipe.model.arch, recipe.model.arguments)
        return new_state(make_learner(network, recipe, 5), recipe.optim)


def _trainer(recipe: EncoderRecipe, views: ViewSource, folder: Path) -> Trainer:
    return Trainer(
        batches=views.batches,
        step=EncoderStep(recipe.optim.clip_norm, None),
        validate=LOSS.of(loss_validator(views, CPU, None)),
        optim=recipe.optim,
        run=RunPart(recipe.run.validate_every, recipe.run.checkpoint_minutes, compile="off"),
        limits=Limits(recipe.optim.steps),
        folder=folder,
        device=CPU,
        world=World(),
        progress=Silent(),
        recipe=to_mapping(recipe),
    )


def test_info_nce_is_the_formula() -> None:
    first, second = (
        F.normalize(torch.randn(5, 7, generator=torch.Generator().manual_seed(i))) for i in (0, 1)
    )
    z = torch.cat([first, second]).double()
    expected = 0.0
    for i in range(10):
        others = [j for j in range(10) if j != i]
        e = torch.exp(z[i] @ z[others].T / 0.3)
        expected -= float(torch.log(e[others.index((i + 5) % 10)] / e.sum())) / 10
    assert float(info_nce(first, second, 0.3)) == pytest.approx(expected, abs=1e-5)
    assert float(info_nce(first, first, 0.01)) < float(info_nce(first, second, 0.01))


def test_quality_error_is_nothing_where_all_is_told() -> None:
    kind, strength = torch.tensor([CLEAN, CLEAN, 2] * 2), torch.tensor([0.0, 0.0, 1.0] * 2)
    views = Views(torch.zeros(6, 3, 1, 1), torch.zeros(6, dtype=torch.int64), kind, strength)
    estimated = torch.zeros(6, len(DEGRADATIONS))
    estimated[[2, 5], 2] = 1.0
    assert float(quality_error(estimated, views)) == pytest.approx(0)
    assert float(quality_error(0 * estimated, views)) == pytest.approx(1 / 3 + 1)
    # The third is the first's twin: what both get wrong alike is no error of the difference.
    estimated[[0, 2, 3, 5], 0] += 0.5
    assert float(quality_error(estimated, views)) == pytest.approx(0.25 * 2 / 3)
    clean = replace(views, kind=torch.full((6,), CLEAN), strength=torch.zeros(6))
    assert float(quality_error(0 * estimated, clean)) == 0


@pytest.mark.parametrize("objective", MODELS)
def test_the_loss_falls(objective: str, rendered: Callable[..., RGB], tmp_path: Path) -> None:
    recipe = _recipe(objective, steps=40)
    state, views = _state(recipe), _source(rendered)
    learner = state.network.train()
    with torch.no_grad():
        before = sum(float(learner(views.draw(step))["loss"]) for step in range(4))
    _trainer(recipe, views, tmp_path).fit(state)
    with torch.no_grad():
        after = sum(float(learner(views.draw(step))["loss"]) for step in range(4))
    assert after < 0.95 * before
    assert state.best is not None
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert sum("val_loss" in line for line in lines) == 14  # every third step, and the last


def test_the_judge_is_judged_by_what_it_tells_of_the_degradation(rendered: Callable[..., RGB]) -> None:
    recipe = _recipe("exemplar")
    learner, views = _state(recipe).network, _source(rendered).draw(0)
    assert isinstance(learner, ExemplarLearner)
    assert set(learner.train()(views)) == {"loss", "which", "quality"}
    beyond = replace(views, image=views.image + 100)
    assert set(learner.eval()(beyond)) == {"loss"}


def test_scales_are_what_the_stages_measure(rendered: Callable[..., RGB]) -> None:
    network: Any = build("judge", MODELS["exemplar"]["arguments"])
    images = [rendered(64, 80, 0), rendered(48, 48, 1)]
    measure_scales(network, images)
    x = torch.from_numpy(images[0]).permute(2, 0, 1)[None] / 255
    alone = [float(stage.detach().square().mean().sqrt()) for stage in network.stages(x)]
    both = network.scales.tolist()
    measure_scales(network, images[:1])
    assert network.scales.tolist() == pytest.approx(alone, rel=1e-5)
    assert both != pytest.approx(alone, rel=1e-5)

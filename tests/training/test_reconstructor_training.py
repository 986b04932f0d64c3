"""The step that trains a reconstructor: what its loss is made of, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.archs.reconstructor import Reconstructor
from srkit.data.pairs import Batch
from srkit.encoders.distance import perceptual_distance
from srkit.encoders.stages import encoder_stage
from srkit.losses.reconstruction import Far, ReconstructionLoss
from srkit.ops.resize import bicubic, upscale
from srkit.recipes.train import OptimPart
from srkit.training.controller import Controller, quality_distance
from srkit.training.reconstructor import (
    Objective,
    ReconstructorStep,
    reconstruction_validator,
    set_usual,
)
from srkit.training.state import TrainState, new_state

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def objective() -> Objective:
    return Objective(
        ReconstructionLoss(perceptual_distance("random", CPU), 0.1),
        Far(encoder_stage("random", "stage1", CPU)),
        Controller(0.1),
        far_weight=0.02,
        contrast=0.5,
        flawed_share=0.3,
        enlarged=0.2,
        margin=0.7,
        expected=0.6,
        quantile=0.7,
        autocast=None,
    )


@pytest.fixture(scope="module")
def batch(rendered: Callable[..., NDArray[np.uint8]]) -> Batch:
    cuts = [torch.from_numpy(rendered(48, 48, seed)).permute(2, 0, 1) for seed in range(4)]
    hr = torch.stack(cuts).float() / 255
    lr = bicubic(hr, (24, 24)) + 0.03 * torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    return Batch((lr.clamp(0, 1) * 255).round() / 255, hr)


def _state(objective: Objective, batch: Batch, lr: float = 1e-12) -> TrainState:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Reconstructor(2, 6, 1, 1, 1, 8, 24)
    set_usual(network, objective.far, [batch])
    return new_state(network, OptimPart(lr=lr))


def _take(objective: Objective, batch: Batch, state: TrainState, seed: int = 0) -> dict[str, float]:
    step = ReconstructorStep(objective, 1.0, seed)
    done = step(state, step.module(state.network), batch, 0.0, False)
    return {name: float(term) for name, term in done.terms.items()}


def test_the_loss_is_the_sum_of_its_terms(objective: Objective, batch: Batch) -> None:
    terms = _take(objective, batch, _state(objective, batch))
    total = terms["pixel"] + 0.1 * terms["perceptual"] + 0.7 * terms["margin"]
    total += 0.02 * (terms["far"] + 0.5 * terms["flawed"]) + 0.6 * terms["l* error"]
    assert terms["loss"] == pytest.approx(total, rel=1e-5)
    assert min(terms.values()) > 0
    seen = quality_distance(objective.reconstruction.distance, batch.lr, batch.hr)
    assert terms["l"] == pytest.approx(float(seen.mean()), rel=1e-5)


def test_as_in_the_paper_nothing_is_shown_with_a_flaw(objective: Objective, batch: Batch) -> None:
    seen: list[int] = []
    state = _state(objective, batch)

    def forward(lr: Tensor, images: Tensor, *rest: Any) -> Any:
        seen.append(len(images))
        return state.network(lr, images, *rest)

    for aim in (objective, replace(objective, contrast=0.0, margin=0.0)):
        done = ReconstructorStep(aim, 1.0, 0)(state, forward, batch, 0.0, False)
        assert (float(done.terms["flawed"]) > 0) == (aim.contrast > 0)
    assert seen == [6, 4]  # a share of 0.3 of four images is two


def test_usual_is_of_the_batches(objective: Objective, batch: Batch) -> None:
    network = _state(objective, batch).network
    assert isinstance(network, Reconstructor)
    found = network.relative(*objective.far.descriptors(batch.hr))
    for x in found:
        torch.testing.assert_close(x.mean(0), torch.zeros(24), atol=1e-4, rtol=0)


def test_a_step_is_of_its_number_and_seed(objective: Objective, batch: Batch) -> None:
    first, again, other = (_take(objective, batch, _state(objective, batch), seed) for seed in (0, 0, 1))
    assert first == again
    assert first["pixel"] != other["pixel"]
    later = _state(objective, batch)
    later.step = 7
    assert _take(objective, batch, later)["pixel"] != first["pixel"]


def test_without_the_controller_the_embedding_stays_as_it_is(objective: Objective, batch: Batch) -> None:
    factor, seen = replace(objective, controller=None).factor(batch.lr, batch.hr, 5, torch.Generator())
    assert bool((factor == 1).all())
    assert factor.shape == (4, 5)
    noiseless, also = objective.factor(batch.lr, batch.hr, 5, None)
    assert torch.equal(noiseless, seen[:, None].expand(-1, 5))
    assert torch.equal(also, seen)


def test_a_flawed_image_has_the_factor_that_adapting_gives_it(objective: Objective, batch: Batch) -> None:
    blurred = upscale(batch.lr[:2], 2)
    factor, seen = objective.factor(batch.lr, torch.cat([batch.hr, blurred]), 5, None)
    torch.testing.assert_close(factor[:4, 0], seen)
    torch.testing.assert_close(factor[4:, 0], 2 * seen[:2], atol=1e-2, rtol=0)  # l of the enlarged LR is 0


def test_it_learns_and_the_validator_sees_it(objective: Objective, batch: Batch) -> None:
    state = _state(objective, batch, 3e-3)
    validate = reconstruction_validator(objective, [batch])
    before, same = validate(state.network.eval()), validate(state.network)
    assert before == same
    state.network.train()
    for _ in range(40):
        _take(objective, batch, state)
        state.step += 1
    assert validate(state.network.eval()) > 0.6 * before  # negative errors


def test_it_learns_what_to_expect(objective: Objective, batch: Batch) -> None:
    """Of images of much detail and of none: how far each looks from the enlarged one."""
    flat = batch.hr[:2].mean((2, 3), keepdim=True).expand_as(batch.hr[:2])
    both = Batch(torch.cat([batch.lr[:2], flat[:, :, ::2, ::2]]), torch.cat([batch.hr[:2], flat]))
    seen = quality_distance(objective.reconstruction.distance, both.lr, both.hr)
    assert float(seen[:2].min()) > float(seen[2:].max()) + 0.01
    state = _state(objective, both, 3e-3)
    for _ in range(60):
        _take(replace(objective, expected=5.0), both, state)
        state.step += 1
    network = state.network.eval()
    assert isinstance(network, Reconstructor)
    with torch.no_grad():
        estimated = network.estimate(both.lr).distance
    # One number for all would be off by 0.87 deviations at best.
    assert float((estimated - seen).abs().max()) < 0.6 * float(seen.std())

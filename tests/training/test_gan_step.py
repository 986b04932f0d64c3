"""Adversarial steps: who is updated by what, resuming, and going back from a collapse."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.cria import Cria
from srkit.archs.table import DISCRIMINATORS, build
from srkit.data.pairs import Batch
from srkit.losses.gan import discriminator_loss
from srkit.losses.images import l1
from srkit.training import collapse
from srkit.training.gan_step import GanStep, held
from srkit.training.optim import set_rate
from srkit.training.state import (
    Snapshot,
    TrainState,
    content_of,
    is_finite,
    read_checkpoint,
    restore,
)
from srkit.training.trainer import DivergedError
from tests.helpers import Listening, refused
from tests.training.gan_runs import CPU, gan_recipe, gan_start, gan_trainer, real_pairs
from tests.training.runs import InterruptAfter, InvalidPairs, same

Images = list[NDArray[np.uint8]]


def _future(state: TrainState) -> dict[str, Any]:
    """All but the time, copied."""
    return copy.deepcopy({name: value for name, value in content_of(state).items() if name != "seconds"})


def _stepped(state: TrainState, step: GanStep, batch: Batch, rate: float = 1e-3, look: bool = False) -> Any:
    set_rate(state.optimizer, rate)
    return step(state, step.module(state.network), batch, rate, look)


@pytest.fixture(params=DISCRIMINATORS)
def discriminator(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(request.param, {"features": 4})


def test_nothing_changes_a_discriminator_that_is_held(discriminator: nn.Module) -> None:
    before = copy.deepcopy(discriminator.state_dict())
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    with held(discriminator):
        logits = discriminator(x)
        logits.square().sum().backward()
    assert same(before, discriminator.state_dict())
    assert all(p.grad is None and p.requires_grad for p in discriminator.parameters())
    assert all(module.training for module in discriminator.modules())
    assert x.grad is not None
    assert bool(x.grad.any())


def test_a_discriminator_that_is_held_works_as_in_training() -> None:
    """PatchGAN: by the batch's own statistics, which have never been averaged here."""
    network = build("patchgan", {"features": 4})
    x = torch.rand(2, 3, 32, 32)
    with held(network), torch.no_grad():
        logits = network(x)
    torch.testing.assert_close(logits, network(x))


@pytest.mark.parametrize("arch", DISCRIMINATORS)
def test_the_discriminator_learns_from_what_was_made_before_and_from_unsharpened_images(
    arch: str, images: Images
) -> None:
    """Its gradient, part of which is of the generator's step, is that of a step of its own."""
    base = gan_recipe(discriminator={"arch": arch})
    (state, step), batch = gan_start(base), real_pairs(images, base).draw(0)
    assert not torch.equal(batch.hr, batch.target)
    alone = copy.deepcopy(step.discriminator)
    with torch.no_grad():
        sr = copy.deepcopy(state.network)(batch.lr)
    real = alone(batch.hr)
    discriminator_loss(alone(sr), real).backward()
    _stepped(state, step, batch)
    for mine, expected in zip(step.discriminator.parameters(), alone.parameters(), strict=True):
        assert expected.grad is not None
        torch.testing.assert_close(mine.grad, expected.grad)


def test_neither_step_reaches_the_other_network(images: Images) -> None:
    base = gan_recipe()
    (state, step), batch = gan_start(base), real_pairs(images, base).draw(0)
    network, judge = (copy.deepcopy(m.state_dict()) for m in (state.network, step.discriminator))
    frozen = GanStep(**{**vars(step), "factor": 0.0})
    _stepped(state, frozen, batch)
    moved = copy.deepcopy(state.network.state_dict())
    assert not same(network, moved)
    parameters = dict(step.discriminator.named_parameters())
    assert all(torch.equal(judge[name], value) for name, value in parameters.items())

    gradients = [None if p.grad is None else p.grad.clone() for p in state.network.parameters()]
    step._discriminate(state.network(batch.lr), step.discriminator(batch.hr), 1e-3)
    assert same(moved, state.network.state_dict())
    assert same(gradients, [p.grad for p in state.network.parameters()])
    weights = [name for name in parameters if name.endswith("weight")]  # biases of logits make no difference
    assert not any(torch.equal(judge[name], parameters[name]) for name in weights)


def test_the_discriminator_learns(images: Images) -> None:
    """What a generator that stands still makes."""
    base = gan_recipe()
    (state, step), batch = gan_start(base), real_pairs(images, base).draw(0)
    losses = []
    for _ in range(12):
        state.optimizer.param_groups[0]["lr"] = 0.0
        losses.append(step(state, step.module(state.network), batch, 3e-3, False).terms["discriminator"])
    assert bool(losses[-1] < 0.7 * losses[0])


def test_the_generator_learns_and_what_is_logged(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Led by the pixels and features, the result comes nearer to the target."""
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 5)
    base = gan_recipe(30, optim={"lr": 3e-3}, loss={"pixel": 20.0}, run={"gradients_every": 15})
    (state, step), pairs = gan_start(base), real_pairs(images, base)
    fixed = pairs.draw(1000)
    before = l1(state.network(fixed.lr), fixed.target)
    gan_trainer(base, pairs, step, tmp_path).fit(state)
    assert bool(l1(state.network(fixed.lr), fixed.target) < 0.9 * before)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "loss" in line]
    assert len(logged) == 6
    terms = {"pixel", "perceptual", "adversarial", "align", "unif"}
    judged = {"discriminator", "logit real", "logit fake", "mask mean", "mask deviation", "mask entropy"}
    assert terms | judged < set(logged[0])
    assert 0 < logged[0]["mask mean"] < 1
    assert 0 < logged[0]["mask entropy"] <= 0.6932
    looked = [line for line in logged if "gradient/adversarial" in line]
    assert [line["step"] for line in looked] == [15, 30]
    assert looked[0]["gradient/pixel and perceptual"] > 0
    assert all(looked[0][f"gradient ratio/{name}"] > 0 for name in terms)


def test_pairs_without_a_target(images: Images) -> None:
    """Bicubic ones: their HR is the target."""
    base = gan_recipe()
    real = real_pairs(images, base).draw(0)
    done = [
        _stepped(*gan_start(base), batch)
        for batch in (Batch(real.lr, real.hr), Batch(real.lr, real.hr, {}, real.hr))
    ]
    assert same(dict(done[0].terms), dict(done[1].terms))


def test_resumed_is_the_same_bit_for_bit(images: Images, tmp_path: Path) -> None:
    base = gan_recipe(6, run={"validate_every": 2}, discriminator={"arch": "unet_sn"})
    straight, step = gan_start(base)
    gan_trainer(base, real_pairs(images, base), step, tmp_path / "a").fit(straight)

    broken, step = gan_start(base)
    with pytest.raises(KeyboardInterrupt):
        trainer = gan_trainer(base, real_pairs(images, base), step, tmp_path / "b", InterruptAfter(3))
        trainer.fit(broken)
    resumed, step = gan_start(base)
    restore(resumed, read_checkpoint(tmp_path / "b", CPU))
    assert resumed.step == 3
    assert bool(step.losses.criteria["align"].means.all())
    gan_trainer(base, real_pairs(images, base), step, tmp_path / "b").fit(resumed)
    assert same(_future(straight), _future(resumed))


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()


def test_a_collapsed_run_ends_with_its_last_good_state(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 5)
    monkeypatch.setattr(collapse, "_APART", 1e9)  # whatever the logits are, they are apart
    constant = {
        "lr": 1e-3,
        "lr_final": 1e-3,
        "warmup_steps": 0,
    }  # so that the short run is the long one's beginning
    base, short = (gan_recipe(n, optim=constant, discriminator={"patience": 20}) for n in (60, 5))
    good, step = gan_start(short)
    gan_trainer(short, real_pairs(images, short), step, tmp_path / "a").fit(good)
    state, step = gan_start(base)
    progress = Listening()
    gan_trainer(base, real_pairs(images, base), step, tmp_path / "b", progress).fit(state)
    assert state.step == 5
    assert same(_future(good), _future(state))
    assert same(read_checkpoint(tmp_path / "b", CPU)["network"], state.network.state_dict())
    assert len(progress.warned) == len(progress.about(20, 5)) == 1


def test_numbers_that_are_no_longer_finite_end_a_run_in_the_same_way(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 4)
    base, progress = gan_recipe(30), Listening()
    state, step = gan_start(base)
    invalid = InvalidPairs(real_pairs(images, base), step=5)
    gan_trainer(base, invalid, step, tmp_path, progress).fit(state)
    assert state.step == 4
    assert is_finite(content_of(state))
    assert len(progress.warned) == len(progress.about(8, 4)) == 1


def test_without_a_good_state_there_is_an_error(images: Images, tmp_path: Path) -> None:
    base = gan_recipe(30)
    state, step = gan_start(base)
    with torch.no_grad():
        next(step.discriminator.parameters()).fill_(torch.nan)
    with refused(DivergedError, 10, "discriminator.factor"):
        gan_trainer(base, real_pairs(images, base), step, tmp_path).fit(state)


def test_a_discriminator_that_is_not_finite_is_not_saved(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the network still is, and before anybody looks at the logits."""
    base = gan_recipe(1)
    state, step = gan_start(base)
    usual = step.optimizer.step

    def spoiling() -> None:
        usual()
        with torch.no_grad():
            next(step.discriminator.parameters()).fill_(torch.nan)

    monkeypatch.setattr(step.optimizer, "step", spoiling)
    trainer = replace(gan_trainer(base, real_pairs(images, base), step, tmp_path), snapshot=None)
    with refused(DivergedError, 1, "optim.lr"):
        trainer.fit(state)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_snapshot_is_a_copy_of_what_is_finite(images: Images) -> None:
    base, snapshot = gan_recipe(), Snapshot()
    (state, step), pairs = gan_start(base), real_pairs(images, base)
    assert not snapshot.restore(state)
    _stepped(state, step, pairs.draw(0))
    snapshot.take(state)
    kept = _future(state)
    _stepped(state, step, pairs.draw(1))
    state.step, state.seconds = 1, 5.0
    assert not same(kept, _future(state))
    step.losses.criteria["unif"].means[0] = torch.nan
    snapshot.take(state)  # in vain
    for _ in range(2):
        assert snapshot.restore(state)
        assert same(kept, _future(state))
        assert state.seconds == 5.0
        _stepped(state, step, pairs.draw(2))


def test_all_parts_of_a_network_with_two_heads_are_asked_for(images: Images) -> None:
    base = gan_recipe()
    state, step = gan_start(base)
    assert isinstance(state.network, Cria)
    x = torch.rand(1, 3, 12, 12)
    for mine, expected in zip(step.module(state.network)(x), state.network.parts(x), strict=True):
        assert isinstance(mine, Tensor)
        assert torch.equal(mine, expected)

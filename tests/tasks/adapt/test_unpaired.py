"""Self-supervised adaptation as a task: from a folder of low-resolution images to weights that load."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from srkit.archs.edsr import EDSR
from srkit.data.pairs import make_lr
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.ops.layout import RGB
from srkit.recipes.self_supervised import Control
from srkit.tasks.adapt.loop import MIN_GAIN, LoopFit, factor_of, fit
from srkit.tasks.adapt.run import AdaptResult
from srkit.training.controller import Controller
from srkit.zoo.header import Header, read_header
from srkit.zoo.load import load_model
from srkit.zoo.weights import load_weights, read_tensors, save_weights
from tests.helpers import Listening, missing, refused
from tests.tasks.adapt.adapting import LOOP, compressed, write

Adapt = Callable[..., AdaptResult]


@pytest.fixture
def adapt(self_adapt: Adapt) -> Adapt:
    return self_adapt


# -- what comes of it --------------------------------------------------------------------------------------


def test_it_changes_what_it_sees_and_claims_no_more(adapt: Adapt, phone: Path) -> None:
    result = adapt(phone)
    assert not result.loop.clean
    assert (result.support, result.judge, result.strips) == (("b", "c", "d", "e"), ("a",), False)
    before, after = result.before.mean, result.after.mean
    score = (after["neutral"] / before["neutral"] + after["far"] / before["far"]) / 2
    assert score < 1 - MIN_GAIN
    assert result.before.metrics == ("neutral", "far", "reconstruction")
    assert [image.name for image in result.after.images] == ["a (1)", "a (2)"]
    assert result.loop.raw is not None and result.loop.average is not None
    assert result.loop.average.change >= 25
    about = read_header(result.output).adapted
    assert (about["self_supervised"], about["best"]) == (True, result.loop.best)
    assert about["providers"]["distance"] == "random"
    assert about["far_weight"] == result.loop.far_weight > 0
    assert "/" not in json.dumps(about["recipe"])
    # It says that nobody can know, and how far it went; and no more.
    changed = after["neutral"] / before["neutral"] - 1, after["far"] / before["far"] - 1
    assert not missing(result.verdict, ("cannot be known", "references", *(f"{one:+.1%}" for one in changed)))
    distance = re.search(r"lie ([\d.]+) dB", result.verdict)
    assert distance is not None
    assert float(distance[1]) >= min(LOOP.most_change, result.loop.raw.change)


def test_what_goes_too_far_is_taken_back(adapt: Adapt, phone: Path) -> None:
    result = adapt(phone, loop=replace(LOOP, most_change=90.0))
    assert not result.kept
    assert result.loop.raw is not None
    assert result.loop.raw.change < 90


def test_clean_images_are_left_alone(
    adapt: Adapt, tmp_path: Path, edsr_weights: Path, rendered: Callable[..., RGB]
) -> None:
    for i in range(5):
        smooth = make_lr(make_lr(rendered(256, 256, i), 2), 2)
        write(tmp_path / f"clean/{i}.png", smooth)
    result = adapt(tmp_path / "clean")
    assert (result.loop.clean, result.kept, result.steps, result.stopped) == (True, False, 0, "clean")
    assert (result.loop.raw, result.loop.average) == (None, None)
    base, written = read_tensors(edsr_weights), read_tensors(result.output)
    assert all(torch.equal(tensor, written[name]) for name, tensor in base.items())
    asked = adapt(tmp_path / "clean", output="b.safetensors", loop=replace(LOOP, even_clean=True))
    assert (asked.loop.clean, asked.steps) == (False, 12)


# -- the ways of the ablation ------------------------------------------------------------------------------


def test_the_controller_and_the_regulariser_can_be_left_out(
    phone: Path, edsr_weights: Path, reconstructor_weights: Path
) -> None:
    from srkit.data.unlabelled import find_unpaired
    from srkit.inference.degrader import load_degrader
    from srkit.progress import Silent
    from srkit.tasks.adapt.loop import split_for

    cpu = torch.device("cpu")
    model = load_model(edsr_weights)
    degrader = load_degrader(str(reconstructor_weights), 2, cpu, None)
    split = split_for(find_unpaired(phone, 2), model, degrader, None, 10**9)
    states = []
    for change in (
        {},
        {"control": "off"},
        {"control": "reversed"},
        {"noise_std": 0.0},
        {"noise_std": 1.0, "draws": 2},
        {"far_share": 0.0},
    ):
        part = replace(LOOP, steps=6, **change)  # type: ignore[arg-type]
        fitted = fit(model, degrader, split, LoopFit(part, cpu, "fp32", 0), Silent())
        assert (fitted.findings.far_weight == 0) is (part.far_share == 0)
        states.append((fitted.findings.raw.neutral, fitted.findings.raw.far))
    assert len(set(states)) == len(states)


def test_what_is_kept_whatever_the_judges_say(adapt: Adapt, phone: Path) -> None:
    kept = {}
    for keep in ("raw", "average"):
        result = adapt(phone, output=f"{keep}.safetensors", loop=replace(LOOP, keep=keep, most_change=90.0))
        assert (result.kept, result.loop.best, result.best_step) == (True, keep, 12)
        kept[keep] = read_tensors(result.output)
    judged = adapt(phone)
    assert judged.loop.raw is not None
    name = "trunk.head.weight"
    assert not torch.equal(kept["raw"][name], kept["average"][name])


def test_both_ends_are_told_whichever_is_kept(adapt: Adapt, phone: Path) -> None:
    ends = []
    for keep in ("raw", "average"):
        result = adapt(phone, output=f"{keep}.safetensors", loop=replace(LOOP, keep=keep))
        assert result.loop.raw is not None and result.loop.average is not None
        assert result.loop.raw.change < result.loop.average.change
        kept = result.loop.raw if keep == "raw" else result.loop.average
        assert result.after.mean["neutral"] == pytest.approx(kept.neutral, rel=1e-6)
        ends.append((result.loop.raw, result.loop.average))
    assert ends[0] == ends[1]


# -- models ------------------------------------------------------------------------------------------------


def test_learned_rates_are_not_used_and_stay(
    adapt: Adapt, phone: Path, edsr_weights: Path, tmp_path: Path
) -> None:
    from srkit.training.inner import uniform_rates

    model = load_weights(edsr_weights)
    assert model.header is not None
    rates = uniform_rates(model.network, 0.05)
    header = replace(model.header, rates={"rule": "sgd", "loss": {"l1": 1.0}})
    save_weights(tmp_path / "meta.safetensors", model.network, header, rates=rates)
    result = adapt(phone, model=str(tmp_path / "meta.safetensors"))
    assert result.rates == "0.0002 (adam)"
    assert load_weights(result.output).rates.keys() == rates.keys()


def test_models_and_reconstructors_that_do_not_serve(
    adapt: Adapt, phone: Path, tmp_path: Path, nbsr_weights: Path, dkenet_weights: Path, edsr_weights: Path
) -> None:
    arguments: dict[str, Any] = {"scale": 4, "features": 8, "blocks": 1}
    save_weights(tmp_path / "four.safetensors", EDSR(**arguments), Header("edsr", arguments, 4))
    cases: list[tuple[type[SrkitError], dict[str, Any], tuple[object, ...]]] = [
        (UsageError, {"model": str(nbsr_weights)}, ("codes",)),
        (ResourceError, {"model": str(dkenet_weights)}, (dkenet_weights, "kernels", "sr")),
        (ResourceError, {"model": str(tmp_path / "four.safetensors")}, ("x2", "x4")),
        (UsageError, {"scale": 4}, ("--scale", 2, 4)),
        (UsageError, {"loop": replace(LOOP, patch=21)}, ("loop.patch", 21, 22, "random")),
        (ResourceError, {"reconstructor": "reconstructor-x99"}, ("reconstructor-x99",)),
        (
            ResourceError,
            {"reconstructor": str(tmp_path / "gone.safetensors")},
            (tmp_path / "gone.safetensors",),
        ),
        (ResourceError, {"reconstructor": str(edsr_weights)}, (edsr_weights, "sr")),
    ]
    if importlib.util.find_spec("spandrel"):
        from spandrel.architectures import DnCNN

        network = DnCNN.DnCNN(in_nc=1, out_nc=1, nc=16, nb=17, act_mode="R")
        torch.save(network.state_dict(), tmp_path / "x1.pth")  # it keeps the size
        cases.append((ResourceError, {"model": str(tmp_path / "x1.pth")}, ("x1",)))
    for error, changes, named in cases:
        with refused(error, *named):
            adapt(phone, **changes)
    assert not (tmp_path / "out.safetensors").exists()


# -- few and bad images ----------------------------------------------------------------------------------


def test_one_image(adapt: Adapt, tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    write(tmp_path / "one/a.png", compressed(rendered(60, 110)))
    listening = Listening()
    result = adapt(tmp_path / "one", listening)
    assert (result.support, result.judge, result.strips) == (("a",), ("a",), True)
    assert listening.warned
    assert result.steps == 12


def test_a_single_small_image(adapt: Adapt, tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    write(tmp_path / "one/a.png", compressed(rendered(30, 40)))
    with refused(SrkitError, "'a'"):
        adapt(tmp_path / "one")


def test_small_gray_and_broken_ones(adapt: Adapt, tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    """Crops shrink to the smallest image, down to what the degradation encoder needs; broken ones are named."""
    for i, side in enumerate((22, 26, 40, 40, 12)):
        image = compressed(rendered(side, 48, i))
        write(tmp_path / f"some/{'abcde'[i]}.png", image[:, :, :1] if i == 1 else image)
    (tmp_path / "some/f.png").write_bytes(b"broken")
    listening = Listening()
    result = adapt(tmp_path / "some", listening, loop=replace(LOOP, patch=48))
    assert (result.support, result.judge) == (("b", "c", "d"), ("a",))
    assert [name for name, _ in result.failed] == ["f"]
    assert listening.about("'e'", "48 x 12")
    assert len([warning for warning in listening.warned if warning.startswith("1 ")]) == 1


def test_mixed_degradations(adapt: Adapt, tmp_path: Path, phone: Path, rendered: Callable[..., RGB]) -> None:
    for i in range(4):
        sharp = make_lr(make_lr(rendered(256, 256, i), 2), 2)
        noise = np.random.default_rng(i).normal(0, 12, sharp.shape)
        write(tmp_path / f"mixed/n{i}.png", np.clip(sharp + noise, 0, 255).astype(np.uint8))
        write(tmp_path / f"mixed/j{i}.png", compressed(sharp, 20))
    listening = Listening()
    result = adapt(tmp_path / "mixed", listening)
    assert result.loop.traces.mixed
    assert 0 < result.loop.spread < 1
    assert listening.about(f"{result.loop.spread:.2f}")
    assert result.steps == 12
    alone = Listening()
    adapt(phone, alone, output="alone.safetensors")
    assert len(alone.warned) < len(listening.warned)


# -- settings ----------------------------------------------------------------------------------------------


def test_what_embeddings_are_multiplied_by() -> None:
    seen, expected = torch.tensor([0.3, 0.3]), torch.tensor([0.4, 0.2])
    wanted: dict[Control, list[float]] = {
        "adapting": [0.5, 0.1],
        "paper": [0.7, 0.7],
        "reversed": [0.3, 0.3],
        "off": [0.4, 0.2],
    }
    assert set(wanted) == set(get_args(Control))
    for control, factors in wanted.items():
        found = factor_of(Controller(), control, 0.0)(seen, expected, 1, torch.Generator())
        assert found[:, 0].tolist() == pytest.approx(factors), control
        assert factor_of(None, control)(seen, expected, 1, None).tolist() == [[1.0], [1.0]]
    noisy = [
        factor_of(Controller(), "adapting", std)(seen, expected, 9, torch.Generator()) for std in (None, 0.5)
    ]
    assert float(noisy[0].std()) < float(noisy[1].std())

"""Self-supervised adaptation as a task: from a folder of low-resolution pictures to weights that load."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from srkit.archs.edsr import EDSR
from srkit.data.pairs import make_lr
from srkit.degradation.jpeg import jpegs
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.io.picture import Picture
from srkit.io.write import write_picture
from srkit.recipes.self_supervised import Control, LoopPart, SelfAdaptRecipe
from srkit.tasks.self_adapt import SelfAdaptJob, SelfAdaptResult, run
from srkit.tasks.self_adapt_fit import LEAST_GAIN, LoopFit, factor_of, fit
from srkit.training import closed_loop
from srkit.training.controller import Controller
from srkit.zoo.header import Header, read_header
from srkit.zoo.load import load_model
from srkit.zoo.weights import load_weights, read_tensors, save_weights
from tests.helpers import Listening, refused

LOOP = LoopPart(steps=12, patch=24, batch=2, rate=2e-4, judge_every=6, most_change=25.0)
RGB = NDArray[np.uint8]
Adapt = Callable[..., SelfAdaptResult]


def write(path: Path, pixels: RGB) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(np.ascontiguousarray(pixels)), path, format="png")


def compressed(picture: RGB, quality: int = 35) -> RGB:
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    return (jpegs([x], [quality])[0][0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., RGB]) -> Path:
    """Five small pictures, all compressed."""
    folder = tmp_path_factory.mktemp("data") / "phone"
    for i in range(5):
        write(folder / f"{'abcde'[i]}.png", compressed(make_lr(rendered(96, 112, i), 2)))
    return folder


@pytest.fixture
def adapt(edsr_weights: Path, reconstructor_weights: Path, tmp_path: Path) -> Adapt:
    """Adapts the tiny EDSR x2 and writes to tmp_path/out.safetensors."""

    def go(
        domain: Path, progress: Any = None, output: str = "out.safetensors", **changes: Any
    ) -> SelfAdaptResult:
        usual = {
            "model": str(edsr_weights),
            "reconstructor": str(reconstructor_weights),
            "loop": LOOP,
            "device": "cpu",
            "dtype": "fp32",
        }
        recipe = SelfAdaptRecipe(**(usual | changes))
        return run(SelfAdaptJob(recipe, domain, tmp_path / output, with_gallery=True), progress)

    return go


# -- what comes of it --------------------------------------------------------------------------------------


def test_it_helps_by_what_it_sees_and_says_so(adapt: Adapt, phone: Path, edsr_weights: Path) -> None:
    base_bytes = edsr_weights.read_bytes()
    result = adapt(phone)
    assert edsr_weights.read_bytes() == base_bytes
    assert (result.kept, result.clean, result.steps, result.stopped) == (True, False, 12, "steps")
    assert (result.support, result.judge, result.strips) == (("b", "c", "d", "e"), ("a",), False)
    before, after = result.before.mean, result.after.mean
    score = (after["neutral"] / before["neutral"] + after["far"] / before["far"]) / 2
    assert score < 1 - LEAST_GAIN
    assert result.before.metrics == ("neutral", "far", "reconstruction")
    assert [image.name for image in result.after.images] == ["a (1)", "a (2)"]
    assert result.raw is not None and result.average is not None
    assert result.average.change >= 25
    header, base = read_header(result.output), read_header(edsr_weights)
    assert replace(header, adapted={}, scores={}, steps=None) == replace(base, scores={}, steps=None)
    about = header.adapted
    assert (about["self_supervised"], about["kept"], about["best"]) == (True, True, result.best)
    assert about["providers"]["distance"] == "random"
    assert about["sha256"] == load_model(edsr_weights).sha256
    assert about["far_weight"] == result.far_weight > 0
    assert "/" not in json.dumps(about["recipe"])


def test_it_repeats_to_the_byte(adapt: Adapt, phone: Path) -> None:
    one, two = (adapt(phone, output=name) for name in ("one.safetensors", "two.safetensors"))
    assert one.output.read_bytes() == two.output.read_bytes()
    assert one.after.images == two.after.images
    other = adapt(phone, output="three.safetensors", seed=1)
    assert other.output.read_bytes() != one.output.read_bytes()


def test_only_the_network_changes(
    phone: Path, edsr_weights: Path, reconstructor_weights: Path, adapt: Adapt
) -> None:
    before = reconstructor_weights.read_bytes()
    result = adapt(phone)
    assert reconstructor_weights.read_bytes() == before
    old, new = read_tensors(edsr_weights), read_tensors(result.output)
    assert old.keys() == new.keys()
    assert any(not torch.equal(tensor, new[name]) for name, tensor in old.items())


def test_what_does_not_help_is_taken_back(
    adapt: Adapt, phone: Path, edsr_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learning to make the loss larger: the base's tensors are written, bit for bit."""
    loss = closed_loop.ClosedLoop.loss

    def opposite(self: Any, seed: int) -> Any:
        value = loss(self, seed)
        return lambda sr, batch: -value(sr, batch)

    monkeypatch.setattr(closed_loop.ClosedLoop, "loss", opposite)
    result = adapt(phone)
    assert not result.kept
    assert result.best == "base"
    assert result.after is result.before
    base, written = read_tensors(edsr_weights), read_tensors(result.output)
    assert all(torch.equal(tensor, written[name]) for name, tensor in base.items())
    assert read_header(result.output).adapted["kept"] is False


def test_what_goes_too_far_is_taken_back(adapt: Adapt, phone: Path) -> None:
    result = adapt(phone, loop=replace(LOOP, most_change=90.0))
    assert not result.kept
    assert result.raw is not None
    assert result.raw.change < 90


def test_clean_pictures_are_left_alone(
    adapt: Adapt, tmp_path: Path, edsr_weights: Path, rendered: Callable[..., RGB]
) -> None:
    for i in range(5):
        smooth = make_lr(make_lr(rendered(256, 256, i), 2), 2)
        write(tmp_path / f"clean/{i}.png", smooth)
    result = adapt(tmp_path / "clean")
    assert (result.clean, result.kept, result.steps, result.stopped) == (True, False, 0, "clean")
    assert (result.raw, result.average) == (None, None)
    base, written = read_tensors(edsr_weights), read_tensors(result.output)
    assert all(torch.equal(tensor, written[name]) for name, tensor in base.items())
    asked = adapt(tmp_path / "clean", output="b.safetensors", loop=replace(LOOP, even_clean=True))
    assert (asked.clean, asked.steps) == (False, 12)


def test_report(adapt: Adapt, phone: Path, tmp_path: Path) -> None:
    from srkit.metrics.reports import html_page

    result = adapt(phone)
    html_page.write(result.report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert result.verdict in page
    assert page.count('data-view="before"') == page.count('data-view="lr"') == 2


def test_a_loss_that_is_no_number(adapt: Adapt, phone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    loss = closed_loop.ClosedLoop.loss

    def spoilt(self: Any, seed: int) -> Any:
        value = loss(self, seed)

        def spoils(sr: torch.Tensor, batch: Any) -> torch.Tensor:
            calls.append(1)
            found: torch.Tensor = value(sr, batch) * (float("nan") if len(calls) > 8 else 1.0)
            return found

        return spoils

    monkeypatch.setattr(closed_loop.ClosedLoop, "loss", spoilt)
    listening = Listening()
    result = adapt(phone, listening)
    assert (result.stopped, result.steps) == ("diverged", 8)
    assert listening.about(8)


# -- the ways of the ablation ------------------------------------------------------------------------------


def test_the_controller_and_the_regulariser_can_be_left_out(
    phone: Path, edsr_weights: Path, reconstructor_weights: Path
) -> None:
    from srkit.data.unlabelled import find_low
    from srkit.progress import Silent
    from srkit.tasks.degrader import load_degrader
    from srkit.tasks.self_adapt_fit import split_for

    cpu = torch.device("cpu")
    model = load_model(edsr_weights)
    degrader = load_degrader(str(reconstructor_weights), 2, cpu, None)
    split = split_for(find_low(phone, 2), model, degrader, None, 10**9)
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
        assert (fitted.far_weight == 0) is (part.far_share == 0)
        states.append((fitted.raw.neutral, fitted.raw.far))
    assert len(set(states)) == len(states)


def test_what_is_kept_whatever_the_judges_say(adapt: Adapt, phone: Path) -> None:
    kept = {}
    for keep in ("raw", "average"):
        result = adapt(phone, output=f"{keep}.safetensors", loop=replace(LOOP, keep=keep, most_change=90.0))
        assert (result.kept, result.best, result.best_step) == (True, keep, 12)
        kept[keep] = read_tensors(result.output)
    judged = adapt(phone)
    assert judged.raw is not None
    name = "trunk.head.weight"
    assert not torch.equal(kept["raw"][name], kept["average"][name])


def test_both_ends_are_told_whichever_is_kept(adapt: Adapt, phone: Path) -> None:
    ends = []
    for keep in ("raw", "average"):
        result = adapt(phone, output=f"{keep}.safetensors", loop=replace(LOOP, keep=keep))
        assert result.raw is not None and result.average is not None
        assert result.raw.change < result.average.change
        kept = result.raw if keep == "raw" else result.average
        assert result.after.mean["neutral"] == pytest.approx(kept.neutral, rel=1e-6)
        ends.append((result.raw, result.average))
    assert ends[0] == ends[1]


# -- models ------------------------------------------------------------------------------------------------


def test_a_conditioned_network(adapt: Adapt, phone: Path, cdasr_weights: Path) -> None:
    result = adapt(phone, model=str(cdasr_weights))
    assert result.steps == 12
    assert read_header(result.output).providers == read_header(cdasr_weights).providers


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


def test_a_foreign_checkpoint(adapt: Adapt, phone: Path, tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures import Compact

    torch.manual_seed(0)
    network = Compact.Compact(num_feat=8, num_conv=1, upscale=2).eval()
    torch.save({"params": network.state_dict()}, tmp_path / "base.pth")
    content = (tmp_path / "base.pth").read_bytes()
    result = adapt(phone, model=str(tmp_path / "base.pth"))
    assert (tmp_path / "base.pth").read_bytes() == content
    assert result.kept
    again = load_model(result.output)
    assert again.source == "spandrel"
    with safe_open(result.output, framework="pt") as file:
        assert set(file.keys()) == set(network.state_dict())
        told = json.loads(file.metadata()["srkit_adapted"])
    assert told["sha256"] == load_model(tmp_path / "base.pth").sha256
    assert told["self_supervised"] is True


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


# -- few and bad pictures ----------------------------------------------------------------------------------


def test_one_picture(adapt: Adapt, tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    write(tmp_path / "one/a.png", compressed(rendered(60, 110)))
    listening = Listening()
    result = adapt(tmp_path / "one", listening)
    assert (result.support, result.judge, result.strips) == (("a",), ("a",), True)
    assert listening.warned
    assert result.steps == 12


def test_a_single_small_picture(adapt: Adapt, tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    write(tmp_path / "one/a.png", compressed(rendered(30, 40)))
    with refused(SrkitError, "'a'"):
        adapt(tmp_path / "one")


def test_small_gray_and_broken_ones(adapt: Adapt, tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    """Crops shrink to the smallest picture, down to what the degradation encoder needs; broken ones are named."""
    for i, side in enumerate((22, 26, 40, 40, 12)):
        picture = compressed(rendered(side, 48, i))
        write(tmp_path / f"some/{'abcde'[i]}.png", picture[:, :, :1] if i == 1 else picture)
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
    assert result.traces.mixed
    assert 0 < result.spread < 1
    assert listening.about(f"{result.spread:.2f}")
    assert result.steps == 12
    alone = Listening()
    adapt(phone, alone, output="alone.safetensors")
    assert len(alone.warned) < len(listening.warned)


# -- settings ----------------------------------------------------------------------------------------------


def test_how_many_steps() -> None:
    assert LoopPart().most_steps == 300
    assert LoopPart(minutes=1.0).most_steps > 10**9
    assert LoopPart(steps=7, minutes=1.0).most_steps == 7


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"loop": {"steps": 0}}, ("--steps", 0)),
        ({"loop": {"minutes": 0.0}}, ("--minutes", 0.0)),
        ({"holdout": 1.0}, ("--holdout", 1.0)),
        ({"scale": 17}, ("--scale", 17)),
        ({"loop": {"rate": -1.0}}, ("loop.rate", -1.0)),
        ({"loop": {"ema": 1.0}}, ("loop.ema", 1.0)),
        ({"loop": {"far_share": -0.5}}, ("loop.far_share", -0.5)),
        ({"loop": {"noise_std": float("inf")}}, ("loop.noise_std", "inf")),
        ({"loop": {"draws": 0}}, ("loop.draws", 0)),
        ({"loop": {"keep": "best"}}, ("loop.keep", "best", "judged", "raw", "average")),
        ({"loop": {"control": "on"}}, ("loop.control", "on")),
        ({"threads": 0}, ("--threads", 0)),
        ({"max_pixels": 0}, ("--max-pixels", 0)),
    ],
)
def test_recipes_that_make_no_sense(changes: dict[str, Any], named: tuple[object, ...]) -> None:
    with refused(UsageError, *named):
        SelfAdaptRecipe(**{k: LoopPart(**v) if k == "loop" else v for k, v in changes.items()})


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

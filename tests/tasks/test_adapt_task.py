"""Adapting as a task: from a folder of examples to weights that load, and what must not happen on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from srkit.data.pairs import make_lr
from srkit.errors import Exit, ResourceError, SrkitError, UsageError
from srkit.io.picture import Picture
from srkit.io.read import read_picture
from srkit.io.write import write_picture
from srkit.losses import table
from srkit.losses.pixel import l2
from srkit.recipes.adapt import AdaptRecipe, TunePart
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import draw, render, spec
from srkit.tasks.adapt import AdaptJob, AdaptResult, run
from srkit.tasks.adapt_fit import overwrites_itself
from srkit.tasks.upscaler import Models, Upscaler, Work
from srkit.training.inner import uniform_rates
from srkit.zoo.header import Header, read_header
from srkit.zoo.load import load_model
from srkit.zoo.weights import load_weights, read_tensors, save_weights

TUNE = TunePart(steps=30, patch=12, batch=4, rate=2e-3, judge_every=10, warmup_steps=2)
RGB = NDArray[np.uint8]


def write(path: Path, pixels: RGB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(np.ascontiguousarray(pixels)), path, format="png")
    return path


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small screens of one kind."""
    folder = tmp_path_factory.mktemp("data") / "screens"
    for i in range(5):
        screen = replace(spec("screen", i), content="article", theme="light")  # type: ignore[call-arg]
        write(folder / f"{'abcde'[i]}.png", draw(screen, 72, 64).pixels)
    return folder


@pytest.fixture
def adapt(edsr_weights: Path, tmp_path: Path) -> Callable[..., AdaptResult]:
    """Adapts the tiny EDSR x2 and writes to tmp_path/out.safetensors."""

    def go(
        domain: Path, progress: Any = None, output: str = "out.safetensors", **changes: Any
    ) -> AdaptResult:
        usual = {"model": str(edsr_weights), "shots": 3, "tune": TUNE, "device": "cpu", "dtype": "fp32"}
        recipe = AdaptRecipe(**(usual | changes))
        return run(AdaptJob(recipe, domain, tmp_path / output, with_gallery=True), progress)

    return go


class Listening:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def start(self, label: str, total: float | None) -> None: ...

    def advance(self, amount: float = 1.0) -> None: ...

    def finish(self) -> None: ...

    def info(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


# -- what comes of it --------------------------------------------------------------------------------------


def test_it_helps_and_says_what_it_did(
    adapt: Callable[..., AdaptResult], screens: Path, edsr_weights: Path
) -> None:
    base_bytes = edsr_weights.read_bytes()
    result = adapt(screens)
    assert edsr_weights.read_bytes() == base_bytes
    assert result.kept
    assert (result.support, result.judge, result.strips) == (("a", "b", "c"), ("d", "e"), False)
    assert (result.steps, result.stopped) == (30, "steps")
    assert result.after.mean["psnr"] > result.before.mean["psnr"] + 0.3
    assert [image.name for image in result.after.images] == ["d", "e"]
    assert result.before.support == result.support
    assert result.rates == "0.002 (adam)"
    assert result.verdict.startswith("Adapting gained +")
    header, base = read_header(result.output), read_header(edsr_weights)
    assert replace(header, adapted={}, scores={}, steps=None) == replace(base, scores={}, steps=None)
    about = header.adapted
    assert about["sha256"] == load_model(edsr_weights).sha256 == result.before.model_sha256
    assert (about["model"], about["domain"], about["support"]) == ("tiny-x2", "screens", ["a", "b", "c"])
    assert (about["kept"], about["recipe"]["tune"]["rate"]) == (True, 2e-3)
    assert str(edsr_weights.parent) not in json.dumps(about)


def test_the_scores_are_those_of_the_file(adapt: Callable[..., AdaptResult], screens: Path) -> None:
    """Upscaled anew with what was written."""
    result = adapt(screens)
    upscaler = Upscaler(UpscaleRecipe(model=str(result.output), device="cpu", dtype="fp32"))
    hr = read_picture(screens / "d.png").pixels
    (done,) = upscaler.run([Work("d", Picture(make_lr(hr, 2)), hr.shape[1], hr.shape[0])])
    assert done.picture is not None
    luma = [x.astype(np.float64) @ [65.481, 128.553, 24.966] / 255 for x in (done.picture.pixels, hr)]
    error = (luma[0] - luma[1])[2:-2, 2:-2]
    expected = 20 * np.log10(255 / np.sqrt((error**2).mean()))
    assert result.after.images[0].values["psnr"] == pytest.approx(expected, abs=1e-6)


def test_it_repeats_to_the_byte(adapt: Callable[..., AdaptResult], screens: Path) -> None:
    one, two = (adapt(screens, output=name) for name in ("one.safetensors", "two.safetensors"))
    assert one.output.read_bytes() == two.output.read_bytes()
    assert one.after.images == two.after.images
    other = adapt(screens, output="three.safetensors", seed=1)
    assert other.output.read_bytes() != one.output.read_bytes()


def test_what_does_not_help_is_taken_back(
    adapt: Callable[..., AdaptResult], screens: Path, edsr_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learning the opposite: the base's tensors are written, bit for bit."""
    opposite = table.Term(lambda context: lambda sr, hr: l2(sr, 1 - hr))
    monkeypatch.setattr(table, "LOSSES", {**table.LOSSES, "l2": opposite})
    result = adapt(screens)
    assert not result.kept
    assert result.verdict.startswith("Adapting did not help")
    assert result.after is result.before
    base, written = read_tensors(edsr_weights), read_tensors(result.output)
    assert base.keys() == written.keys()
    assert all(torch.equal(tensor, written[name]) for name, tensor in base.items())
    assert all(written[name].dtype == tensor.dtype for name, tensor in base.items())
    assert read_header(result.output).adapted["kept"] is False
    assert "did not help" in result.report.remarks[0]


def test_a_loss_that_is_no_number(
    adapt: Callable[..., AdaptResult], screens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def spoilt(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return l2(sr, hr) * (float("nan") if len(calls) > 20 else 1.0)

    monkeypatch.setattr(table, "LOSSES", {**table.LOSSES, "l2": table.Term(lambda context: spoilt)})
    listening = Listening()
    result = adapt(screens, listening)
    assert (result.stopped, result.steps, result.kept) == ("diverged", 20, True)
    assert result.after.mean["psnr"] > result.before.mean["psnr"]
    assert any("no longer a number" in warning for warning in listening.warned)


def test_report(adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path) -> None:
    from srkit.metrics.reports import html_page

    result = adapt(screens)
    html_page.write(result.report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<title>Adaptation</title>" in page
    assert "Adapting gained +" in page
    assert page.count('data-view="before"') == page.count('data-view="hr"') >= 2
    assert "out" in page
    assert "tiny-x2" in page


# -- models ------------------------------------------------------------------------------------------------


def test_a_conditioned_network(adapt: Callable[..., AdaptResult], screens: Path, cdasr_weights: Path) -> None:
    result = adapt(screens, model=str(cdasr_weights))
    assert result.kept
    assert result.after.mean["psnr"] > result.before.mean["psnr"]
    assert read_header(result.output).providers == read_header(cdasr_weights).providers


def test_another_encoder(
    adapt: Callable[..., AdaptResult], screens: Path, cdasr_weights: Path, tmp_path: Path
) -> None:
    model = load_weights(cdasr_weights)
    assert model.header is not None
    for providers, words in (
        ({**model.header.providers, "semantic version": "another"}, "were trained with the encoder"),
        ({}, "need an encoder"),
        ({**model.header.providers, "semantic": "open_clip:ViT-B-32:/gone.pt"}, "/gone.pt"),
    ):
        path = tmp_path / "other.safetensors"
        save_weights(path, model.network, replace(model.header, providers=providers))
        with pytest.raises(ResourceError, match=words) as caught:
            adapt(screens, model=str(path))
        assert caught.value.exit_code is Exit.RESOURCE
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_learned_rates(
    kind: str, adapt: Callable[..., AdaptResult], screens: Path, edsr_weights: Path, tmp_path: Path
) -> None:
    """Used where the weights bring them, with the step and the loss that they were learned with; kept in the result."""
    model = load_weights(edsr_weights)
    assert model.header is not None
    rates = uniform_rates(model.network, 0.05 if kind == "sgd" else 2e-3)
    rates["trunk.head.weight"] = torch.tensor(-torch.inf)
    rates["trunk.head.bias"] = torch.tensor(-20.0)
    rates["trunk.head.weight"] = torch.full_like(rates["trunk.head.bias"], -60.0)
    header = replace(model.header, rates={"rule": kind, "loss": {"l1": 1.0}})
    save_weights(tmp_path / "meta.safetensors", model.network, header, rates=rates)
    result = adapt(screens, model=str(tmp_path / "meta.safetensors"))
    assert result.rates == f"learned ({kind})"
    assert result.kept
    written, before = load_weights(result.output), load_weights(tmp_path / "meta.safetensors")
    assert written.rates.keys() == rates.keys()
    now, then = written.network.state_dict(), before.network.state_dict()
    assert torch.equal(now["trunk.head.weight"], then["trunk.head.weight"])
    assert not torch.equal(now["trunk.tail.weight"], then["trunk.tail.weight"])
    uniform = adapt(
        screens,
        model=str(tmp_path / "meta.safetensors"),
        tune=replace(TUNE, optimiser="adam"),
        output="uniform.safetensors",
    )
    assert uniform.rates == "0.002 (adam)"


def test_rates_that_do_not_fit(
    adapt: Callable[..., AdaptResult], screens: Path, edsr_weights: Path, tmp_path: Path
) -> None:
    model = load_weights(edsr_weights)
    assert model.header is not None
    path = tmp_path / "meta.safetensors"
    save_weights(path, model.network, model.header, rates={"trunk.head.bias": torch.tensor(-3.0)})
    with pytest.raises(ResourceError, match="no learned rate for 'trunk"):
        adapt(screens, model=str(path))
    rates = uniform_rates(model.network, 1e-3)
    save_weights(path, model.network, replace(model.header, rates={"rule": "newton"}), rates=rates)
    with pytest.raises(ResourceError, match="inner step 'newton'"):
        adapt(screens, model=str(path))


@pytest.mark.parametrize("name", ["Compact", "SPAN"])
def test_a_foreign_checkpoint(
    name: str, adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path
) -> None:
    """Saved under its own names, loaded by whatever loads it; a network that computes weights as it runs too."""
    pytest.importorskip("spandrel")
    from spandrel.architectures import SPAN, Compact

    torch.manual_seed(0)
    make: dict[str, Callable[[], torch.nn.Module]] = {
        "Compact": lambda: Compact.Compact(num_feat=8, num_conv=1, upscale=2),
        "SPAN": lambda: SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=48, upscale=2),
    }
    network = make[name]().eval()
    if name == "SPAN":  # its random outputs are a hundred times too large to learn anything by
        with torch.no_grad():
            network.get_parameter("upsampler.0.weight").mul_(0.01)
    torch.save({"params": network.state_dict()}, tmp_path / "base.pth")
    content = (tmp_path / "base.pth").read_bytes()
    base = load_model(tmp_path / "base.pth")
    assert overwrites_itself(base.network, base.info) is (name == "SPAN")
    result = adapt(screens, model=str(tmp_path / "base.pth"), shots=2, tune=replace(TUNE, rate=1e-4))
    assert (tmp_path / "base.pth").read_bytes() == content
    assert result.kept
    assert result.after.mean["psnr"] > result.before.mean["psnr"]
    again = load_model(result.output)
    assert again.source == "spandrel"
    with safe_open(result.output, framework="pt") as file:
        assert set(file.keys()) == set(network.state_dict())
        assert json.loads(file.metadata()["srkit_adapted"])["sha256"] == base.sha256


def test_a_network_that_keeps_the_size_needs_pairs(
    adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path
) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures import DnCNN

    torch.manual_seed(0)
    torch.save(DnCNN.DnCNN(in_nc=1, out_nc=1, nc=16, nb=17, act_mode="R").state_dict(), tmp_path / "base.pth")
    with pytest.raises(UsageError, match="can only learn from pairs"):
        adapt(screens, model=str(tmp_path / "base.pth"))


# -- few and bad examples ----------------------------------------------------------------------------------


def test_fewer_examples_than_shots(adapt: Callable[..., AdaptResult], screens: Path) -> None:
    listening = Listening()
    result = adapt(screens, listening, shots=9)
    assert len(result.support) == 5
    assert result.strips
    assert "There are 5 usable examples where --shots is 9; all are used." in listening.warned
    assert any("a strip of a quarter of each is kept out" in warning for warning in listening.warned)


def test_a_single_picture(adapt: Callable[..., AdaptResult], tmp_path: Path) -> None:
    write(tmp_path / "one" / "a.png", render("screen", 96, 64, 0))
    listening = Listening()
    result = adapt(tmp_path / "one", listening)
    assert (result.support, result.judge, result.strips) == (("a",), ("a",), True)
    assert any(
        "There is no picture left to judge by, so half of it is kept out" in w for w in listening.warned
    )


def test_examples_smaller_than_a_patch(
    adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path, rendered: Callable[..., RGB]
) -> None:
    """Crops shrink to them, down to sixteen LR pixels; those below are left out by name."""
    for i, side in enumerate((36, 30, 48, 48)):
        write(tmp_path / "small" / f"{'abcd'[i]}.png", rendered(side, 48))
    listening = Listening()
    result = adapt(tmp_path / "small", listening, tune=replace(TUNE, patch=32))
    assert (result.support, result.judge) == (("a", "c"), ("d",))
    assert any("'b' is left out: it has 48 x 30 pixels" in warning for warning in listening.warned)


def test_black_pictures(adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "black" / f"{name}.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(SrkitError, match="it is all of one colour") as caught:
        adapt(tmp_path / "black")
    assert caught.value.exit_code is Exit.FAILED
    write(tmp_path / "black" / "c.png", render("screen", 96, 64, 0))
    listening = Listening()
    assert adapt(tmp_path / "black", listening).support == ("c",)


def test_gray_and_16_bit(
    adapt: Callable[..., AdaptResult], tmp_path: Path, rendered: Callable[..., RGB]
) -> None:
    (tmp_path / "mixed").mkdir()
    gray = rendered(64, 64)[:, :, :1]
    write_picture(Picture(np.ascontiguousarray(gray)), tmp_path / "mixed/a.png", format="png")
    deep = rendered(64, 64, seed=1).astype(np.uint16) * 257
    write_picture(Picture(np.ascontiguousarray(deep)), tmp_path / "mixed/b.png", format="png")
    assert adapt(tmp_path / "mixed", shots=1).support == ("a",)


def test_broken_files(
    adapt: Callable[..., AdaptResult], tmp_path: Path, rendered: Callable[..., RGB]
) -> None:
    for name in "bc":
        write(tmp_path / "some" / f"{name}.png", rendered(64, 64))
    whole = (tmp_path / "some/b.png").read_bytes()
    (tmp_path / "some/a.png").write_bytes(whole[: len(whole) // 2])
    listening = Listening()
    result = adapt(tmp_path / "some", listening, shots=1)
    assert (result.support, result.judge) == (("b",), ("c",))
    assert [name for name, _ in result.failed] == ["a"]
    assert any(warning.startswith("'a' is left out:") for warning in listening.warned)


# -- what is refused before any work -----------------------------------------------------------------------


def test_paths(adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path, edsr_weights: Path) -> None:
    (tmp_path / "there.safetensors").write_text("mine")
    for output, words in (
        ("there.safetensors", "exists already"),
        ("out.pth", "ends in .safetensors"),
        ("gone/out.safetensors", "is not there"),
    ):
        with pytest.raises(UsageError, match=words):
            adapt(screens, output=output)
    assert (tmp_path / "there.safetensors").read_text() == "mine"
    with pytest.raises(UsageError, match="exists already"):
        run(AdaptJob(AdaptRecipe(model=str(edsr_weights), device="cpu"), screens, edsr_weights))


def test_scale_and_model(adapt: Callable[..., AdaptResult], screens: Path) -> None:
    with pytest.raises(UsageError, match="is for scale 2, and --scale is 4"):
        adapt(screens, scale=4)
    with pytest.raises(ResourceError):
        adapt(screens, model="edsr-x99")
    with pytest.raises(UsageError, match="no loss 'l3'"):
        adapt(screens, tune=replace(TUNE, loss={"l3": 1.0}))
    with pytest.raises(UsageError, match="was trained with none"):
        adapt(screens, tune=replace(TUNE, loss={"semantic": 1.0}))


def test_how_many_steps() -> None:
    assert TunePart().most_steps == 800
    assert TunePart(minutes=1.0).most_steps > 10**9
    assert TunePart(steps=7, minutes=1.0).most_steps == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shots": 0}, "--shots is 0"),
        ({"tune": {"steps": 0}}, "--steps is 0"),
        ({"tune": {"minutes": 0.0}}, "--minutes is 0"),
        ({"tune": {"minutes": float("nan")}}, "--minutes is nan"),
        ({"holdout": 1.0}, "--holdout is 1.0"),
        ({"holdout": -0.1}, "--holdout is -0.1"),
        ({"scale": 17}, "--scale is 17"),
        ({"tune": {"rate": 0.0}}, "'tune.rate' is 0"),
        ({"tune": {"ema": 1.0}}, "'tune.ema' is 1"),
        ({"threads": 0}, "--threads is 0"),
        ({"max_pixels": 0}, "--max-pixels is 0"),
    ],
)
def test_recipes_that_make_no_sense(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        AdaptRecipe(**{k: TunePart(**v) if k == "tune" else v for k, v in changes.items()})


def test_a_loaded_model_alone() -> None:
    """As `srkit eval --shots` runs what was adapted and never written."""
    from srkit.archs.edsr import EDSR
    from srkit.zoo.loaded import LoadedModel

    network = EDSR(scale=3, features=4, blocks=0, upsampler="single")
    header = Header(arch="edsr", arguments={}, scale=3)
    model = LoadedModel("mine", network, network.info, 4, "0" * 64, header, Path("nowhere"), "srkit")
    models = Models.of(model)
    assert (models.scales, models.own_scale, models.name_of(3)) == ([3], 3, "mine")
    assert models.get(3) is model

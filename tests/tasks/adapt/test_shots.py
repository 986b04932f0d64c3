"""Adapting as a task: from a folder of examples to weights that load, and what must not happen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from srkit.data.pairs import make_lr
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.inference.upscaler import Models, Upscaler, Work
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.ops.layout import RGB
from srkit.recipes.upscale import UpscaleRecipe
from srkit.rendered import render
from srkit.tasks.adapt.fit import overwrites_itself
from srkit.tasks.adapt.run import AdaptResult
from srkit.training.inner import uniform_rates
from srkit.zoo.header import Header, read_header
from srkit.zoo.load import load_model
from srkit.zoo.weights import load_weights, save_weights
from tests.helpers import Listening, refused
from tests.tasks.adapt.adapting import TUNE, write

# -- what comes of it --------------------------------------------------------------------------------------


def test_it_helps_and_says_what_it_did(
    adapt: Callable[..., AdaptResult], screens: Path, edsr_weights: Path
) -> None:
    result = adapt(screens)
    assert (result.support, result.judge, result.strips) == (("a", "b", "c"), ("d", "e"), False)
    assert result.after.mean["psnr"] > result.before.mean["psnr"] + 0.3
    assert [image.name for image in result.after.images] == ["d", "e"]
    assert result.before.support == result.support
    assert result.rates == "0.002 (adam)"
    gained = result.after.mean["psnr"] - result.before.mean["psnr"]
    assert f"+{gained:.2f} dB" in result.verdict
    assert result.before.model_sha256 == load_model(edsr_weights).sha256
    assert read_header(result.output).adapted["recipe"]["tune"]["rate"] == 2e-3


def test_the_scores_are_those_of_the_file(adapt: Callable[..., AdaptResult], screens: Path) -> None:
    """Upscaled anew with what was written."""
    result = adapt(screens)
    upscaler = Upscaler(UpscaleRecipe(model=str(result.output), device="cpu", dtype="fp32"))
    hr = read_image(screens / "d.png").pixels
    (done,) = upscaler.run([Work("d", DecodedImage(make_lr(hr, 2)), hr.shape[1], hr.shape[0])])
    assert done.image is not None
    luma = [x.astype(np.float64) @ [65.481, 128.553, 24.966] / 255 for x in (done.image.pixels, hr)]
    error = (luma[0] - luma[1])[2:-2, 2:-2]
    expected = 20 * np.log10(255 / np.sqrt((error**2).mean()))
    assert result.after.images[0].values["psnr"] == pytest.approx(expected, abs=1e-6)


# -- models ------------------------------------------------------------------------------------------------


def test_another_encoder(
    adapt: Callable[..., AdaptResult], screens: Path, cdasr_weights: Path, tmp_path: Path
) -> None:
    model = load_weights(cdasr_weights)
    assert model.header is not None
    path = tmp_path / "other.safetensors"
    for providers, named in (
        ({**model.header.providers, "semantic version": "another"}, ("random", "another")),
        ({}, (path,)),
        ({**model.header.providers, "semantic": "open_clip:ViT-B-32:/gone.pt"}, ("/gone.pt",)),
    ):
        save_weights(path, model.network, replace(model.header, providers=providers))
        with refused(ResourceError, *named):
            adapt(screens, model=str(path))
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


def test_models_and_settings_that_do_not_fit(
    adapt: Callable[..., AdaptResult], screens: Path, edsr_weights: Path, tmp_path: Path
) -> None:
    with refused(UsageError, "--scale", 2, 4):
        adapt(screens, scale=4)
    with refused(ResourceError, "edsr-x99"):
        adapt(screens, model="edsr-x99")
    for loss in ("l3", "semantic"):  # unknown; of an encoder, which this model was trained with none of
        with refused(UsageError, loss):
            adapt(screens, tune=replace(TUNE, loss={loss: 1.0}))
    model = load_weights(edsr_weights)
    assert model.header is not None
    path, rates = tmp_path / "meta.safetensors", uniform_rates(model.network, 1e-3)
    save_weights(path, model.network, model.header, rates={"trunk.head.bias": torch.tensor(-3.0)})
    with refused(ResourceError, "meta", "trunk.head.weight"):
        adapt(screens, model=str(path))
    save_weights(path, model.network, replace(model.header, rates={"rule": "newton"}), rates=rates)
    with refused(ResourceError, "meta", "newton"):
        adapt(screens, model=str(path))
    pytest.importorskip("spandrel")
    from spandrel.architectures import DnCNN

    path = tmp_path / "denoises.pth"  # it keeps the size, and needs pairs
    torch.save(DnCNN.DnCNN(in_nc=1, out_nc=1, nc=16, nb=17, act_mode="R").state_dict(), path)
    with refused(UsageError, "denoises"):
        adapt(screens, model=str(path))


def test_a_network_that_computes_weights_as_it_runs(
    adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path
) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures import SPAN

    torch.manual_seed(0)
    network = SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=48, upscale=2).eval()
    with torch.no_grad():  # its random outputs are a hundred times too large to learn anything by
        network.get_parameter("upsampler.0.weight").mul_(0.01)
    torch.save({"params": network.state_dict()}, tmp_path / "base.pth")
    base = load_model(tmp_path / "base.pth")
    assert overwrites_itself(base.network, base.info)
    result = adapt(screens, model=str(tmp_path / "base.pth"), shots=2, tune=replace(TUNE, rate=1e-4))
    assert result.kept
    assert result.after.mean["psnr"] > result.before.mean["psnr"]
    with safe_open(result.output, framework="pt") as file:
        assert set(file.keys()) == set(network.state_dict())


# -- the probe of rates ------------------------------------------------------------------------------------


def test_the_rate_is_probed_where_none_is_given(adapt: Callable[..., AdaptResult], screens: Path) -> None:
    """Eight steps at each of two rates, of which the first moves nothing; said beforehand, and in the record."""
    tune = replace(TUNE, steps=32, rate=None, probe=(1e-6, 4.0), probe_steps=8)
    listening = Listening()
    result = adapt(screens, listening, tune=tune)
    assert listening.about(8, 5e-10, 0.002)
    assert result.rates == "0.002 (adam)"
    assert list(result.probe) == ["5e-10", "0.002"]
    assert abs(result.probe["5e-10"] or 0) < 1e-3 < (result.probe["0.002"] or 0)
    about = read_header(result.output).adapted
    assert (about["rates"], about["probe"]) == (result.rates, result.probe)
    assert any("0.002" in remark and "5e-10" in remark for remark in result.remarks)
    given = adapt(screens, output="given.safetensors", tune=replace(tune, rate=2e-3))
    assert (given.probe, given.after.images) == ({}, result.after.images)  # the probe leaves no trace


@pytest.mark.parametrize(
    ("changes", "rate"),
    [({"steps": 31}, "0.001 (adam)"), ({"probe": ()}, "0.0005 (adam)"), ({"probe": (4.0,)}, "0.002 (adam)")],
)
def test_no_probe_where_there_is_no_choice_or_no_time(
    changes: dict[str, Any], rate: str, adapt: Callable[..., AdaptResult], screens: Path
) -> None:
    tune = replace(TUNE, steps=32, rate=None, probe=(2.0, 4.0), probe_steps=8)
    result = adapt(screens, tune=replace(tune, **changes))
    assert (result.rates, result.probe) == (rate, {})


def test_the_probe_keeps_to_the_minutes(adapt: Callable[..., AdaptResult], screens: Path) -> None:
    tune = replace(TUNE, steps=None, minutes=0.02, rate=None, probe=(2.0, 4.0), probe_steps=10**6)
    result = adapt(screens, tune=replace(tune, probe_steps=10**6))
    assert (result.stopped, len(result.probe)) == ("minutes", 2)


# -- few and bad examples ----------------------------------------------------------------------------------


def test_fewer_examples_than_shots(adapt: Callable[..., AdaptResult], screens: Path) -> None:
    listening = Listening()
    result = adapt(screens, listening, shots=9)
    assert len(result.support) == 5
    assert result.strips
    assert listening.about(5, "--shots", 9)
    assert len(listening.warned) == 2  # and that a strip of each is held out


def test_a_single_image(adapt: Callable[..., AdaptResult], tmp_path: Path) -> None:
    write(tmp_path / "one" / "a.png", render("screen", 96, 64, 0))
    listening = Listening()
    result = adapt(tmp_path / "one", listening)
    assert (result.support, result.judge, result.strips) == (("a",), ("a",), True)
    assert listening.warned


def test_examples_smaller_than_a_patch(
    adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path, rendered: Callable[..., RGB]
) -> None:
    """Crops shrink to them, down to sixteen LR pixels; those below are left out by name."""
    for i, side in enumerate((36, 30, 48, 48)):
        write(tmp_path / "small" / f"{'abcd'[i]}.png", rendered(side, 48, i))
    listening = Listening()
    result = adapt(tmp_path / "small", listening, tune=replace(TUNE, patch=32))
    assert (result.support, result.judge) == (("a", "c"), ("d",))
    assert listening.about("'b'", "48 x 30")


def test_black_images(adapt: Callable[..., AdaptResult], screens: Path, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "black" / f"{name}.png", np.zeros((64, 64, 3), np.uint8))
    with refused(SrkitError, "'a'"):
        adapt(tmp_path / "black")
    write(tmp_path / "black" / "c.png", render("screen", 96, 64, 0))
    listening = Listening()
    assert adapt(tmp_path / "black", listening).support == ("c",)


def test_gray_and_16_bit(
    adapt: Callable[..., AdaptResult], tmp_path: Path, rendered: Callable[..., RGB]
) -> None:
    (tmp_path / "mixed").mkdir()
    gray = rendered(64, 64)[:, :, :1]
    write_image(DecodedImage(np.ascontiguousarray(gray)), tmp_path / "mixed/a.png", format="png")
    deep = rendered(64, 64, seed=1).astype(np.uint16) * 257
    write_image(DecodedImage(np.ascontiguousarray(deep)), tmp_path / "mixed/b.png", format="png")
    assert adapt(tmp_path / "mixed", shots=1).support == ("a",)


# -- what is refused before any work -----------------------------------------------------------------------


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

"""`srkit train ssr-latent` around a tiny prior, and `srkit upscale -m FILE` with what it left."""

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

from srkit.errors import Exit, ResourceError, UsageError
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.train import TrainJob, blurred, run
from srkit.tasks.upscale.job import UpscaleJob
from srkit.tasks.upscale.run import run as upscale
from srkit.zoo.header import read_header
from srkit.zoo.load import load_model
from tests.helpers import refused
from tests.latent_files import WIDTHS, write_pipeline

pytestmark = pytest.mark.diffusers
Image = NDArray[np.uint8]
SETTINGS = (
    f"model.arguments={{ widths = {list(WIDTHS)}, code = 5, width = 4, hidden = 4, steps = 2 }}",
    'estimator=""',
    "data.patch=16",
    "data.batch=2",
    "data.judged=1",
    "data.holdout_every=3",
    "data.blur.scenes=2",
    "data.blur.scene_side=96",
    "optim.steps=4",
    "optim.lr=1e-3",
    "run.validate_every=2",
    "run.precision=fp32",
)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("latent") / "tiny"
    write_pipeline(place)
    return place


@pytest.fixture(scope="module")
def job(
    prior: Path, tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Image]
) -> TrainJob[Any]:
    root = tmp_path_factory.mktemp("photographs")
    for i in range(3):
        cv2.imwrite(str(root / f"{i}.png"), rendered(112, 112, seed=i)[:, :, ::-1])
    recipe = load_training_recipe("ssr-latent", [f"prior={prior}", *SETTINGS])
    return TrainJob(recipe, (root,), tmp_path_factory.mktemp("run") / "out", device="cpu")


@pytest.fixture(scope="module")
def weights(job: TrainJob[Any]) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blurred, "_CODE_BATCHES", 2)
        return run(job).weights


def test_what_is_saved_is_what_is_trained(weights: Path, prior: Path, job: TrainJob[Any]) -> None:
    header = read_header(weights)
    assert (header.arch, header.scale, header.providers["prior"]) == ("latent_fusion", 4, str(prior))
    assert header.providers["prior version"].startswith("sha256 ")
    state = load_model(str(weights)).network.state_dict()
    assert {name.split(".")[0] for name in state} == {
        *("basis", "code_mean", "code_deviation", "encoders", "fusion")
    }
    assert bool(state["fusion.0.perceptrons.0.2.weight"].any())
    assert sum(t.numel() for t in state.values()) < 20_000
    resumed = run(
        replace(job, recipe=load_training_recipe(job.output / "recipe.toml", ["optim.steps=5"]), resume=True)
    )
    assert resumed.steps == 5


def _upscaled(weights: Path, source: Path, target: Path, **settings: Any) -> Any:
    recipe = UpscaleRecipe(model=str(weights), device="cpu", depth="none", **settings)
    (record,) = upscale(UpscaleJob(recipe, str(source), target))
    return record


def test_upscale_with_it(weights: Path, rendered: Callable[..., Image], tmp_path: Path) -> None:
    write_image(DecodedImage(rendered(18, 21)), tmp_path / "in.png", format="png")
    results = []
    for seed in (1, 1, 2):
        record = _upscaled(weights, tmp_path / "in.png", tmp_path / f"{len(results)}.png", seed=seed)
        assert record.status == "done", record.error
        results.append(read_image(tmp_path / f"{len(results)}.png").pixels)
    assert results[0].shape == (72, 84, 3)
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_another_prior_than_it_was_trained_with_is_refused(
    weights: Path, prior: Path, rendered: Callable[..., Image], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    file = prior / "unet/diffusion_pytorch_model.safetensors"
    before = file.read_bytes()
    state = load_file(file)
    state["conv_in.bias"] += 1
    write_image(DecodedImage(rendered(16, 16)), tmp_path / "in.png", format="png")
    try:
        save_file(state, file)
        with refused(ResourceError, weights, prior, "prior") as caught:
            _upscaled(weights, tmp_path / "in.png", tmp_path / "out.png")
    finally:
        file.write_bytes(before)
    assert isinstance(caught.value, ResourceError)
    assert caught.value.exit_code is Exit.RESOURCE


def test_settings_that_make_no_sense(job: TrainJob[Any], tmp_path: Path) -> None:
    for setting, named in (
        ("data.patch=15", ("data.patch", 15)),
        ("data.every=2", ("data.every", 2)),
        ("model.arch=edsr", ("edsr",)),
        ("features=-1.0", ("features", -1.0)),
    ):
        with refused(UsageError, *named):
            recipe = load_training_recipe(job.output / "recipe.toml", [setting])
            run(TrainJob(recipe, job.data, tmp_path, device="cpu"))


def test_the_prior_takes_no_gradient(weights: Path, prior: Path) -> None:
    from srkit.encoders.latent_diffusion import LatentPrior

    frozen = LatentPrior(str(prior), torch.device("cpu"))
    eps = frozen.epsilon(torch.randn(1, 4, 8, 8, requires_grad=True), torch.tensor([5]))
    torch.autograd.backward(eps.square().sum())
    assert all(p.grad is None and not p.requires_grad for p in frozen._unet.parameters())

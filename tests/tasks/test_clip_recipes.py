"""The recipes with the papers' encoders, from training to adaptation, by files of random weights in the published form.

The files have the real sizes (0.8 GB), so that every width is what the recipes say.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from srkit.errors import ResourceError, UsageError
from srkit.recipes.kinds import load_training_recipe
from srkit.tasks.adapt.run import AdaptResult
from srkit.tasks.train import TrainJob, TrainResult, run
from srkit.zoo.header import read_header
from tests.encoders.public_files import save_alexnet, save_openai_clip, save_vgg19
from tests.helpers import refused
from tests.tasks.adapt.adapting import LOOP, write

_CROPS = ("data.batch=2", "data.sizes=[1.0]", "data.holdout_every=3", "run.validate_every=2")
_STAGE = ["model.arguments.features=8", "model.arguments.blocks=1", "data.patch=12", *_CROPS]
CDASR = [
    "scale=2",
    "steps=4",
    *(f"stages.{name}.set.{one}" for name in ("pretrain", "align") for one in _STAGE),
    "stages.align.set.loss_every.semantic=2",
    "stages.meta.set.tasks={clusters=1, domains=['texture'], held_out=['screen'], shots=1, holdout_every=3}",
    "stages.meta.set.tasks.rendered=3",
    "stages.meta.set.tasks.rendered_side=64",
    "stages.meta.set.inner={rule='adam', steps=1, patch=8, batch=2}",
    "stages.meta.set.outer={steps=1, tasks=1, judged=1}",
]
RECONSTRUCTOR = [
    "model.arguments={scale=2, features=8, image_blocks=1, degradation_blocks=1, blocks=1, embedding=16}",
    *_CROPS,
    "judged=1",
    "optim.steps=2",
]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("published")
    save_vgg19(folder)
    save_alexnet(folder)
    for config in ("ViT-B-32", "RN50"):
        save_openai_clip(config, folder)
    yield folder
    shutil.rmtree(folder)  # pytest would keep those of its last three runs


@pytest.fixture
def weights(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, and nothing from elsewhere."""
    monkeypatch.setenv("SRKIT_WEIGHTS", str(published))
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SRKIT_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return published


def train(name: str, photographs: Path, output: Path, *settings: str) -> TrainResult:
    recipe = load_training_recipe(name, settings)
    return run(TrainJob(recipe, (photographs,), output, device="cpu", training_data="rendered"))


def test_cdasr_is_trained_and_adapts(
    weights: Path, photographs: Path, tmp_path: Path, adapt: Callable[..., AdaptResult], screens: Path
) -> None:
    result = train("cdasr-clip", photographs, tmp_path / "run", *CDASR)
    header = read_header(result.weights)
    assert header.providers["semantic"] == "open_clip:ViT-B-32:openai"
    assert header.providers["perceptual"].startswith("vgg19")
    widths = {
        name: header.arguments[name] for name in ("semantic_dim", "token_channels", "hidden", "aligned")
    }
    assert widths == {"semantic_dim": 512, "token_channels": 768, "hidden": 1024, "aligned": 512}
    assert header.rates["rule"] == "adam"
    adapted = adapt(screens, model=str(result.weights))
    assert adapted.rates == "learned (adam)"
    assert read_header(adapted.output).providers == header.providers


def test_the_reconstructor_is_trained_and_closes_the_loop(
    weights: Path,
    tmp_path: Path,
    rendered: Callable[..., NDArray[np.uint8]],
    self_adapt: Callable[..., AdaptResult],
    phone: Path,
) -> None:
    for i in range(3):
        write(tmp_path / "large" / f"{i}.png", rendered(96, 96, i))
    result = train("reconstructor-clip", tmp_path / "large", tmp_path / "run", *RECONSTRUCTOR)
    header = read_header(result.weights)
    named = {role: header.providers[role] for role in ("distance", "far", "far stage")}
    assert named == {"distance": "lpips", "far": "open_clip:RN50:openai", "far stage": "stage2"}
    assert header.arguments["described"] == 512
    adapted = self_adapt(phone, reconstructor=str(result.weights), loop=replace(LOOP, patch=32))
    assert read_header(adapted.output).adapted["providers"]["distance"] == "lpips"
    assert adapted.loop is not None
    assert adapted.loop.far_weight > 0


@pytest.mark.parametrize("width", ["semantic_dim", "token_channels"])
def test_widths_of_another_encoder_are_refused_before_the_first_stage(
    width: str, weights: Path, photographs: Path, tmp_path: Path
) -> None:
    wrong = f"stages.align.set.model.arguments.{width}=64"
    with refused(UsageError, "align", "open_clip:ViT-B-32:openai", 512, 768, width):
        train("cdasr-clip", photographs, tmp_path / "run", *CDASR, wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "settings", "file"),
    [
        ("cdasr-clip", CDASR, "open_clip-ViT-B-32-openai.safetensors"),
        ("reconstructor-clip", RECONSTRUCTOR, "alexnet-owt-7be5be79.pth"),
    ],
)
def test_missing_weights_are_named_before_any_work(
    name: str,
    settings: list[str],
    file: str,
    weights: Path,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SRKIT_WEIGHTS")
    with refused(ResourceError, file, "--weights-dir", "$SRKIT_WEIGHTS"):
        train(name, photographs, tmp_path / "run", *settings)
    assert not (tmp_path / "run").exists()

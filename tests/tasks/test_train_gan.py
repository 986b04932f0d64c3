"""Adversarial training as a user does it: from a start and a folder to weights that load."""

from __future__ import annotations

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

from srkit.archs.cria import Cria
from srkit.encoders.features import perceptual_features
from srkit.errors import ResourceError, UsageError
from srkit.progress import Silent
from srkit.recipes.gan import GanRecipe
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.load import load_recipe, shipped_recipes
from srkit.tasks.train import WEIGHTS, TrainJob, run, task_of
from srkit.tasks.train_gan import bottom_provider, needed_providers
from srkit.training import loop
from srkit.training.state import read_checkpoint
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.weights import save_weights
from tests.training.gan_runs import CRIA, EDSR, gan_recipe

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Picture]) -> Path:
    """Eight pictures, a broken, a gray and a tiny one. 0, 3, 6 and 9 are held out: every third."""
    root = tmp_path_factory.mktemp("photographs")
    for i in (*range(7), 9):
        cv2.imwrite(str(root / f"{i}.png"), rendered(44 + 2 * i, 64 - i, seed=i % 2)[:, :, ::-1])
    (root / "7-broken.jpg").write_bytes(b"\xff\xd8 broken")
    cv2.imwrite(str(root / "8-gray.png"), rendered(64, 64)[:, :, 1])
    cv2.imwrite(str(root / "a-tiny.png"), rendered(30, 64)[:, :, ::-1])
    return root


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        save_weights(path, Cria(**CRIA), Header(arch="cria", arguments=CRIA, scale=2))
    return path


class Listening(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def info(self, message: str) -> None:
        self.messages.append(message)

    def warn(self, message: str) -> None:
        self.messages.append(f"warning: {message}")


class Interrupting(Silent):
    def __init__(self, step: int) -> None:
        self.left = step + 1

    def advance(self, amount: float = 1.0) -> None:
        if amount < 1:  # a step of training, not a picture that was read
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def _job(folder: Path, output: Path, recipe: GanRecipe, **changes: Any) -> TrainJob[GanRecipe]:
    return replace(TrainJob(recipe, (folder,), output, device="cpu"), **changes)


def test_what_a_run_leaves(
    folder: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    recipe = gan_recipe(
        4,
        model={"start": str(start)},
        run={"validate_every": 3, "gradients_every": 4},
        data={"patch": 12, "batch": 2},
    )
    job = _job(folder, tmp_path, recipe, training_data="rendered, CC0")
    progress = Listening()
    result = run(job, progress)
    assert (result.steps, result.held_out) == (4, ("0.png", "3.png", "6.png", "9.png"))
    assert result.pictures == 4
    # Crops of 12 with a margin of 4 on each side, at x2.
    for why in (
        "decoded and are left out: 7-broken.jpg",
        "40 pixels and are left out: a-tiny.png",
        "gray and are left out: 8-gray.png",
    ):
        assert sum(why in message for message in progress.messages) == 1
    assert any(message.startswith("drawing the data took ") for message in progress.messages)

    assert load_recipe(GanRecipe, tmp_path / "recipe.toml") == recipe
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = [line["val_psnr"] for line in lines if "val_psnr" in line]
    assert len(scores) == 2
    assert result.validation_psnr == scores[-1]  # not the best one's
    assert "gradient ratio/adversarial" in next(line for line in lines if line["step"] == 4)

    saved = read_checkpoint(tmp_path, torch.device("cpu"))
    model = load_model(tmp_path / WEIGHTS)
    header = model.header
    assert header is not None
    assert (header.arch, header.arguments, header.scale) == ("cria", CRIA, 2)
    assert (header.recipe, header.recipe_sha256) == ("tiny-gan", recipe.sha256)
    encoder = perceptual_features("random", torch.device("cpu"))
    assert header.providers == {"perceptual": "random", "perceptual version": encoder.version}
    assert header.scores == {"classical": {"held out, degraded (mild)": {"psnr": round(scores[-1], 3)}}}
    for name, tensor in model.network.state_dict().items():  # the last average
        torch.testing.assert_close(tensor, saved["ema"][name], atol=1e-3, rtol=1e-3)


def test_an_interrupted_run_ends_as_if_it_had_not_been(folder: Path, start: Path, tmp_path: Path) -> None:
    recipe = gan_recipe(5, model={"start": str(start)}, discriminator={"arch": "unet_sn"})
    straight = run(_job(folder, tmp_path / "straight", recipe))
    with pytest.raises(KeyboardInterrupt):
        run(_job(folder, tmp_path / "broken", recipe), Interrupting(3))
    resumed = run(_job(folder, tmp_path / "broken", recipe, resume=True))
    assert resumed.weights.read_bytes() == straight.weights.read_bytes()


def test_a_checkpoint_of_another_discriminator_is_not_resumed(
    folder: Path, start: Path, tmp_path: Path
) -> None:
    run(_job(folder, tmp_path, gan_recipe(2, model={"start": str(start)})))
    wider = gan_recipe(4, discriminator={"arguments": {"features": 8}})
    with pytest.raises(ResourceError, match="has no discriminator like this recipe's"):
        run(_job(folder, tmp_path, wider, resume=True))


def test_stages_pass_the_weights_on(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "first.toml").write_text(
        'name = "first"\n[model]\narch = "cria"\n'
        f"arguments = {_toml(CRIA)}\n"
        '[data]\npatch = 12\nbatch = 2\nholdout_every = 3\ndegradation = "mild"\n'
        '[optim]\nlr = 1e-3\n[run]\nprecision = "fp32"\n'
    )
    (tmp_path / "second.toml").write_text(
        'kind = "gan"\nname = "second"\n[model]\narch = "cria"\n'
        f"arguments = {_toml(CRIA)}\n"
        '[data]\npatch = 12\nbatch = 2\nholdout_every = 3\ndegradation = "mild"\n'
        "[optim]\nlr = 1e-12\nlr_final = 1e-12\n"
        '[run]\nprecision = "fp32"\n[providers]\nperceptual = "random"\n'
        "[discriminator]\narguments = { features = 4 }\n"
    )
    (tmp_path / "both.toml").write_text(
        'kind = "stages"\nname = "both"\nscale = 2\nsteps = 6\n'
        f'[stages.start]\nrecipe = "{tmp_path}/first.toml"\nshare = 2\n'
        f'[stages.adversarial]\nrecipe = "{tmp_path}/second.toml"\n'
    )
    recipe = load_training_recipe(tmp_path / "both.toml")
    result = run(TrainJob(recipe, (folder,), tmp_path / "run", device="cpu"))
    steps = [
        read_checkpoint(tmp_path / "run" / name, torch.device("cpu"))["step"]
        for name in ("start", "adversarial")
    ]
    assert (steps, result.steps) == ([4, 2], 6)
    first, last = (
        load_model(path / WEIGHTS).network for path in (tmp_path / "run" / "start", tmp_path / "run")
    )
    x = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(first(x), last(x), atol=1e-3, rtol=0)
    assert result.validation_psnr is not None


def _toml(values: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items()) + " }"


@pytest.mark.cuda
@pytest.mark.parametrize("arch", ["patchgan", "unet_sn"])
def test_on_cuda(arch: str, folder: Path, start: Path, tmp_path: Path) -> None:
    recipe = gan_recipe(
        12,
        model={"start": str(start)},
        run={"precision": "bf16", "compile": "off", "validate_every": 6},
        discriminator={"arch": arch, "arguments": {"features": 8}},
    )
    result = run(_job(folder, tmp_path, recipe, device="cuda"))
    assert result.steps == 12
    assert all(bool(t.isfinite().all()) for t in load_model(result.weights).network.state_dict().values())


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"loss": {"adversarial": 0.0}}, "'loss.adversarial' is 0, so there is nothing"),
        ({"loss": {"align": -1.0}}, "'loss.align' is -1.0; a weight must be a number"),
        ({"loss": {"unif": float("nan")}}, "'loss.unif' is nan"),
        ({"model": {"arch": "edsr", "arguments": EDSR}}, "the network 'edsr' has no two heads"),
        ({"model": {"arch": "patchgan", "arguments": {}}}, "'model.arch' is 'patchgan'; networks that make"),
        ({"cria": {"align": ["ssmi"]}}, "There is no criterion 'ssmi'"),
        ({"cria": {"unif": ["pixel"]}}, "'cria.unif' names the anchor 'pixel' alone"),
        ({"cria": {"unif": []}}, "name at least one"),
        ({"cria": {"anchor": "pixle"}}, "There is no criterion 'pixle'; known are pixel"),
        ({"cria": {"eta": 0.5}}, "'cria.eta' is 0.5"),
        ({"cria": {"t": 0.0}}, "'cria.t' is 0.0"),
        ({"discriminator": {"arch": "patchgun"}}, "There is no discriminator 'patchgun'"),
        ({"discriminator": {"arguments": {"features": 0}}}, "PatchGAN was given 0 features"),
        ({"discriminator": {"factor": 0.0}}, "'discriminator.factor' is 0.0"),
        ({"discriminator": {"patience": 0}}, "'discriminator.patience' is 0"),
        ({"discriminator": {"betas": [0.9]}}, "'discriminator.betas' are [0.9]"),
        (
            {"data": {"patch": 8}},
            "takes pictures of 24 pixels a side or more, and 'data.patch' 8 makes crops of 16",
        ),
        ({"data": {"ranges": {"first": {"sigma": [3.0, 1.0]}}}}, "The range sigma is (3, 1)"),
        (
            {"data": {"ranges": {"frist": {}}}},
            "'data.ranges.frist' is no setting of this recipe. Did you mean",
        ),
        (
            {"providers": {"perceptual": ""}},
            "needs a perceptual provider, and 'providers.perceptual' is empty",
        ),
        ({"optim": {"lr": -1.0}}, "'optim.lr' is -1.0"),
    ],
)
def test_recipes_that_make_no_sense(parts: dict[str, Any], words: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(_job(folder, tmp_path / "run", gan_recipe(2, **parts)))
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("parts", "needed", "bottom"),
    [
        ({}, {"perceptual"}, "random"),
        ({"providers": {"perceptual": "vgg19"}}, {"perceptual"}, "vgg19:conv1_2"),
        ({"cria": {"bottom": "compact"}}, {"perceptual"}, "compact"),
        ({"loss": {"perceptual": 0.0, "align": 0.0}}, {"perceptual"}, "random"),
        ({"loss": {"perceptual": 0.0, "unif": 0.0}}, {"perceptual"}, "random"),
        ({"loss": {"perceptual": 0.0, "unif": 0.0, "align": 0.0}}, set(), "random"),
    ],
)
def test_which_providers_are_needed(parts: dict[str, Any], needed: set[str], bottom: str) -> None:
    recipe = gan_recipe(**parts)
    assert needed_providers(recipe) == needed
    assert bottom_provider(recipe) == bottom


def test_a_provider_of_its_own_for_the_bottom_is_recorded(folder: Path, tmp_path: Path) -> None:
    recipe = gan_recipe(1, cria={"bottom": "compact"})
    header = load_model(run(_job(folder, tmp_path, recipe)).weights).header
    assert header is not None
    compact = perceptual_features("compact", torch.device("cpu"))
    assert header.providers["bottom"] == "compact"
    assert header.providers["bottom version"] == compact.version
    assert header.providers["perceptual"] == "random"


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith(("cria", "real"))])
def test_shipped_recipes_make_sense(name: str, tmp_path: Path) -> None:
    recipe = load_training_recipe(name)
    task_of(recipe.kind).check(TrainJob(recipe, (tmp_path,), tmp_path / "run"))


def test_the_control_differs_from_the_recipe_by_its_weights_alone() -> None:
    recipe, control = (load_training_recipe(name) for name in ("cria-adversarial", "cria-control"))
    assert isinstance(recipe, GanRecipe)
    assert isinstance(control, GanRecipe)
    assert (control.loss.align, control.loss.unif) == (0, 0)
    assert replace(control, name=recipe.name, loss=recipe.loss) == recipe
    assert replace(recipe.loss, align=0.0, unif=0.0) == control.loss

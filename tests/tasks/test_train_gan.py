"""Adversarial training (kind `gan`): which images it takes, what is shipped, and its providers.

What it shares with the other kinds is tested in test_training_kinds.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from srkit.encoders.features import perceptual_features
from srkit.errors import ResourceError, UsageError
from srkit.ops.layout import RGB
from srkit.recipes.gan import GanRecipe
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.load import shipped_recipes, to_toml
from srkit.tasks.train import WEIGHTS, TrainJob, check, run
from srkit.tasks.train.gan import Adversarial, bottom_provider
from srkit.training.state import read_checkpoint
from srkit.zoo.blend import pair_of, turned
from srkit.zoo.load import load_model
from tests.helpers import Listening, refused
from tests.tasks.training_cases import CASES
from tests.training.gan_runs import gan_recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., RGB]) -> Path:
    """Nine images, a gray one and a tiny one among them. 0, 3 and 6 are held out: every third."""
    root = tmp_path_factory.mktemp("photographs")
    for i in range(7):
        cv2.imwrite(str(root / f"{i}.png"), rendered(44 + 2 * i, 64 - i, seed=i % 2)[:, :, ::-1])
    cv2.imwrite(str(root / "7-gray.png"), rendered(64, 64)[:, :, 1])
    cv2.imwrite(str(root / "8-tiny.png"), rendered(30, 64)[:, :, ::-1])
    return root


def _job(folder: Path, output: Path, *settings: str, **changes: Any) -> TrainJob[Any]:
    return replace(CASES["gan"].job(folder, output, *settings), **changes)


def test_what_a_run_leaves(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are the last average, whatever it scores; gradients of the terms are logged."""
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 2)
    progress = Listening()
    result = run(_job(folder, tmp_path, "run.gradients_every = 4"), progress)
    # Crops of 12 with a margin of 4 on each side, at x2.
    assert progress.about("8-tiny.png", 40)
    assert progress.about("7-gray.png")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = [line["val_psnr"] for line in lines if "val_psnr" in line]
    assert result.validation_psnr == scores[-1]
    assert "gradient ratio/adversarial" in next(line for line in lines if line["step"] == 4)

    saved, model = read_checkpoint(tmp_path, CPU), load_model(tmp_path / WEIGHTS)
    assert model.header is not None
    encoder = perceptual_features("random", CPU)
    assert model.header.providers == {"perceptual": "random", "perceptual version": encoder.version}
    for name, tensor in model.network.state_dict().items():
        torch.testing.assert_close(tensor, saved["ema"][name], atol=1e-3, rtol=1e-3)


def test_a_checkpoint_of_another_discriminator_is_not_resumed(folder: Path, tmp_path: Path) -> None:
    run(_job(folder, tmp_path))
    with refused(ResourceError, "discriminator"):
        run(_job(folder, tmp_path, "discriminator.arguments.features = 8", resume=True))


def test_stages_pass_the_weights_on(folder: Path, tmp_path: Path) -> None:
    """From training by the pixels to a rate so small that it changes nothing."""
    first = CASES["sr, degraded"].recipe('model.arch = "cria"\nmodel.arguments.width = 8\ndata.patch = 12')
    second = CASES["gan"].recipe("optim.lr = 1e-12\noptim.lr_final = 1e-12")
    for name, recipe in (("start", first), ("adversarial", replace(second, model=first.model))):  # type: ignore[type-var, attr-defined]
        (tmp_path / f"{name}.toml").write_text(to_toml(recipe))
    (tmp_path / "both.toml").write_text(
        'kind = "stages"\nname = "both"\nscale = 2\nsteps = 6\n'
        f'[stages.start]\nrecipe = "{tmp_path}/start.toml"\nshare = 2\n'
        f'[stages.adversarial]\nrecipe = "{tmp_path}/adversarial.toml"\n'
    )
    result = run(
        TrainJob(load_training_recipe(tmp_path / "both.toml"), (folder,), tmp_path / "run", device="cpu")
    )
    steps = [read_checkpoint(tmp_path / "run" / name, CPU)["step"] for name in ("start", "adversarial")]
    assert (steps, result.steps) == ([4, 2], 6)
    before, after = (
        load_model(path / WEIGHTS).network for path in (tmp_path / "run" / "start", tmp_path / "run")
    )
    x = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(before(x), after(x), atol=1e-3, rtol=0)
    assert result.validation_psnr is not None
    # The dial goes back to what it started from.
    model = load_model(result.weights)
    assert pair_of(model, "strength") == tmp_path / "run" / "start" / WEIGHTS
    dial = turned(model, {"strength": 0.0}).network
    torch.testing.assert_close(before(x), dial(x), atol=1e-3, rtol=0)


def test_a_start_of_another_network_is_no_pair(folder: Path, tmp_path: Path, edsr_weights: Path) -> None:
    result = run(_job(folder, tmp_path, f'model.start = "{edsr_weights}"'))
    assert pair_of(load_model(result.weights), "strength") is None


@pytest.mark.cuda
@pytest.mark.parametrize("arch", ["patchgan", "unet_sn"])
def test_on_cuda(arch: str, folder: Path, tmp_path: Path) -> None:
    settings = ("optim.steps = 12", 'run.precision = "bf16"', 'run.compile = "off"', "run.validate_every = 6")
    discriminator = f'discriminator = {{ arch = "{arch}", arguments = {{ features = 8 }} }}'
    result = run(_job(folder, tmp_path, *settings, discriminator, device="cuda"))
    assert result.steps == 12
    assert all(bool(t.isfinite().all()) for t in load_model(result.weights).network.state_dict().values())


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
    assert Adversarial.needed_providers(recipe) == needed
    assert bottom_provider(recipe) == bottom


def test_a_provider_of_its_own_for_the_bottom_is_recorded(folder: Path, tmp_path: Path) -> None:
    header = load_model(run(_job(folder, tmp_path, 'cria.bottom = "compact"')).weights).header
    assert header is not None
    compact = perceptual_features("compact", torch.device("cpu"))
    assert header.providers["bottom"] == "compact"
    assert header.providers["bottom version"] == compact.version
    assert header.providers["perceptual"] == "random"


def test_heads_with_losses_of_their_own_and_one_head(folder: Path, tmp_path: Path) -> None:
    own = ("loss.align = 0.0", "loss.unif = 0.0", "loss.align_ssim = 0.1", "loss.unif_adversarial = 0.1")
    for heads in (2, 1):
        output = tmp_path / str(heads)
        model = load_model(run(_job(folder, output, *own, f"model.arguments.heads = {heads}")).weights)
        assert model.header is not None
        last = json.loads((output / "metrics.jsonl").read_text().splitlines()[-1])
        names = set(model.network.state_dict())
        assert any(name.startswith("mask.") for name in names) == (heads == 2)
        assert ("mask" in model.header.scores) == (heads == 2)
        if heads == 2:
            (facts,) = model.header.scores["mask"].values()
            assert 0 < facts["mean"] < 1
            assert 0 < facts["deviation"] < 0.5
        assert last["step"] > 0
    with refused(UsageError, "loss.align", "model.arguments.heads"):
        run(_job(folder, tmp_path / "mask", "model.arguments.heads = 1"))


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith(("cria", "real"))])
def test_shipped_recipes_make_sense(name: str, tmp_path: Path) -> None:
    recipe = load_training_recipe(name)
    check(TrainJob(recipe, (tmp_path,), tmp_path / "run"))


def test_the_control_differs_from_the_recipe_by_its_weights_alone() -> None:
    recipe, control = (load_training_recipe(name) for name in ("cria-adversarial", "cria-control"))
    assert isinstance(recipe, GanRecipe)
    assert isinstance(control, GanRecipe)
    assert (control.loss.align, control.loss.unif) == (0, 0)
    assert replace(control, name=recipe.name, loss=recipe.loss) == recipe
    assert replace(recipe.loss, align=0.0, unif=0.0) == control.loss

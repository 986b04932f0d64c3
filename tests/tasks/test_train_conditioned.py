"""Training of networks that are told of whole pictures, with the random encoder, from a recipe to upscaled pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.archs.table import build
from srkit.encoders.semantic import semantic_encoder
from srkit.errors import ResourceError, UsageError
from srkit.ops.position import position_grid
from srkit.recipes.load import from_mapping, to_toml
from srkit.recipes.train import TrainRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.tasks.upscale import UpscaleJob
from srkit.tasks.upscale import run as upscale
from srkit.training import loop
from srkit.training.state import read_checkpoint
from srkit.zoo.load import load_model

Picture = NDArray[np.uint8]
CPU = torch.device("cpu")
TRUNK: dict[str, Any] = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}
TOLD: dict[str, Any] = {
    "semantic_dim": 128,
    "token_channels": 256,
    "hidden": 8,
    "aligned": 8,
    "token_features": 4,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Picture]) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    for i in range(3):
        cv2.imwrite(str(root / f"{i}.png"), rendered(40 + 2 * i, 48 - i, seed=i % 2)[:, :, ::-1])
    return root


def _recipe(arch: str = "cdasr", **parts: dict[str, Any]) -> TrainRecipe:
    table: dict[str, dict[str, Any]] = {
        "model": {"arch": arch, "arguments": TRUNK | (TOLD if arch == "cdasr" else {})},
        "data": {"patch": 8, "batch": 2, "holdout_every": 3},
        "optim": {"steps": 3, "lr": 1e-3, "warmup_steps": 0},
        "run": {"validate_every": 2, "precision": "fp32"},
        "providers": {"semantic": "random"},
    }
    for name, changes in parts.items():
        table[name] = changes if name == "loss" else table.get(name, {}) | changes
    return from_mapping(TrainRecipe, {"name": "tiny", **table})


def _job(folder: Path, output: Path, recipe: TrainRecipe, **changes: Any) -> TrainJob[TrainRecipe]:
    return replace(TrainJob(recipe, (folder,), output, device="cpu"), **changes)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run with both feature losses; every step is logged."""
    output = tmp_path_factory.mktemp("run") / "aligned"
    recipe = _recipe(
        loss={"l1": 1.0, "perceptual": 0.1, "semantic": 0.01},
        loss_every={"semantic": 2},
        providers={"perceptual": "random"},
        run={"gradients_every": 2},
        optim={"lr": 1e-2},
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "LOG_EVERY", 1)
        run(_job(folder, output, recipe))
    return output


def test_weights_name_their_encoders_and_load(trained: Path) -> None:
    model = load_model(trained / WEIGHTS)
    assert model.info.conditioning == ("semantic", "tokens", "position")
    assert model.header is not None
    version = semantic_encoder("random", CPU).version
    assert model.header.providers == {
        "semantic": "random",
        "semantic version": version,
        "perceptual": "random",
        "perceptual version": version,
    }
    assert model.header.arguments == TRUNK | TOLD


def test_each_term_is_logged_and_which_leads(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    steps = {line["step"]: line for line in lines if "loss" in line}
    assert set(steps) == {1, 2, 3}
    for step, line in steps.items():
        assert 0 < line["l1"] < line["loss"]
        assert line["perceptual"] > 0
        assert ("semantic" in line) == (step == 2)  # of every second step alone
        assert ("gradient ratio/semantic" in line) == ("gradient ratio/perceptual" in line) == (step == 2)


def test_upscale_loads_what_was_trained(trained: Path, tmp_path: Path, folder: Path) -> None:
    """And gives the picture that the network gives where it is told of the whole of it."""
    output = tmp_path / "sr.png"
    recipe = UpscaleRecipe(model=str(trained / WEIGHTS), device="cpu", dtype="fp32", tile=16)
    (record,) = upscale(UpscaleJob(recipe, str(folder / "0.png"), output))
    assert record.error is None
    network = load_model(trained / WEIGHTS).network
    pixels = cv2.imread(str(folder / "0.png"))[:, :, ::-1].copy()
    lr = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    known = semantic_encoder("random", CPU).embed(lr)
    with torch.no_grad():
        sr = network(
            lr, semantic=known.vector, tokens=known.tokens, position=position_grid(*lr.shape[2:], CPU)
        )
    expected = (sr[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy()
    assert np.abs(cv2.imread(str(output))[:, :, ::-1].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("residency", ["memory", "stream"])
def test_it_starts_as_the_network_that_it_starts_from(residency: str, folder: Path, tmp_path: Path) -> None:
    """A step so small that it changes nothing: what the alignment adds is nothing at first."""
    still = {"lr": 1e-12, "steps": 1}
    data = {"residency": residency, "workers": 0}
    first = run(_job(folder, tmp_path / "edsr", _recipe("edsr", optim=still, data=data)))
    model = {"start": str(first.weights)}
    second = run(_job(folder, tmp_path / "cdasr", _recipe(model=model, optim=still, data=data)))
    assert second.validation_psnr == pytest.approx(first.validation_psnr, abs=0.01)


def test_the_alignment_learns_and_frozen_parts_do_not(folder: Path, tmp_path: Path) -> None:
    recipe = _recipe(optim={"rates": {"trunk": 0.0}})
    run(_job(folder, tmp_path / "run", recipe))
    saved = read_checkpoint(tmp_path / "run", CPU)["network"]
    torch.manual_seed(recipe.seed)
    fresh = build("cdasr", recipe.model.arguments).state_dict()
    for name, tensor in saved.items():
        changed = not torch.equal(tensor, fresh[name])
        if name.startswith("trunk."):
            assert not changed, name
    assert not torch.equal(saved["alignment.fuse.weight"], fresh["alignment.fuse.weight"])
    assert not torch.equal(saved["alignment.film.weight"], fresh["alignment.film.weight"])


def test_providers_that_nothing_needs_are_not_loaded(folder: Path, tmp_path: Path) -> None:
    nowhere = {"semantic": "open_clip:ViT-B-32:/nonexistent.pt", "perceptual": "compcat"}
    result = run(_job(folder, tmp_path / "run", _recipe("edsr", providers=nowhere)))
    header = load_model(result.weights).header
    assert header is not None
    assert header.providers == {}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"providers": {"semantic": ""}}, "needs a semantic provider, and 'providers.semantic' is empty"),
        ({"loss": {"perceptual": 1.0}}, "needs a perceptual provider"),
        ({"providers": {"semantic": "compcat"}}, "no encoder 'compcat'"),
        (
            {"model": {"arguments": TRUNK | TOLD | {"semantic_dim": 64}}},
            "does not take what the encoder 'random' gives: vectors of 128 numbers and tokens of 256 channels",
        ),
        ({"loss_every": {"l1": 2}}, "'loss_every' leaves steps without any loss"),
        ({"optim": {"rates": {"trunc": 0.1}}}, "'optim.rates' names 'trunc'"),
        ({"optim": {"rates": {"trunk": -1.0}}}, "'optim.rates.trunk' is -1.0; it must be at least 0"),
    ],
)
def test_recipes_that_make_no_sense(parts: dict[str, Any], words: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(_job(folder, tmp_path / "run", _recipe(**parts)))
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_encoder_that_is_not_to_be_had(folder: Path, tmp_path: Path) -> None:
    recipe = _recipe(providers={"semantic": f"open_clip:ViT-B-32:{tmp_path / 'gone.pt'}"})
    with pytest.raises(ResourceError, match=r"gone\.pt"):
        run(_job(folder, tmp_path / "run", recipe))
    assert not (tmp_path / "run").exists()


ABSENT = (
    "spandrel",
    "open_clip",
    "timm",
    "lpips",
    "kornia",
    "pyiqa",
    "torchvision",
    "huggingface_hub",
)


def test_nothing_is_needed_that_training_can_do_without(folder: Path, tmp_path: Path) -> None:
    """In a process where the heavy packages are not to be had."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(_recipe(loss={"l1": 1.0, "semantic": 0.01}, optim={"steps": 1})))
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); from pathlib import Path\n"
        "from srkit.recipes.kinds import load_training_recipe\n"
        "from srkit.tasks.train import TrainJob, run\n"
        f"run(TrainJob(load_training_recipe({str(recipe)!r}), (Path({str(folder)!r}),), "
        f"Path({str(tmp_path / 'run')!r}), device='cpu', threads=1))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / WEIGHTS).is_file()

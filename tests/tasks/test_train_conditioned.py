"""Networks conditioned on whole images, with the random encoder: from a recipe to upscaled images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from srkit.archs.table import build
from srkit.encoders.semantic import semantic_encoder
from srkit.errors import ResourceError
from srkit.ops.geometry import position_grid
from srkit.recipes.load import to_toml
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.train import WEIGHTS, run
from srkit.tasks.upscale.run import UpscaleJob
from srkit.tasks.upscale.run import run as upscale
from srkit.training.state import read_checkpoint
from srkit.zoo.load import load_model
from tests.helpers import refused
from tests.tasks.training_cases import CASES

CPU = torch.device("cpu")
JOB = CASES["sr, conditioned"].job
STILL = ("optim.lr = 1e-12", "optim.steps = 1")


@pytest.fixture(scope="module")
def trained(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run with both feature losses; every step is logged."""
    output = tmp_path_factory.mktemp("run") / "aligned"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("srkit.training.trainer.LOG_EVERY", 1)
        run(JOB(photographs, output, "optim.lr = 1e-2", "optim.steps = 3"))
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


def test_each_term_is_logged_and_which_leads(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    steps = {line["step"]: line for line in lines if "loss" in line}
    assert set(steps) == {1, 2, 3}
    for step, line in steps.items():
        assert 0 < line["l1"] < line["loss"]
        assert line["perceptual"] > 0
        assert ("semantic" in line) == (step == 2)  # of every second step alone
        assert ("gradient ratio/semantic" in line) == ("gradient ratio/perceptual" in line) == (step == 2)


def test_upscale_loads_what_was_trained(trained: Path, tmp_path: Path, photographs: Path) -> None:
    """And gives the image that the network gives where it is conditioned on the whole of it."""
    output = tmp_path / "sr.png"
    recipe = UpscaleRecipe(model=str(trained / WEIGHTS), device="cpu", dtype="fp32", tile=16)
    (record,) = upscale(UpscaleJob(recipe, str(photographs / "0.png"), output))
    assert record.error is None
    network = load_model(trained / WEIGHTS).network
    pixels = cv2.imread(str(photographs / "0.png"))[:, :, ::-1].copy()
    lr = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    known = semantic_encoder("random", CPU).embed(lr)
    with torch.no_grad():
        sr = network(
            lr, semantic=known.vector, tokens=known.tokens, position=position_grid(*lr.shape[2:], CPU)
        )
    expected = (sr[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy()
    assert np.abs(cv2.imread(str(output))[:, :, ::-1].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("residency", ["memory", "stream"])
def test_it_starts_as_the_network_that_it_starts_from(
    residency: str, photographs: Path, tmp_path: Path
) -> None:
    """A step so small that it changes nothing: what the alignment adds is nothing at first."""
    still = (*STILL, f'data.residency = "{residency}"', "data.workers = 0")
    first = run(CASES["sr"].job(photographs, tmp_path / "edsr", *still))
    second = run(JOB(photographs, tmp_path / "cdasr", *still, f'model.start = "{first.weights}"'))
    assert second.validation_psnr == pytest.approx(first.validation_psnr, abs=0.01)


def test_the_alignment_learns_and_frozen_parts_do_not(photographs: Path, tmp_path: Path) -> None:
    job = JOB(photographs, tmp_path / "run", "optim.rates.trunk = 0.0")
    run(job)
    saved = read_checkpoint(tmp_path / "run", CPU)["network"]
    torch.manual_seed(job.recipe.seed)
    fresh = build("cdasr", job.recipe.model.arguments).state_dict()
    for name, tensor in saved.items():
        if name.startswith("trunk."):
            assert torch.equal(tensor, fresh[name]), name
    assert not torch.equal(saved["alignment.fuse.weight"], fresh["alignment.fuse.weight"])
    assert not torch.equal(saved["alignment.film.weight"], fresh["alignment.film.weight"])


def test_providers_that_nothing_needs_are_not_loaded(photographs: Path, tmp_path: Path) -> None:
    nowhere = 'providers = { semantic = "open_clip:ViT-B-32:/nonexistent.pt", perceptual = "compcat" }'
    header = load_model(run(CASES["sr"].job(photographs, tmp_path / "run", nowhere)).weights).header
    assert header is not None
    assert header.providers == {}


def test_an_encoder_that_is_not_there(photographs: Path, tmp_path: Path) -> None:
    with refused(ResourceError, tmp_path / "gone.pt"):
        run(
            JOB(
                photographs,
                tmp_path / "run",
                f'providers.semantic = "open_clip:ViT-B-32:{tmp_path / "gone.pt"}"',
            )
        )
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


def test_nothing_is_needed_that_training_can_do_without(photographs: Path, tmp_path: Path) -> None:
    """In a process where the heavy packages are not installed."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(JOB(photographs, tmp_path, "optim.steps = 1").recipe))
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); from pathlib import Path\n"
        "from srkit.recipes.kinds import load_training_recipe\n"
        "from srkit.tasks.train import TrainJob, run\n"
        f"run(TrainJob(load_training_recipe({str(recipe)!r}), (Path({str(photographs)!r}),), "
        f"Path({str(tmp_path / 'run')!r}), device='cpu', threads=1))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / WEIGHTS).is_file()

"""Two processes under `torchrun` learn what one process learns from batches of both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from srkit.recipes.kinds import load_training_recipe
from srkit.tasks.train import TrainJob, run
from srkit.training.distributed import (
    World,
    agreed,
    average_gradients,
    local_device,
    mean_over,
    parallel,
    process_group,
)
from srkit.training.state import is_finite, read_checkpoint

ROOT = Path(__file__).parents[2]
RECIPE = """
name = "tiny"
[model]
arch = "edsr"
arguments = { scale = 2, features = 8, blocks = 1, upsampler = "single" }
[data]
patch = 8
holdout_every = 3
[optim]
lr = 1e-3
steps = 100
[run]
validate_every = 50
precision = "fp32"
"""
GAN_RECIPE = """
kind = "gan"
name = "tiny-gan"
[model]
arch = "cria"
[model.arguments]
scale = 2
features = 8
blocks = 1
growth = 4
width = 8
mask_width = 8
upsampler = "single"
[data]
patch = 12
holdout_every = 3
degradation = "mild"
[optim]
lr = 1e-3
steps = 12
[discriminator.arguments]
features = 4
[providers]
perceptual = "random"
[run]
validate_every = 10
precision = "fp32"
"""
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


def _train_in_two(
    recipe: Path, batch: int, data: Path, output: Path, site: Path, settings: Sequence[str] = ()
) -> None:
    """`srkit train` under torchrun, where nothing but what training needs is installed."""
    site.mkdir()
    (site / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("-m", "srkit_cli", "train", recipe, "--data", data, "-o", output, "--device", "cpu"),
        *(word for setting in (f"data.batch={batch}", *settings) for word in ("--set", setting)),
    ]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT / "cli"), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    done = subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr


def _metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [((), 1e-3), (("optim.optimizer=muon", 'optim.muon_parts=["trunk"]', "data.best_of=2"), 5e-3)],
    ids=["adam", "muon"],
)
def test_two_processes_are_one_with_the_doubled_batch(
    settings: tuple[str, ...],
    tolerance: float,
    tmp_path: Path,
    rendered: Callable[..., NDArray[np.uint8]],
) -> None:
    """By Muon up to what its bf16 makes of sums in another order."""
    data = tmp_path / "data"
    data.mkdir()
    for i in range(4):
        cv2.imwrite(str(data / f"{i}.png"), rendered(60, 48, seed=i)[:, :, ::-1])
    one, two = tmp_path / "one", tmp_path / "two"
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    _train_in_two(recipe, 2, data, two, tmp_path / "site", settings)
    doubled = load_training_recipe(recipe, ["data.batch=4", *settings])
    run(TrainJob(doubled, (data,), one, device="cpu"))

    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}
    alone, together = _metrics(one), _metrics(two)
    assert [line["step"] for line in together] == [50, 100, 100]  # and each is written once
    assert together[1]["loss"] == pytest.approx(alone[1]["loss"], rel=1e-4)
    for a, b in zip(alone, together, strict=True):
        assert b.get("val_psnr") == pytest.approx(a.get("val_psnr"), abs=0.01)
    weights = [read_checkpoint(folder, torch.device("cpu"))["ema"] for folder in (one, two)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=tolerance, rtol=0)


def test_two_processes_and_a_discriminator(
    tmp_path: Path, rendered: Callable[..., NDArray[np.uint8]]
) -> None:
    """Each has images of its own; both networks learn from all of them."""
    data, output, recipe = tmp_path / "data", tmp_path / "run", tmp_path / "tiny.toml"
    data.mkdir()
    for i in range(4):
        cv2.imwrite(str(data / f"{i}.png"), rendered(60, 48, seed=i)[:, :, ::-1])
    recipe.write_text(GAN_RECIPE)
    _train_in_two(recipe, 2, data, output, tmp_path / "site")
    saved = read_checkpoint(output, torch.device("cpu"))
    assert saved["step"] == 12
    assert is_finite({name: saved[name] for name in ("network", "ema", "others")})
    assert [line["step"] for line in _metrics(output)] == [10, 12]  # each is written once
    assert (output / "model.safetensors").is_file()


def test_gradients_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """With those of another process, which are 3."""
    network = nn.Conv2d(1, 1, 1)
    network.bias = None
    network.weight.grad = torch.full_like(network.weight, 1.0)
    average_gradients(network, World())
    assert float(network.weight.grad) == 1
    monkeypatch.setattr("torch.distributed.all_reduce", lambda gradient: gradient.add_(3.0))
    average_gradients(network, World(0, 2))
    assert float(network.weight.grad) == 2


def test_a_process_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    cpu, network = torch.device("cpu"), nn.Conv2d(1, 1, 1)
    with process_group(cpu) as world:
        assert world == World(0, 1)
        assert world.is_main
        assert parallel(network, world) is network
        assert float(mean_over(torch.tensor(3.5), world)) == 3.5
        assert agreed(2.5, world, cpu) == 2.5
    assert local_device(cpu) == cpu
    assert not World(1, 2).is_main

"""Training of blur kernels, of what is conditioned on them, and of depth (kind `kernels`).

What it shares with the other kinds is tested in test_training_kinds.py.
"""

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

from srkit.archs.dkenet import DKENet
from srkit.archs.nbsr import NBSR
from srkit.degradation.pca import kernel_basis
from srkit.encoders.depth import depth_provider
from srkit.errors import ResourceError, UsageError
from srkit.tasks.train import WEIGHTS, TrainJob, TrainResult, run
from srkit.zoo.load import load_model
from tests.helpers import Listening, refused
from tests.tasks.training_cases import CASES

CPU = torch.device("cpu")
TARGETS = {"kernels": "kernels", "picture": "kernels, image", "depth": "kernels, depth"}
LONG = ("optim.steps = 60", "optim.ema = 0.8", "optim.lr = 3e-3", "run.validate_every = 1000")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    """Six images; 0.png and 3.png are held out: every third. One is too small for crops of blurred images."""
    root = tmp_path_factory.mktemp("photographs")
    for i in range(6):
        side = 33 if i == 5 else 60 + i
        cv2.imwrite(str(root / f"{i}.png"), rendered(side, side, seed=i % 2)[:, :, ::-1])
    return root


def _job(folder: Path, output: Path, target: str, *settings: str, **changes: Any) -> TrainJob[Any]:
    return replace(CASES[TARGETS[target]].job(folder, output, *settings), **changes)


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainResult]:
    """A finished run for each target."""
    root = tmp_path_factory.mktemp("runs")
    return {target: run(_job(folder, root / target, target)) for target in TARGETS}


@pytest.fixture(scope="module")
def runs(results: dict[str, TrainResult]) -> dict[str, Path]:
    return {target: result.weights.parent for target, result in results.items()}


@pytest.mark.parametrize("target", TARGETS)
def test_the_result(results: dict[str, TrainResult], target: str) -> None:
    result = results[target]
    assert result.pictures == (4 if target == "depth" else 3)
    assert (result.validation_psnr is None) == (target != "picture")
    assert len(result.scores) == (target != "picture")


@pytest.mark.parametrize(
    ("target", "settings"),
    [("kernels", ("data.every = 3",)), ("picture", ()), ("depth", ())],
)
def test_it_learns(folder: Path, tmp_path: Path, target: str, settings: tuple[str, ...]) -> None:
    """Sixty steps are better than one; of kernels with those of one pixel of nine, from another place in each step."""
    scores = []
    for steps in (1, 60):
        job = _job(folder, tmp_path / str(steps), target, *LONG[1:], *settings, f"optim.steps = {steps}")
        result = run(job)
        scores.append(result.validation_psnr if target == "picture" else -sum(result.scores.values()))
    assert scores[1] > scores[0] + (0.05 if target == "picture" else 0.02)


def test_nbsr_carries_what_its_codes_mean(runs: dict[str, Path]) -> None:
    network = load_model(runs["picture"] / WEIGHTS).network
    assert isinstance(network, NBSR)
    torch.testing.assert_close(network.basis, kernel_basis(2, 5), atol=1e-3, rtol=0)
    assert bool((network.code_deviation > 0).all())
    assert float(network.code_mean.abs().max()) > 0.01


def test_nbsr_keeps_the_codes_of_the_weights_that_it_starts_from(
    folder: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    start = f'model.start = "{runs["picture"] / WEIGHTS}"'
    before = load_model(runs["picture"] / WEIGHTS).network
    after = load_model(run(_job(folder, tmp_path, "picture", start, "seed = 3")).weights).network
    assert isinstance(before, NBSR)
    assert isinstance(after, NBSR)
    for name in ("basis", "code_mean", "code_deviation"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name


def test_nbsr_makes_its_own_codes_where_it_starts_from_another_scale(
    folder: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    settings = (f'model.start = "{runs["picture"] / WEIGHTS}"', "model.arguments.scale = 3")
    network = load_model(run(_job(folder, tmp_path, "picture", *settings)).weights).network
    assert isinstance(network, NBSR)
    torch.testing.assert_close(network.basis, kernel_basis(3, 5), atol=1e-3, rtol=0)


def test_nbsr_starts_from_an_edsr(folder: Path, edsr_weights: Path, tmp_path: Path) -> None:
    progress = Listening()
    settings = (f'model.start = "{edsr_weights}"', "optim.lr = 1e-12")
    network = load_model(run(_job(folder, tmp_path, "picture", *settings), progress).weights).network
    assert progress.about(10, edsr_weights)
    edsr = load_model(edsr_weights).network
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(network(x, codes=torch.randn(1, 5, 8, 8)), edsr(x), atol=2e-3, rtol=0)


def test_nbsr_learns_from_estimated_kernels(folder: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    weights = runs["kernels"] / WEIGHTS
    estimator = f'estimator = "{weights}"'
    learned = run(_job(folder, tmp_path / "estimated", "picture", estimator)).weights
    assert learned.read_bytes() != (runs["picture"] / WEIGHTS).read_bytes()
    model = load_model(learned)
    assert model.header is not None
    sha256 = load_model(weights, task="kernels").sha256
    assert model.header.providers == {"kernels": "model", "kernels version": f"sha256 {sha256[:12]}"}
    with refused(UsageError, weights, "x2", "x4"):
        run(_job(folder, tmp_path / "x4", "picture", estimator, "model.arguments.scale = 4"))
    with refused(ResourceError, learned, "sr", "kernels"):
        run(_job(folder, tmp_path / "sr", "picture", f'estimator = "{learned}"'))


def test_a_network_of_another_target(folder: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    job = _job(folder, tmp_path, "depth", "data.patch = 32")
    other = _job(folder, tmp_path, "kernels").recipe.model
    with refused(UsageError, "dkenet", "depth"):
        run(replace(job, recipe=replace(job.recipe, model=other)))


def test_weights_serve_what_they_are_for(runs: dict[str, Path]) -> None:
    provider = depth_provider("compact", CPU, weights=runs["depth"] / WEIGHTS)
    assert provider.estimate(torch.rand(1, 3, 20, 30)).shape == (1, 1, 20, 30)
    network = load_model(runs["kernels"] / WEIGHTS, task="kernels").network
    assert isinstance(network, DKENet)
    with refused(ResourceError, "kernels", "sr"):
        load_model(runs["kernels"] / WEIGHTS)

"""Training of feature networks (kind `encoder`): weights that their providers load.

What it shares with the other kinds is tested in test_training_kinds.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.encoders.compact import Compact
from srkit.encoders.judge import Judge
from srkit.errors import ResourceError, UsageError
from srkit.tasks.train import run
from srkit.training.state import read_checkpoint
from srkit.zoo.load import load_model
from tests.helpers import refused
from tests.tasks.training_cases import CASES

CPU = torch.device("cpu")
CONTRAST, EXEMPLAR = CASES["encoder, contrast"].job, CASES["encoder, exemplar"].job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    for i in range(6):
        cv2.imwrite(str(root / f"{i}.png"), rendered(80 + i, 80 + i, seed=i % 2)[:, :, ::-1])
    return root


def test_the_encoder_and_the_scales_of_its_stages(folder: Path, tmp_path: Path) -> None:
    result = run(CONTRAST(folder, tmp_path))
    assert result.validation_psnr is None
    assert set(result.scores) == {"loss"}
    encoder = Compact(CPU, result.weights)
    assert encoder.embed(torch.rand(2, 3, 50, 60)).vector.shape == (2, 8)
    scales = load_model(result.weights, task="encoder").network.scales
    assert isinstance(scales, torch.Tensor)
    assert not torch.equal(scales, torch.ones(2))


def test_the_judge_is_a_task_of_its_own(folder: Path, tmp_path: Path) -> None:
    result = run(EXEMPLAR(folder, tmp_path))
    a = torch.rand(1, 3, 32, 40)
    assert float(Judge(CPU, result.weights).distance(a, a)) == 0
    with refused(ResourceError, result.weights, "judge"):
        Compact(CPU, result.weights)


def test_the_best_of_another_sum_is_no_measure(folder: Path, tmp_path: Path) -> None:
    run(CONTRAST(folder, tmp_path))
    before = read_checkpoint(tmp_path, CPU)["best_score"]
    heavier = CONTRAST(folder, tmp_path, "quality = 100.0", "optim.steps = 7")
    assert run(replace(heavier, resume=True)).scores["loss"] > -before
    with refused(UsageError, tmp_path):
        run(replace(EXEMPLAR(folder, tmp_path), resume=True))

"""Training of feature networks (kind `encoder`): weights that their providers load.

What it shares with the other kinds is tested in test_training_kinds.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

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


def test_the_encoder_and_the_scales_of_its_stages(photographs: Path, tmp_path: Path) -> None:
    result = run(CONTRAST(photographs, tmp_path))
    assert result.validation_psnr is None
    assert set(result.scores) == {"loss"}
    encoder = Compact(CPU, result.weights)
    assert encoder.embed(torch.rand(2, 3, 50, 60)).vector.shape == (2, 8)
    scales = load_model(result.weights, task="encoder").network.scales
    assert isinstance(scales, torch.Tensor)
    assert not torch.equal(scales, torch.ones(2))


def test_the_judge_is_a_task_of_its_own(photographs: Path, tmp_path: Path) -> None:
    result = run(EXEMPLAR(photographs, tmp_path))
    a = torch.rand(1, 3, 32, 40)
    assert float(Judge(CPU, result.weights).distance(a, a)) == 0
    with refused(ResourceError, result.weights, "judge"):
        Compact(CPU, result.weights)


def test_the_best_of_another_sum_is_no_measure(photographs: Path, tmp_path: Path) -> None:
    run(CONTRAST(photographs, tmp_path))
    before = read_checkpoint(tmp_path, CPU)["best_score"]
    heavier = CONTRAST(photographs, tmp_path, "quality = 100.0", "optim.steps = 7")
    assert run(replace(heavier, resume=True)).scores["loss"] > -before
    with refused(UsageError, tmp_path):
        run(replace(EXEMPLAR(photographs, tmp_path), resume=True))

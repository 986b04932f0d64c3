"""Loaded networks made ready to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from srkit.errors import ResourceError, UsageError
from srkit.inference.runners import Runners, RunSettings
from srkit.zoo.weights import load_weights
from tests.helpers import refused

CPU = torch.device("cpu")


def test_a_runner_is_made_once_for_each_precision(edsr_weights: Path) -> None:
    model, runners = load_weights(edsr_weights), Runners(RunSettings(CPU, tile=64, overlap=3, tta=True))
    runner = runners.of(model)
    assert (runner.options.tile, runner.options.overlap, runner.options.tta) == (64, 3, True)
    assert runners.of(model) is runner
    ends_in_reduced = replace(model, info=replace(model.info, fp32_sum=False))
    assert runners.of(ends_in_reduced, depth=16).options.all_of_fp32
    whole = replace(model, info=replace(model.info, tiling="none"))
    assert Runners(RunSettings(CPU)).of(whole).options.tile is None


@pytest.mark.parametrize("tile", ["auto", "off", 64])
def test_what_is_missing_is_refused_before_any_work(
    tile: object, cdasr_weights: Path, nbsr_weights: Path
) -> None:
    settings = RunSettings(CPU, tile=tile)  # type: ignore[arg-type]
    model = load_weights(cdasr_weights)
    assert model.header is not None
    unnamed = replace(model, header=replace(model.header, providers={}))
    with refused(ResourceError, model.path):
        Runners(settings).of(unnamed)
    with refused(UsageError, "codes", "kernels"):
        Runners(settings).of(load_weights(nbsr_weights))
    assert Runners(settings, ["kernels"]).of(load_weights(nbsr_weights)).options.tile in (None, 64, 256)

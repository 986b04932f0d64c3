"""The ablation of CDASR on many domains: what is trained on and what is measured."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments import ablation_cdasr as study
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.train import TrainRecipe


@pytest.fixture(params=[False, True], ids=["photographs", "many domains"])
def options(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rendered: Callable[..., NDArray[np.uint8]],
) -> argparse.Namespace:
    """Two benchmark images, and one rendered image of each domain."""
    for number in range(2):
        file = tmp_path / "benchmarks" / "Set5" / "HR" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(DecodedImage(rendered(32, 48, number)), file, format="png")
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path))
    monkeypatch.setattr(study, "SETS", ("Set5",))
    monkeypatch.setattr(study, "EACH", 1)
    monkeypatch.setattr(study, "SIDE", 64)
    return argparse.Namespace(scale=2, many_domains=request.param, pretrain_steps=1, steps=1, seeds=1)


def test_kinds_of_images_take_turns(options: argparse.Namespace) -> None:
    kinds, pairs = study.measured_on(options)
    assert all(pair.hr.shape[0] == 2 * pair.lr.shape[0] for pair in pairs)
    if not options.many_domains:
        assert kinds.tolist() == ["benchmarks"] * 2
        return
    assert kinds[:6].tolist() == ["benchmarks", "trained domains", "held-out domains"] * 2
    assert len(pairs) == 2 + len(study.TASKS.domains) + len(study.TASKS.held_out)


def test_rows_train_on_the_domains(options: argparse.Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}

    def trained(options: object, folder: Path, recipe: str, settings: list[str]) -> Path:
        found[folder.name] = load_training_recipe(recipe, settings)
        return folder

    monkeypatch.setattr(study, "trained", trained)
    for number, row in enumerate((study.STAGE_1, *study.ROWS)):
        study.train_row(options, Path(str(number)), row, 1)
    for recipe in found.values():
        assert isinstance(recipe, TrainRecipe)
        assert tuple(recipe.data.rendered) == (study.TASKS.domains if options.many_domains else ())
        assert 0 <= recipe.data.rendered_batch < recipe.data.batch
        assert bool(recipe.data.rendered_batch) == options.many_domains


def test_every_kind_has_its_table(options: argparse.Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "shots_table", lambda weights, steps: iter(()))
    options.adapt_steps = 1
    kinds, pairs = study.measured_on(options)
    values = {"first": np.zeros(len(pairs)), "second": np.where(kinds == kinds[0], 1.0, 2.0)}
    lines = list(study.tables(values, kinds, Path("rates"), options, 0.0))
    heads = [line for line in lines if line.startswith("| row")]
    seconds = [line.split(" | ")[1] for line in lines if line.startswith("| second")]
    assert len(heads) == len(set(kinds))
    assert seconds == ["1.000", "2.000", "2.000"][: len(heads)]

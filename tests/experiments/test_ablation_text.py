"""The ablation of text: its rows are recipes, blind is of equal size, and what it measures."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from experiments import ablation_text
from experiments.ablation_text import RIGHT, ROWS, Row, Shown, box_psnr, measured, tables
from srkit.archs.table import build
from srkit.recipes.kinds import load_training_recipe
from srkit.rendered import render
from tests.tasks.guided import save


def network(row: Row) -> nn.Module:
    recipe = load_training_recipe("clipsr-x8", row.settings)
    with torch.device("meta"):
        return build(recipe.model.arch, recipe.model.arguments)  # type: ignore[attr-defined]


def count(row: Row) -> int:
    return sum(parameter.numel() for parameter in network(row).parameters())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_a_recipe(row: Row) -> None:
    network(row)


def test_blind_and_those_without_attention_are_of_equal_size() -> None:
    for start in ("blind", "no attention"):
        (row,) = [row for row in ROWS if row.name.startswith(start)]
        assert count(row) == pytest.approx(count(RIGHT), rel=0.08)


def test_psnr_in_a_box() -> None:
    hr = np.zeros((20, 30, 3), np.uint8)
    sr = hr.copy()
    sr[:4] = 255  # outside of the box
    sr[10, 5:15] = 51
    # 10 of the box's 100 pixels are off by 0.2: mean squared error 0.004.
    assert box_psnr(sr, hr, (5, 5, 15, 15)) == pytest.approx(10 * np.log10(1 / 0.004))


def test_measuring_and_the_table(tmp_path: Path) -> None:
    weights = save(tmp_path / "guided.safetensors", "random")
    images = [
        Shown(group, render("screen", 64, 64, seed), caption, boxes)
        for seed, (group, caption, boxes) in enumerate(
            (
                ("sign", "a sign", ((4, 4, 30, 20),)),
                ("sign", "another one, long", ((8, 4, 40, 20),)),
                (ablation_text.PHOTOGRAPHS, "a photograph", ()),
            )
        )
    ]
    values = {row.name: measured(weights, row.prompts, images, 4) for row in ROWS[:3]}
    for found in values.values():
        assert [len(found[name]) for name in ("boxes", "judge", "photographs")] == [2, 2, 1]
    right, none, shuffled = values.values()
    assert (right["boxes"] != none["boxes"]).all()
    assert (right["boxes"] != shuffled["boxes"]).all()
    assert (right["photographs"] == shuffled["photographs"]).all()  # one alone has no other's caption
    lines = list(tables(values, Namespace(scale=4, steps=1, adversarial_steps=1), 0.0))
    assert len([line for line in lines if line.startswith("|")]) == 2 + 3

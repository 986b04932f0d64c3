"""Blind sheets: what the letters stand for, and the ranks that are made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.blind_sheet import KEY, draw_sheets, ranks, sheet
from experiments.study import read_options, study_parser
from srkit.tasks.evaluate.run import BICUBIC


def test_panels_stand_under_their_letters() -> None:
    panels = [np.full((40, 32, 3), level, np.uint8) for level in (10, 60, 110, 160)]
    page = np.asarray(sheet(panels))
    for number, panel in enumerate(panels):
        row, column = divmod(number, 2)
        inside = page[row * 62 + 16 :, column * 38 :][:40, :32]
        assert np.array_equal(inside, panel)


def test_ranks_are_of_the_models_that_the_letters_hide(tmp_path: Path) -> None:
    key = {"one": {"A": "x", "B": "y"}, "other": {"A": "y", "B": "x"}}
    (tmp_path / "ranks.txt").write_text("one AB\n\nother AB\n", encoding="utf-8")
    lines = list(ranks(tmp_path / "ranks.txt", key))
    assert "| x | 1.50 | 1 | 1 |" in lines and "| y | 1.50 | 1 | 1 |" in lines
    for wrong in ("one AA\n", "none AB\n", "one ABC\n"):
        (tmp_path / "ranks.txt").write_text(wrong, encoding="utf-8")
        with pytest.raises(SystemExit):
            list(ranks(tmp_path / "ranks.txt", key))


def test_orders_differ_and_the_key_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "data" / "real" / "RealSRSet"
    images.mkdir(parents=True)
    for number in range(6):
        Image.fromarray(np.full((20, 24, 3), 40 * number, np.uint8)).save(images / f"{number}.png")
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path / "data"))
    parser = study_parser("", writes=False)
    parser.set_defaults(sheets=tmp_path / "sheets", model=["srvgg-x4"], seed=3)
    draw_sheets(read_options(parser, []))
    key = json.loads((tmp_path / "sheets" / KEY).read_text(encoding="utf-8"))
    assert len(key) == 6
    assert {tuple(letters.values()) for letters in key.values()} == {
        (BICUBIC, "srvgg-x4"),
        ("srvgg-x4", BICUBIC),
    }

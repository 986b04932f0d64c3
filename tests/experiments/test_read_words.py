"""The study of words: which signs it takes, which word it expects of which result."""

from __future__ import annotations

from argparse import Namespace
from operator import attrgetter
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.read_words import FIRST_SEED, VOCABULARIES, letters, lines, read_cell, signs
from srkit.data.captioned import render_captioned
from srkit.ops.layout import RGB
from srkit.progress import Silent
from srkit.rendered.specs import Split
from tests.tasks.guided import save

COUNT, SIDE = 3, 64


class Eyes:
    """Reads the signs that it has seen, to the bit; the first word of each vocabulary not at all."""

    def __init__(self) -> None:
        self.texts: dict[Split, list[str]] = {}
        self.known: dict[bytes, str] = {}
        for split in VOCABULARIES:
            images = render_captioned({"sign": COUNT}, (SIDE,), split, FIRST_SEED, Silent())
            signs = {
                image.pixels.tobytes(): text for image in images if (text := attrgetter("text")(image.spec))
            }
            self.texts[split] = list(signs.values())
            self.known |= dict(list(signs.items())[1:])

    def __call__(self, image: RGB) -> str:
        return letters(self.known.get(image.tobytes(), ""))


def test_signs_that_the_reader_cannot_read_are_left_out() -> None:
    eyes = Eyes()
    found, drawn = signs("held-out", COUNT, SIDE, eyes)
    texts = eyes.texts["held-out"]
    assert drawn == len(texts) > 1
    assert [sign.text for sign in found] == texts[1:]
    for sign in found:
        assert sign.text in sign.caption
        assert sign.other_text in sign.other_caption
        assert len(sign.other_text) == len(sign.text)
        assert letters(sign.other_text) != letters(sign.text)


def test_share() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    found = read_cell([black, white], ["a b", "cdef"], lambda image: "AB" if image.max() == 0 else "CXE")
    assert found == "0.50 (0.75)"
    assert letters("O'Neil & 2") == "ONEIL2"


def test_table_and_sheet(tmp_path: Path) -> None:
    weights = save(tmp_path / "guided.safetensors", "random")
    sheet = tmp_path / "sheet.png"
    options = Namespace(weights=str(weights), blind=None, images=COUNT, sheet=sheet)
    found = [line for line in lines(options, Eyes()) if line.startswith("|")]
    # Nothing is read in the results, which are not the signs to the bit.
    assert found[2].split("|")[4:8] == [" 0.00 (0.00) ", " 0.00 (0.00) ", " 0.00 (0.00) ", " - "]
    assert Image.open(sheet).width == 5 * SIDE

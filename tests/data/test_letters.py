"""Letters of rendered words: where they stand in LR, and which tokens of a caption they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from srkit.archs.clipsr import CLIPSR
from srkit.data.captioned import CaptionedImage, CaptionedPairs
from srkit.data.letters import NONE, letter_map, token_table
from srkit.data.pairs import CropPlan
from srkit.encoders.text import text_encoder
from srkit.rendered.canvas import Lettering, Rendered

CPU = torch.device("cpu")


def test_letters_lie_side_by_side_in_their_line() -> None:
    found, lines, boxes = letter_map(
        [Lettering("HH HH", (8, 16, 48, 32)), Lettering("oo", (0, 40, 24, 48))], 8, 8, 8
    )
    assert lines == ("HHHH", "oo")
    assert found.shape == (8, 8, 1)
    # 40 pixels for four letters and a space, which takes less.
    assert found[2, :, 0].tolist() == found[3, :, 0].tolist()
    assert found[2, 0, 0] == found[2, 6, 0] == 0
    assert [n for n in found[2, :, 0].tolist() if n] == sorted(n for n in found[2, :, 0].tolist() if n)
    assert set(found[2, :, 0].tolist()) == {0, 1, 2, 3, 4}
    assert found[5, :, 0].tolist() == [5, 5, 6, 0, 0, 0, 0, 0]
    assert not found[[0, 1, 4, 6, 7]].any()
    assert boxes.shape == (7, 4)
    left, right, top, bottom = boxes[1:].T
    assert left[0] == 1
    assert right[3] == pytest.approx(6)
    assert (right[0], right[2]) == (left[1], left[3])
    assert (right - left > 0).all()
    assert right[1] < left[2]  # a space
    assert (top.tolist(), bottom.tolist()) == ([2] * 4 + [5] * 2, [4] * 4 + [6] * 2)


def test_what_lr_cannot_show_is_left_out() -> None:
    found, lines, boxes = letter_map([Lettering("small print", (0, 0, 40, 8))], 8, 8, 8)
    assert lines == ()
    assert not found.any()
    assert len(boxes) == 1


def test_tokens_follow_the_caption() -> None:
    lines = ("CIRCUS", "BANK", "cup")
    table = token_table(lines, 'a sign saying "CIRCUS  BANK", on a wall', 160)
    said = 'asignsaying"CIRCUSBANK",onawall'
    assert table[0] == NONE
    assert "".join(said[i] for i in table[1:11]) == "CIRCUSBANK"
    assert table[11:].tolist() == [NONE] * 3
    assert token_table(lines, "CIRCUS", 4)[1:7].tolist() == [0, 1, 2, 3, NONE, NONE]
    assert set(token_table(lines, "", 160).tolist()) == {NONE}
    assert token_table(("AB", "AB"), "AB and AB", 160)[1:].tolist() == [0, 1, 5, 6]


def test_pairs_give_the_tokens_of_their_own_caption() -> None:
    encoder = text_encoder("random", CPU)
    network = CLIPSR(4, 4, 0, [4, 4], widths=[4, 4], readings=0, side=8)
    pixels = np.zeros((32, 32, 3), np.uint8)
    images = [
        CaptionedImage(pixels, ("it reads HO",), None, Rendered(pixels, (Lettering("HO", (0, 0, 32, 32)),))),
        CaptionedImage(pixels, ("a wall",)),
    ]
    pairs = CaptionedPairs(images, CropPlan(4, 8, 8, 0, False), CPU, encoder, 0.5, network, aligned=True)
    seen = set()
    for batch in itertools.islice(pairs.batches(0), 4):
        for letters, sentence in zip(batch.conditions["letters"], batch.conditions["sentence"], strict=True):
            seen.add((tuple(np.unique(letters)), bool(sentence.any())))
    # The caption's 8th and 9th characters, or none where it names none or is left out.
    assert seen == {((7, 8), True), ((NONE,), True), ((NONE,), False)}

"""Captioned pairs: which text comes with which crop, and how often none does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from srkit.archs.clipsr import CLIPSR, INK, LETTERS
from srkit.data.captioned import SOURCES, CaptionedImage, CaptionedPairs, render_captioned
from srkit.data.pairs import Batch, CropPlan, JoinedPairs
from srkit.encoders.text import TextEncoder, text_encoder
from srkit.progress import Silent
from srkit.rendered.sign import Sign

CPU = torch.device("cpu")
TEXTS = (("red, all of it", "red"), ("green",), ())
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return text_encoder("random", CPU)


def pairs(encoder: TextEncoder, dropout: float, sizes: tuple[float, ...] = (1.0,)) -> CaptionedPairs:
    """Of a red, a green and a blue image, of which the blue one has no caption, and one that is too small."""
    network = CLIPSR(4, 4, 0, [4, 4], widths=[4, 4], readings=0, side=8)
    images = [
        CaptionedImage(np.full((20, 24, 3), c, np.uint8), t) for c, t in zip(COLOURS, TEXTS, strict=True)
    ]
    images.insert(1, CaptionedImage(np.zeros((8, 8, 3), np.uint8), ("too small",)))
    return CaptionedPairs(images, CropPlan(4, 4, 6, 0, False, sizes=sizes), CPU, encoder, dropout, network)


def said(batch: Batch, encoder: TextEncoder) -> list[tuple[int, str]]:
    """Of each crop the number of its colour, and its text."""
    known = {text: encoder.read([text]).sentence[0] for text in ("", *itertools.chain(*TEXTS))}
    found = []
    for hr, sentence in zip(batch.hr, batch.conditions["sentence"], strict=True):
        (text,) = [text for text, one in known.items() if torch.allclose(one, sentence, atol=1e-5)]
        found.append((int(hr.mean((1, 2)).argmax()), text))
    return found


def test_each_crop_has_a_wording_of_its_image(encoder: TextEncoder) -> None:
    made = pairs(encoder, 0.0, (1.0, 0.8))
    batches = list(itertools.islice(made.batches(0), 8))
    found = {pair for batch in batches for pair in said(batch, encoder)}
    assert found == {(0, "red, all of it"), (0, "red"), (1, "green"), (2, "")}
    batch = batches[0]
    assert set(batch.conditions) == set(SOURCES)
    assert batch.conditions["thumbnail"].shape == (6, 3, 8, 8)
    assert torch.allclose(
        batch.conditions["thumbnail"].mean((2, 3)).argmax(1), batch.hr.mean((2, 3)).argmax(1)
    )
    assert batch.conditions["words"].shape == (6, encoder.length, encoder.word_channels)


def test_batches_are_a_function_of_the_step(encoder: TextEncoder) -> None:
    first, again = (next(iter(pairs(encoder, 0.5).batches(3))) for _ in range(2))
    assert torch.equal(first.hr, again.hr)
    assert torch.equal(first.conditions["sentence"], again.conditions["sentence"])


def test_captions_are_left_out_as_often_as_asked(encoder: TextEncoder) -> None:
    for dropout, low, high in ((1.0, 1.0, 1.0), (0.4, 0.25, 0.55)):
        texts = [
            text
            for batch in itertools.islice(pairs(encoder, dropout).batches(0), 25)
            for colour, text in said(batch, encoder)
            if colour != 2
        ]
        assert low <= texts.count("") / len(texts) <= high


def test_joined_pairs_are_end_to_end(encoder: TextEncoder) -> None:
    one, other = pairs(encoder, 0.0), pairs(encoder, 1.0)
    batch = next(iter(JoinedPairs([one, other]).batches(0)))
    assert len(batch.lr) == len(batch.hr) == 12
    assert all(len(value) == 12 for value in batch.conditions.values())
    assert torch.equal(batch.hr[:6], next(iter(one.batches(0))).hr)
    assert not batch.conditions["words"][6:].any()


def test_rendered_images_come_with_their_spec() -> None:
    images = render_captioned({"sign": 2, "portrait": 1}, (64, 96), "held-out", 5, Silent())
    assert [image.pixels.shape[0] for image in images] == [64, 96, 64]
    assert [image.spec.seed for image in images if image.spec] == [5, 6, 5]
    assert all(image.texts and image.rendered is not None for image in images)


def test_ink_of_signs_is_cut_with_the_crops(encoder: TextEncoder) -> None:
    """Of each size, where HR shows the letters; of other images it is unknown."""
    network = CLIPSR(4, 4, 0, [4, 4], widths=[4, 4], readings=0, side=8)
    signs = [
        image
        for image in render_captioned({"sign": 12}, (96,), "train", 0, Silent())
        if isinstance(image.spec, Sign) and image.spec.scheme == "white on black" and image.spec.text
    ]
    assert signs
    plan = CropPlan(4, 12, 8, 0, False, sizes=(1.0, 0.75))
    plain = CaptionedImage(np.zeros((96, 96, 3), np.uint8), ("black",))
    made = CaptionedPairs([*signs[:1], plain], plan, CPU, encoder, 0.0, network, aligned=True)
    batches = list(itertools.islice(made.batches(0), 8))
    ink = torch.cat([batch.conditions[INK] for batch in batches])
    letters = torch.cat([batch.conditions[LETTERS] for batch in batches])[:, None] >= 0
    luma = torch.cat([batch.hr for batch in batches]).mean(1, keepdim=True)
    black = luma.flatten(1).amax(1) == 0
    assert ink.shape == (64, 1, 48, 48)
    assert (ink[black] == -1).all()
    assert black.any()
    shown = torch.nn.functional.interpolate(letters.float(), (48, 48)) > 0
    assert shown[~black].any()
    assert torch.corrcoef(torch.stack([luma[shown], ink[shown]]))[0, 1] > 0.95

"""Letters drawn in the boxes that LR pixels estimate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from srkit.archs.clipsr import CLIPSR
from srkit.archs.glyphs import _GRID, BOX, CHANNELS, Glyphs, box_loss, ink_loss
from tests.archs.test_clipsr import TEXT, network, text

SCALE = 8


def glyphs() -> Glyphs:
    torch.manual_seed(0)
    return Glyphs(features=4, read=6, scale=SCALE, hidden=7)


def inputs(height: int = 3, width: int = 6) -> tuple[Tensor, Tensor]:
    """LR features, and what the attention has read."""
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(1, 4, height, width, generator=generator),
        torch.randn(1, 6, height, width, generator=generator),
    )


def one_box(left: float, right: float, top: float, bottom: float, height: int = 3, width: int = 6) -> Tensor:
    """The same box, in LR pixels of the image, as every pixel sees it."""
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    boxes = torch.empty(1, BOX, height, width)
    boxes[:, 0], boxes[:, 1] = (left + right) / 2 - x, ((top + bottom) / 2 - y)[:, None]
    boxes[:, 2], boxes[:, 3] = torch.tensor(right - left).log(), torch.tensor(bottom - top).log()
    return boxes


@torch.inference_mode()
def test_nothing_is_added_at_first() -> None:
    made, (h, read) = glyphs(), inputs()
    boxes, there = made.boxes(h)
    assert not boxes.any()
    assert not there.any()
    assert not made(h, made.letters(h, read, boxes, there)).any()


@torch.inference_mode()
def test_letters_have_the_contrast_of_their_place() -> None:
    """That of each LR pixel at its centre, channel by channel: a mean of two pixels, half of a line from the centre."""
    made, (h, _) = glyphs(), inputs(1, 6)
    nn.init.normal_(made.contrast.weight)
    letters = torch.zeros(1, CHANNELS, SCALE, 6 * SCALE)
    letters[:, 1] = 2.0
    contrast = 2 * made.contrast(h).unflatten(1, (3, CHANNELS))[0, :, 1, 0]
    edges = (contrast[:, 1:] + contrast[:, :-1]) / 2  # between LR pixels
    found = made(h, letters)[0].unflatten(2, (6, SCALE))
    torch.testing.assert_close((found[:, :, :-1, -1] + found[:, :, 1:, 0])[:, 0] / 2, edges)


@torch.inference_mode()
def test_a_drawing_fills_its_box() -> None:
    """Every LR pixel has the same box and the same drawing: a ramp from its left end, and one from its top."""
    made, (h, read) = glyphs(), inputs()
    ramp = torch.linspace(0, 1, _GRID)
    drawing = torch.stack(
        [ramp.expand(_GRID, -1), ramp[:, None].expand(-1, _GRID), *torch.ones(2, _GRID, _GRID)], 1
    )
    nn.init.zeros_(made.drawing[2].weight)
    made.drawing[2].bias.copy_(drawing.flatten())
    letters = made.letters(h, read, one_box(1.0, 4.0, 0.5, 2.5), torch.full((1, 1, 3, 6), 20.0))[0]
    x, y = ((torch.arange(side * SCALE) + 0.5) / SCALE for side in (6, 3))
    wanted = [
        (place - low) / size * _GRID / (_GRID - 1) - 0.5 / (_GRID - 1)
        for place, low, size in ((x, 1, 3), (y, 0.5, 2))
    ]
    inner = (slice(SCALE, 2 * SCALE), slice(2 * SCALE, 3 * SCALE))  # of the box, where it covers all
    covered = 3 / 3.3  # three candidates, bounded
    torch.testing.assert_close(
        letters[0][inner] / covered, wanted[0][inner[1]].expand(SCALE, -1), atol=0.02, rtol=0
    )
    torch.testing.assert_close(
        letters[1][inner] / covered, wanted[1][inner[0], None].expand(-1, SCALE), atol=0.02, rtol=0
    )


@torch.inference_mode()
def test_letters_are_drawn_in_their_box_alone() -> None:
    made, (h, read) = glyphs(), inputs()
    drawn = made.letters(h, read, one_box(2.0, 4.0, 0.0, 3.0), torch.full((1, 1, 3, 6), 9.0)).abs().sum(1)[0]
    inside, outside = drawn[:, 2 * SCALE : 4 * SCALE], torch.cat([drawn[:, :SCALE], drawn[:, 5 * SCALE :]], 1)
    assert float(inside.mean()) > 5 * float(outside.mean())
    nowhere = made.letters(h, read, one_box(2.0, 4.0, 0.0, 3.0), torch.full((1, 1, 3, 6), -9.0))
    assert float(nowhere.abs().max()) < 0.01


@torch.inference_mode()
def test_the_end_of_a_letter_is_drawn_by_the_pixel_that_has_its_box() -> None:
    """A letter ends in the middle of LR column 3, which shows the next letter."""
    made, (h, read) = glyphs(), inputs()
    boxes = one_box(1.0, 3.5, 0.0, 3.0)
    boxes[:, :, :, 3:] = one_box(3.5, 6.0, 0.0, 3.0)[:, :, :, 3:]
    there = torch.full((1, 1, 3, 6), 9.0)
    other = read.clone()
    other[:, :, :, 2] += 1.0  # another first letter
    changed = (made.letters(h, read, boxes, there) - made.letters(h, other, boxes, there)).abs().sum(1)[0]
    first, last = changed[:, 3 * SCALE : 3 * SCALE + 3], changed[:, 4 * SCALE - 3 : 4 * SCALE]
    assert float(first.mean()) > 5 * float(last.mean())


def test_box_loss() -> None:
    true, known = one_box(1.0, 3.0, 0.0, 2.0), torch.zeros(1, 1, 3, 6, dtype=torch.bool)
    known[..., 1:3] = True
    sure = torch.where(known, 30.0, -30.0)
    assert float(box_loss(true, sure, true, known)) == pytest.approx(0, abs=1e-6)
    assert float(box_loss(true + 0.5, sure, true, known)) == pytest.approx(0.5, abs=1e-6)
    elsewhere = torch.where(known, true, 7.0)
    assert float(box_loss(elsewhere, sure, true, known)) == pytest.approx(0, abs=1e-6)
    assert float(box_loss(true, -sure, true, known)) == pytest.approx(30, abs=1e-3)
    nothing = torch.zeros_like(known)
    assert float(box_loss(true + 1, torch.full_like(sure, -30), true, nothing)) == pytest.approx(0, abs=1e-6)


def test_ink_counts_where_a_letter_and_its_ink_are_known() -> None:
    letters = torch.zeros(1, CHANNELS, 3 * SCALE, 6 * SCALE)
    ink, known = torch.full((1, 1, 3 * SCALE, 6 * SCALE), 0.5), torch.zeros(1, 1, 3, 6, dtype=torch.bool)
    assert float(ink_loss(letters, ink, known)) == 0
    known[..., 1:3] = True
    assert float(ink_loss(letters, ink, known)) == pytest.approx(0.25)
    ink[..., : 2 * SCALE], ink[..., 3 * SCALE :] = -1, 1
    assert float(ink_loss(letters, ink, known)) == pytest.approx(0.25)
    assert float(ink_loss(letters, torch.full_like(ink, -1), known)) == 0


def aligned(
    made: CLIPSR, letters: Tensor, boxes: Tensor, *, drawn: bool
) -> tuple[Tensor | None, dict[str, Tensor]]:
    x = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(2))
    words, sentence = text(3, 2)
    guide = made.guide(
        torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(4)), sentence, TEXT.prompted
    )
    position = torch.zeros(2, 2, 4, 6)
    ink = torch.ones(2, 1, 32, 48)
    return made.aligned(x, guide, position, words, sentence, letters, boxes, ink, drawn=drawn)


@torch.inference_mode()
def test_true_boxes_are_used_for_every_second_image() -> None:
    made = network(scale=8, stages=[8, 6, 4], glyphs=5)
    assert made.glyphs is not None
    nn.init.normal_(made.glyphs.contrast.weight)
    letters = torch.zeros(2, 4, 6, dtype=torch.int64)
    boxes = torch.zeros(2, BOX, 4, 6)
    near, distances = aligned(made, letters, boxes, drawn=True)
    far, others = aligned(made, letters, boxes + 0.7, drawn=True)
    none, same = aligned(made, letters, boxes, drawn=False)
    assert near is not None
    assert far is not None
    assert none is None
    assert not torch.equal(near[0], far[0])
    assert torch.equal(near[1], far[1])
    assert set(same) == {"alignment", "boxes", "ink"}
    assert float(others["boxes"]) == pytest.approx(float(distances["boxes"]) + 0.7, abs=1e-5)
    torch.testing.assert_close(same, distances)


def test_networks_that_read_no_words_draw_no_letters() -> None:
    for changes in ({"readings": 0}, {"text": "constant"}):
        assert network(scale=8, stages=[8, 6, 4], glyphs=5, **changes).glyphs is None

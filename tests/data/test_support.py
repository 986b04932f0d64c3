"""Crops of examples: pairs that belong together, from the examples that were asked for, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.conditioning.makers import Conditioning
from srkit.data.examples import Example
from srkit.data.pairs import CropPlan, make_lr
from srkit.data.support import MAX_PHASES, SupportPairs, Variety, validation_batches
from srkit.errors import UsageError
from srkit.ops.geometry import position_grid
from srkit.ops.layout import as_tensor
from tests.helpers import conditioned_on, refused

CPU = torch.device("cpu")


def numbered(height: int, width: int, offset: int) -> Example:
    """LR pixels are numbered; every HR pixel holds the number of its LR pixel."""
    lr = (np.arange(height * width).reshape(height, width, 1) + offset).repeat(3, axis=2).astype(np.uint8)
    return Example(f"from {offset}", lr.repeat(2, axis=0).repeat(2, axis=1), lr)


@pytest.fixture
def conditioning(monkeypatch: pytest.MonkeyPatch) -> Conditioning:
    return conditioned_on(monkeypatch, position=True, mean=lambda lr: lr.mean((2, 3)))


@pytest.fixture
def pairs(conditioning: Conditioning) -> SupportPairs:
    examples = [numbered(10, 8, 0), numbered(8, 9, 100)]
    return SupportPairs(examples, CropPlan(2, 4, 6, seed=3), CPU, conditioning)


def test_hr_and_lr_belong_together(pairs: SupportPairs) -> None:
    for batch in islice(pairs.batches(0), 4):
        assert batch.lr.shape == (6, 3, 4, 4)
        assert batch.hr.shape == (6, 3, 8, 8)
        assert torch.equal(batch.hr[:, :, ::2, ::2], batch.lr)
        assert torch.equal(batch.hr[:, :, 1::2, 1::2], batch.lr)


def test_conditions_belong_to_the_crop(pairs: SupportPairs) -> None:
    batch = next(pairs.batches(0))
    numbers = (batch.lr[:, 0] * 255).round().long()
    means = [float(example.float().mean()) for example in (torch.arange(80), torch.arange(100, 172))]
    for crop, position, semantic in zip(
        numbers, batch.conditions["position"], batch.conditions["mean"], strict=True
    ):
        second = int(crop[0, 0] >= 100)
        height, width = ((10, 8), (8, 9))[second]
        within = crop - 100 * second
        grid = position_grid(height, width)[0].flatten(1)
        torch.testing.assert_close(position, grid[:, within.flatten()].reshape(2, 4, 4))
        assert float(semantic[0]) * 255 == pytest.approx(means[second], abs=1e-3)


def test_a_function_of_seed_and_step(pairs: SupportPairs) -> None:
    third = next(islice(pairs.batches(0), 2, None))
    assert torch.equal(next(pairs.batches(2)).lr, third.lr)
    assert not torch.equal(next(pairs.batches(3)).lr, third.lr)
    assert not torch.equal(pairs.batch((0, 1), 4, 2).lr, third.lr)


def test_some_of_the_examples_only(pairs: SupportPairs) -> None:
    for step in range(5):
        assert float(pairs.batch([1], 0, step).lr.min()) * 255 >= 99.5
        assert float(pairs.batch([0], 0, step).lr.max()) * 255 < 99.5


def test_examples_that_are_too_small() -> None:
    with refused(UsageError, "'from 0'", 4):
        SupportPairs([numbered(10, 3, 0)], CropPlan(2, 4, 6, 0), CPU)
    with refused(UsageError, 4):
        SupportPairs([], CropPlan(2, 4, 6, 0), CPU)


@pytest.mark.parametrize(
    ("largest", "multiple", "size"), [(99, 1, (30, 21)), (16, 1, (16, 16)), (99, 4, (28, 20)), (3, 8, (8, 8))]
)
def test_the_middle_of_an_image(
    largest: int,
    multiple: int,
    size: tuple[int, int],
    rendered: Callable[..., NDArray[np.uint8]],
    conditioning: Conditioning,
) -> None:
    hr = rendered(60, 42)
    example = Example("a", hr, make_lr(hr, 2))
    (batch,) = validation_batches(example, 1, largest, multiple, CPU, conditioning)
    top, left = ((side - kept) // 2 for side, kept in zip((30, 21), size, strict=True))
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    whole = as_tensor(example.lr, CPU)
    assert torch.equal(batch.lr, whole[:, :, rows, columns])
    assert torch.equal(
        batch.hr, as_tensor(hr, CPU)[:, :, 2 * top : 2 * rows.stop, 2 * left : 2 * columns.stop]
    )
    assert torch.equal(batch.conditions["mean"], whole.mean((2, 3)))
    assert torch.equal(batch.conditions["position"], position_grid(30, 21)[:, :, rows, columns])


@pytest.mark.parametrize("turned", [False, True])
def test_parts_that_judge_lie_beside_each_other(turned: bool) -> None:
    example = numbered(4, 16, 0)
    if turned:
        example = Example("turned", example.hr.swapaxes(0, 1), example.lr.swapaxes(0, 1))
    found = validation_batches(example, 3, 4, 2, CPU)
    seen = [batch.lr.transpose(2, 3) if turned else batch.lr for batch in found]
    firsts = [round(float(lr[0, 0, 0, 0]) * 255) for lr in seen]
    assert [lr.shape for lr in seen] == [(1, 3, 4, 4)] * 3
    assert firsts == [0, 5, 11]  # of stretches from 0 to 5, to 10 and to 16


def inner(x: Tensor, margin: int) -> Tensor:
    return x[..., margin:-margin, margin:-margin]


@pytest.mark.parametrize("scale", [2, 3, 5])
def test_lr_is_made_anew_on_other_grids(scale: int, rendered: Callable[..., NDArray[np.uint8]]) -> None:
    """The LR crop is what its HR crop gives, wherever the crop lies; with crops that begin between LR pixels."""
    hr = rendered(48 * scale, 40 * scale)
    example = Example("a", hr, make_lr(hr, scale))
    found = SupportPairs(
        [example], CropPlan(scale, 10, 16, 0), CPU, variety=Variety(turns=False, phases=True)
    )
    assert len(found.lr.heights) == min(MAX_PHASES, scale**2)
    places = set()
    for batch in islice(found.batches(0), 4):
        for low, high in zip(batch.lr, batch.hr, strict=True):
            pixels = (high * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            again = as_tensor(make_lr(pixels, scale), CPU)[0]
            assert torch.equal(inner(again, 2), inner(low, 2))
            where = np.argwhere((hr[:, :, None] == pixels[0, 0]).all(-1)[..., 0])
            places |= {(int(y) % scale, int(x) % scale) for y, x in where}
    assert len(places) > 1


def test_given_lr_stays_as_it_is(rendered: Callable[..., NDArray[np.uint8]]) -> None:
    hr = rendered(40, 40)
    example = Example("a", hr, 255 - make_lr(hr, 2), made=False)
    found = SupportPairs([example], CropPlan(2, 8, 4, 0), CPU, variety=Variety(phases=True))
    assert len(found.lr.heights) == 1
    batch = next(found.batches(0))
    assert float((batch.lr + inner_mean(batch.hr) - 1).abs().mean()) < 0.1


def inner_mean(hr: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(hr, 2)


def test_colours(rendered: Callable[..., NDArray[np.uint8]]) -> None:
    """LR and HR change together, and what comes out is a permutation of the channels, or of their negatives."""
    hr = rendered(48, 48)
    example, plan = Example("a", hr, make_lr(hr, 2)), CropPlan(2, 12, 64, 0)
    plain = next(SupportPairs([example], plan, CPU).batches(0))
    coloured = next(SupportPairs([example], plan, CPU, variety=Variety(colours=True)).batches(0))
    kinds = set()
    for i in range(64):
        pairs = ((plain.lr[i], coloured.lr[i]), (plain.hr[i], coloured.hr[i]))
        matches = [
            (order, negative)
            for order in permutations(range(3))
            for negative in (False, True)
            if all(torch.allclose((1 - a if negative else a)[list(order)], b) for a, b in pairs)
        ]
        assert matches
        kinds.add(matches[0])
    assert len(kinds) > 8
    again = next(SupportPairs([example], plan, CPU, variety=Variety(colours=True)).batches(0))
    assert torch.equal(again.hr, coloured.hr)

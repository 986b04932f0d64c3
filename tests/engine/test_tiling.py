"""The arithmetic of windows, by trying it on many sizes."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from math import ceil

import pytest

from srkit.engine.tiling import Span, TilePlan, plan_tiles


@dataclass(frozen=True)
class Asked:
    height: int
    width: int
    tile: int | None
    overlap: int
    multiple: int
    min_size: int
    fit: bool

    def plan(self) -> TilePlan:
        return plan_tiles(
            self.height,
            self.width,
            tile=self.tile,
            overlap=self.overlap,
            multiple=self.multiple,
            min_size=self.min_size,
            fit=self.fit,
        )


def _random_cases(count: int) -> list[Asked]:
    rng = random.Random(0)
    cases = []
    for _ in range(count):
        height, width = (rng.choice((rng.randint(1, 40), rng.randint(1, 700))) for _ in range(2))
        tile = rng.choice((None, rng.randint(1, 40), rng.randint(16, 256)))
        multiple, min_size = rng.choice((1, 1, 2, 4, 8, 16)), rng.choice((1, 1, 5, 16, 48, 100))
        cases.append(Asked(height, width, tile, rng.randint(0, 40), multiple, min_size, rng.random() < 0.5))
    return cases


CASES = [
    *_random_cases(3000),
    *(Asked(h, 37, 8, 3, m, 1, fit) for h in range(1, 90) for m in (1, 4) for fit in (True, False)),
]


def _sides(plan: TilePlan) -> list[tuple[int, int, tuple[Span, ...]]]:
    """(length, extended length, spans) of both sides."""
    return [
        (plan.height, plan.extended[0], plan.rows),
        (plan.width, plan.extended[1], plan.columns),
    ]


def test_the_image_is_extended_to_what_the_network_needs_and_no_further() -> None:
    for case in CASES:
        for length, extended, _ in _sides(case.plan()):
            needed = max(length, case.min_size)
            assert extended == ceil(needed / case.multiple) * case.multiple, case


def test_windows_lie_inside_and_have_one_shape_that_the_network_takes() -> None:
    for case in CASES:
        for _, extended, spans in _sides(case.plan()):
            assert len({span.size for span in spans}) == 1, case
            for span in spans:
                assert span.start >= 0, case
                assert span.start + span.size <= extended, case
                assert span.start % case.multiple == 0, case
                assert span.size % case.multiple == 0, case
                assert span.size >= case.min_size, case


def test_every_pixel_is_owned_once() -> None:
    for case in CASES:
        for _, extended, spans in _sides(case.plan()):
            edges = [(span.own_start, span.own_stop) for span in spans]
            assert edges[0][0] == 0, case
            assert edges[-1][1] == extended, case
            assert all(a[1] == b[0] for a, b in itertools.pairwise(edges)), case
            assert all(start < stop for start, stop in edges), case


def test_what_is_owned_lies_an_overlap_away_from_cuts() -> None:
    for case in CASES:
        for _, extended, spans in _sides(case.plan()):
            for span in spans:
                if span.start > 0:
                    assert span.own_start - span.start >= case.overlap, case
                if span.start + span.size < extended:
                    assert span.start + span.size - span.own_stop >= case.overlap, case


def test_windows_are_no_larger_than_asked() -> None:
    for case in CASES:
        for _, extended, spans in _sides(case.plan()):
            if case.tile is None:
                assert [(span.start, span.size) for span in spans] == [(0, extended)], case
                continue
            margin = ceil(case.overlap / case.multiple) * case.multiple
            asked = max(case.tile // case.multiple, 1) * case.multiple + 2 * margin
            least = ceil(case.min_size / case.multiple) * case.multiple
            assert spans[0].size <= max(asked, least), case
            if not case.fit:  # one shape across images
                assert spans[0].size == min(max(asked, least), extended), case


def test_fitted_windows_waste_least() -> None:
    for case in CASES:
        if case.tile is None or not case.fit:
            continue
        for (_, extended, spans), (_, _, loose) in zip(
            _sides(case.plan()), _sides(replace(case, fit=False).plan()), strict=True
        ):
            assert len(spans) == len(loose), case  # no more windows, each at most as large
            assert spans[0].size <= loose[0].size, case
            if len(spans) > 1 and case.min_size == 1:
                # One step of the multiple less would not cover the image.
                margin = ceil(case.overlap / case.multiple) * case.multiple
                smaller = spans[0].size - case.multiple - 2 * margin
                assert len(spans) * smaller + 2 * margin < extended, case


def test_windows_go_row_by_row() -> None:
    plan = plan_tiles(50, 90, tile=20, overlap=4, fit=True)
    starts = [(w.rows.start, w.columns.start) for w in plan.windows]
    assert starts == sorted(starts)
    assert len(starts) == len(plan.rows) * len(plan.columns) == 3 * 5
    assert plan.shape == (plan.rows[0].size, plan.columns[0].size)


@pytest.mark.parametrize(("tile", "work"), [(None, 1.0), (100, 1.0), (50, (50 + 20) ** 2 * 4 / 100**2)])
def test_work(tile: int | None, work: float) -> None:
    # Two windows of 50 with 10 beyond on each side cover 120, so fitting makes them smaller.
    assert plan_tiles(100, 100, tile=tile, overlap=10, fit=False).work == pytest.approx(work)
    assert plan_tiles(100, 100, tile=tile, overlap=10, fit=True).work <= work

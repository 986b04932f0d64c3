"""Views: what two of an instance share, and what they do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from srkit.data.views import CLEAN, DEGRADATIONS, ViewPlan, ViewSource, _degrade, _Instance
from srkit.ops.layout import RGB


def _flat(value: int) -> RGB:
    return np.full((96, 80, 3), value, dtype=np.uint8)


def _source(rendered: Callable[..., RGB], **changes: object) -> ViewSource:
    photographs = [rendered(128, 160, seed) for seed in range(3)]
    domains = [[_flat(10), _flat(40)], [_flat(200), _flat(220), _flat(240)]]
    plan = {"images": 4, "degraded": 3, "sides": (32, 40), "seed": 5} | changes
    return ViewSource(photographs, domains, ViewPlan(**plan))  # type: ignore[arg-type]


def test_a_step_has_one_image_of_each_domain_and_degraded_twins(rendered: Callable[..., RGB]) -> None:
    source = _source(rendered)
    for step in range(8):
        views = source.draw(step)
        assert views.pixels.shape[:2] == (14, 3)
        assert views.pixels.shape[2] == views.pixels.shape[3]
        assert views.pixels.shape[2] in (32, 40)
        assert 0 <= float(views.pixels.min()) <= float(views.pixels.max()) <= 1
        for values in (views.image, views.kind, views.strength):
            assert torch.equal(*values.chunk(2))  # both views of an instance
        image, kind = views.image[:7], views.kind[:7]
        assert sorted(sum(int(p) in of for p in image[:4]) for of in ({0, 1, 2}, {3, 4}, {5, 6, 7})) == [
            1,
            1,
            2,
        ]
        assert len(set(image[:4].tolist())) == 4
        assert torch.equal(image[4:], image[:3])
        assert bool((kind[:4] == CLEAN).all())
        assert bool((kind[4:] < CLEAN).all())


def test_a_twin_is_the_same_view_degraded(rendered: Callable[..., RGB]) -> None:
    source = _source(rendered)
    for step in range(4):
        views = source.draw(step)
        for half in views.pixels.chunk(2):
            clean, twin = half[:3], half[4:]
            photographs = views.image[:3] < 3  # what is flat stays so when blurred
            assert bool((clean != twin).flatten(1).any(1)[photographs].all())
            assert float((clean.mean((2, 3)) - twin.mean((2, 3))).abs().max()) < 0.08
            assert (
                float((half[:4] - half[:4].roll(1, 0)).abs().mean((1, 2, 3)).min()) > 0.08
            )  # others are not


def test_views_depend_on_seed_step_and_rank_alone(rendered: Callable[..., RGB]) -> None:
    source = _source(rendered)
    stream = source.batches(2)
    first, second = next(stream), next(stream)
    assert torch.equal(first.pixels, _source(rendered).draw(2).pixels)
    assert torch.equal(second.pixels, source.draw(3).pixels)
    for other in (source.draw(3), _source(rendered, seed=6).draw(2), _source(rendered, rank=1).draw(2)):
        assert other.pixels.shape != first.pixels.shape or not torch.equal(other.pixels, first.pixels)


def test_the_two_views_differ(rendered: Callable[..., RGB]) -> None:
    views = _source(rendered).draw(0)
    first, second = views.pixels.chunk(2)
    photographs = views.image[:7] < 3
    assert bool(((first - second).abs().amax((1, 2, 3)) > 0.05)[photographs].all())


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradations_grow_with_their_strength(name: str, rendered: Callable[..., RGB]) -> None:
    cut = torch.from_numpy(rendered(96, 96)).permute(2, 0, 1)[None]
    errors = []
    for strength in (0.0, 0.5, 1.0):
        instance = _Instance(0, 0, 0, 96.0, (0.0, 0.0), DEGRADATIONS.index(name), strength)
        worse = _degrade(cut, instance, 1.0, np.random.default_rng(0))
        assert worse.shape == cut.shape
        assert worse.dtype == torch.uint8
        errors.append(float((worse.float() - cut.float()).square().mean()))
    assert 0 < errors[0] < errors[1] < errors[2]


def test_clean_views_are_not_degraded(rendered: Callable[..., RGB]) -> None:
    cut = torch.from_numpy(rendered(64, 64)).permute(2, 0, 1)[None]
    assert _degrade(cut, _Instance(0, 0, 0, 64.0, (0.0, 0.0)), 1.0, np.random.default_rng(0)) is cut

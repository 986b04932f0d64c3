"""Episodes: support and query are different images of one domain, and every episode is a function of its number."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from srkit.data.episodes import EpisodePlan, TaskDomain, draw_episode
from srkit.data.examples import Example
from srkit.data.pairs import Batch, CropPlan
from srkit.data.support import SupportPairs

CPU = torch.device("cpu")


def domain(name: str, first: int, count: int) -> TaskDomain:
    """Images of one colour each, from `first` on."""
    examples = []
    for colour in range(first, first + count):
        lr = np.full((6, 5, 3), colour, np.uint8)
        examples.append(Example(str(colour), lr.repeat(2, 0).repeat(2, 1), lr))
    return TaskDomain(name, SupportPairs(examples, CropPlan(2, 4, 8, 0), CPU))


DOMAINS = [domain("a", 0, 7), domain("b", 100, 9)]
PLAN = EpisodePlan(shots=3, steps=4, seed=5)


def colours(*batches: Batch) -> set[int]:
    return {round(float(value) * 255) for batch in batches for value in batch.lr[:, 0, 0, 0]}


def test_support_and_query_are_apart() -> None:
    names: Counter[str] = Counter()
    for number in range(40):
        episode = draw_episode(DOMAINS, PLAN, number)
        names[episode.domain] += 1
        support, query = colours(*episode.support), colours(episode.query)
        assert len(episode.support) == 4
        assert 1 <= len(support) <= 3
        assert support.isdisjoint(query)
        assert all(colour >= 100 for colour in support | query) is (episode.domain == "b")
    assert min(names.values()) > 10


def test_a_function_of_its_number() -> None:
    one, two, other = (draw_episode(DOMAINS, PLAN, number) for number in (3, 3, 4))
    assert all(torch.equal(a.lr, b.lr) for a, b in zip(one.support, two.support, strict=True))
    assert torch.equal(one.query.hr, two.query.hr)
    assert not torch.equal(one.query.hr, other.query.hr)


def test_the_steps_of_an_episode_see_different_crops() -> None:
    episode = draw_episode(DOMAINS, PLAN, 0)
    assert len({tuple(batch.lr[:, 0, 0, 0].tolist()) for batch in episode.support}) > 1

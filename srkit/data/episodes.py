"""Episodes: a few images of a domain to adapt on, and others of it to measure on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from srkit.data.pairs import Batch
from srkit.data.support import SupportPairs


@dataclass(frozen=True)
class TaskDomain:
    """Images of one kind."""

    name: str
    pairs: SupportPairs

    @property
    def count(self) -> int:
        return self.pairs.count


@dataclass(frozen=True)
class Episode:
    """One task: a domain's support batches, one an inner step, and a batch of its other images."""

    domain: str
    support: Sequence[Batch]
    query: Batch


@dataclass(frozen=True)
class EpisodePlan:
    """How episodes are drawn.

    Attributes:
        shots: images that an episode adapts on; the domain has more.
        steps: support batches in an episode.
        seed: of everything drawn.
    """

    shots: int
    steps: int
    seed: int


def draw_episode(domains: Sequence[TaskDomain], plan: EpisodePlan, number: int) -> Episode:
    """Episode `number`: a function of the plan and the number alone. Domains are drawn evenly.

    Support and query are different images: what an episode adapts on never scores it.
    """
    rng = np.random.default_rng((plan.seed, number))
    domain = domains[int(rng.integers(len(domains)))]
    order = rng.permutation(domain.count).tolist()
    support, query = order[: plan.shots], order[plan.shots : 2 * plan.shots]
    seed = int(rng.integers(2**31))
    batches = tuple(domain.pairs.batch(support, seed, step) for step in range(plan.steps))
    return Episode(domain.name, batches, domain.pairs.batch(query, seed, plan.steps))

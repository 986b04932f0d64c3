"""Episodes of meta-training: a support set of a domain to adapt on, and a query set to measure on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from srkit.data.pairs import Batch
from srkit.data.support import SupportPairs


@dataclass(frozen=True)
class TaskDomain:
    """Domain of a meta-training task."""

    name: str
    pairs: SupportPairs

    @property
    def count(self) -> int:
        return self.pairs.count


@dataclass(frozen=True)
class Episode:
    """Task: a domain's support batches, one per inner step, and a batch of its other images."""

    domain: str
    support: Sequence[Batch]
    query: Batch


@dataclass(frozen=True)
class EpisodePlan:
    """Parameters of the episodes.

    Attributes:
        shots: images in the support set; the domain must have more.
        steps: support batches per episode.
        seed: seed of all draws.
    """

    shots: int
    steps: int
    seed: int


def draw_episode(domains: Sequence[TaskDomain], plan: EpisodePlan, number: int) -> Episode:
    """Draw episode `number`: a function of the plan and the number alone. Domains are drawn uniformly.

    Support and query are disjoint sets of images.
    """
    rng = np.random.default_rng((plan.seed, number))
    domain = domains[int(rng.integers(len(domains)))]
    order = rng.permutation(domain.count).tolist()
    support, query = order[: plan.shots], order[plan.shots : 2 * plan.shots]
    seed = int(rng.integers(2**31))
    batches = tuple(domain.pairs.batch(support, seed, step) for step in range(plan.steps))
    return Episode(domain.name, batches, domain.pairs.batch(query, seed, plan.steps))

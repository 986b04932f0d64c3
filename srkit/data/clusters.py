"""Clustering of images by their embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 100


def k_means(vectors: NDArray[np.float64], count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Lloyd's algorithm with k-means++ seeds (Arthur and Vassilvitskii 2007); deterministic for a seed.

    Args:
        vectors: (N, D).
        count: number of groups, from 1 to N.
        seed: seed of the initial centres.

    Returns:
        (N,) the group of each vector, numbered from 0 by the first vector in each. No group is empty, but equal vectors
        share a group, so there may be fewer than `count`.
    """
    rng = np.random.default_rng(seed)
    centres = _seeds(vectors, count, rng)
    groups = _nearest(vectors, centres)
    for _ in range(_ROUNDS):
        centres = np.stack(
            [
                vectors[groups == i].mean(axis=0) if (groups == i).any() else centre
                for i, centre in enumerate(centres)
            ]
        )
        before, groups = groups, _nearest(vectors, centres)
        if np.array_equal(before, groups):
            break
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    numbered: NDArray[np.int64] = order[inverse].astype(np.int64)
    return numbered


def _seeds(vectors: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    centres = [vectors[rng.integers(len(vectors))]]
    while len(centres) < count:
        distance = _distances(vectors, np.stack(centres)).min(axis=1)
        total = distance.sum()
        if total <= 0:  # every vector is a centre already
            break
        centres.append(vectors[rng.choice(len(vectors), p=distance / total)])
    return np.stack(centres)


def _nearest(vectors: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = _distances(vectors, centres).argmin(axis=1)
    return nearest


def _distances(vectors: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances (N, K)."""
    squared: NDArray[np.float64] = ((vectors[:, None] - centres[None]) ** 2).sum(axis=2)
    return squared

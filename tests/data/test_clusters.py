"""k-means: groups that are there are found, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from srkit.data.clusters import k_means


def test_groups_that_are_there() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 10, 0], [10, 0, 0], [0, 0, 10], [10, 10, 10]])
    truth = rng.integers(4, size=60)
    found = k_means(centres[truth] + rng.normal(size=(60, 3)), 4)
    pairs = set(zip(truth.tolist(), found.tolist(), strict=True))
    assert len(pairs) == 4
    assert found[0] == 0
    assert found.dtype == np.int64


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_vector_is_nearest_to_its_own_mean(count: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(40, 8))
    found = k_means(vectors, count, seed=3)
    assert set(found.tolist()) == set(range(count))
    means = np.stack([vectors[found == i].mean(axis=0) for i in range(count)])
    distances = np.linalg.norm(vectors[:, None] - means[None], axis=2)
    assert np.array_equal(distances.argmin(axis=1), found)
    assert np.array_equal(k_means(vectors, count, seed=3), found)


def test_equal_vectors_share_a_group() -> None:
    assert k_means(np.ones((5, 2)), 3).tolist() == [0, 0, 0, 0, 0]
    assert k_means(np.array([[0.0], [1.0]]), 2).tolist() == [0, 1]

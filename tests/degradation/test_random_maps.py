"""Random maps of covariance."""

from __future__ import annotations

import torch

from srkit.degradation.kernels import axes, gaussian_map
from srkit.degradation.modes import mode_covariance
from srkit.degradation.random_maps import patchwork, random_gradients, turned


def test_random_gradients_are_kernels_that_change_smoothly() -> None:
    covariance = random_gradients(20, 16, 4, torch.Generator().manual_seed(0))
    lam1, lam2, _ = axes(covariance.permute(0, 2, 3, 1))
    assert float(lam2.min()) > 0.69
    assert float(lam1.max()) < 10.01
    assert float(covariance.diff(dim=3).abs().max()) < 2.5
    assert float((lam1.flatten(1).amax(1) - lam1.flatten(1).amin(1)).mean()) > 2
    kernels = gaussian_map(covariance, 4)
    torch.testing.assert_close(kernels.sum(1), torch.ones(20, 16, 16))


def test_a_turned_map_has_the_same_kernels_in_another_place_and_direction() -> None:
    mode, rng = mode_covariance("mode4", 20, 20, 4)[0], torch.Generator().manual_seed(0)
    lam1, lam2, _ = axes(mode.movedim(0, -1))
    corners, angles = set(), []
    for _ in range(24):
        found = axes(turned(mode, rng).movedim(0, -1))
        for one, other in zip(found, (lam1, lam2), strict=False):
            torch.testing.assert_close(one.flatten().sort().values, other.flatten().sort().values)
        corners.add(int(found[0].flatten().argmax()))
        angles.append(float(found[2].flatten()[int(found[0].argmax())]))
    assert len(corners) == 4  # wherever the widest kernel lay
    assert max(angles) - min(angles) > 1


def test_patchwork_is_drawn_for_blocks_of_one_size() -> None:
    sides, counts, elongated = set(), [], 0
    for seed in range(24):
        found = patchwork(48, 4, torch.Generator().manual_seed(seed))
        lam1, lam2, _ = axes(found.movedim(0, -1))
        assert float(lam2.min()) > 0.69 and float(lam1.max()) < 10.01
        changes = [found.diff(dim=dim).abs().amax((0, 3 - dim)) > 0 for dim in (1, 2)]
        distances = torch.cat([torch.nonzero(changed).flatten().diff() for changed in changes]).tolist()
        side = min(distances, default=24)
        assert all(distance % side == 0 for distance in distances)  # neighbours may share a kernel
        sides.add(side)
        elongated += float((lam1 / lam2).median()) > 4
        counts.append(len(found.flatten(1).T.unique(dim=0)))
    assert min(sides) >= 6 and max(sides) <= 24 and len(sides) > 3
    assert 8 <= elongated <= 18  # half of them
    few = sum(count <= 4 for count in counts)
    assert 8 <= few <= 18 and max(counts) > 20  # and half share two to four


def test_patchwork_of_one_block() -> None:
    for seed in range(8):
        assert patchwork(4, 4, torch.Generator().manual_seed(seed)).shape == (3, 4, 4)

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


def test_patchwork_has_a_kernel_for_every_block() -> None:
    sides = set()
    for seed in range(12):
        found = patchwork(48, 4, torch.Generator().manual_seed(seed))
        lam1, lam2, _ = axes(found.movedim(0, -1))
        assert float(lam2.min()) > 0.69 and float(lam1.max()) < 10.01
        for dim in (1, 2):
            edges = torch.nonzero(found.diff(dim=dim).abs().amax((0, 3 - dim)) > 0).flatten()
            assert len(set(edges.diff().tolist())) <= 1  # all blocks have one side
            sides |= set(edges.diff().tolist())
    assert min(sides) >= 6 and max(sides) <= 24 and len(sides) > 3

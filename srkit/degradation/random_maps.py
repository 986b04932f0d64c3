"""Random maps of covariance, for training on more variation than the test modes have."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.degradation.kernels import axes, covariance_of
from srkit.degradation.pca import sample_covariance

_BLOCKS = (6, 25)  # bounds of the side of patchwork's blocks in LR pixels, upper one exclusive
_FEW = (2, 5)  # bounds of the number of kernels in a patchwork with few, upper one exclusive
_ELONGATED = 4.0  # see `sample_covariance`


def turned(covariance: Tensor, rng: torch.Generator) -> Tensor:
    """Apply a random dihedral transform to a square map (3, p, p), and rotate all kernels by the same random angle."""
    dice = torch.rand(4, generator=rng).tolist()
    for flipped, dims in zip(dice[:2], ((1,), (2,)), strict=True):
        covariance = covariance.flip(dims) if flipped < 0.5 else covariance
    covariance = covariance.transpose(1, 2) if dice[2] < 0.5 else covariance
    lam1, lam2, theta = axes(covariance.movedim(0, -1))
    return covariance_of(lam1, lam2, theta + math.pi * dice[3]).movedim(-1, 0)


def random_gradients(count: int, patch: int, scale: int, rng: torch.Generator) -> Tensor:
    """Smoothly varying covariances of MANet's range, (count, 3, patch, patch).

    Bilinear interpolation between 2 to 4 samples per side; a mean of covariances is a covariance.
    """
    found = torch.empty(count, 3, patch, patch)
    places = torch.randint(2, 5, (count,), generator=rng).tolist()
    for at, side in enumerate(places):
        coarse = sample_covariance(scale, side * side, rng).float().T.reshape(1, 3, side, side)
        found[at] = F.interpolate(coarse, (patch, patch), mode="bilinear", align_corners=True)[0]
    return found


def patchwork(patch: int, scale: int, rng: torch.Generator) -> Tensor:
    """Covariances of MANet's range, one per block of a grid of random size and position, (3, patch, patch).

    Half of the maps use only two to four covariances, so that distant blocks are informative of each other. In half of
    them kernels are strongly elongated, so that their direction is visible.
    """
    side = int(torch.randint(*_BLOCKS, (1,), generator=rng))
    places = (torch.arange(patch) + torch.randint(side, (2, 1), generator=rng)) // side
    count = int(places.max()) + 1
    dice = torch.rand(2, generator=rng).tolist()
    elongated = _ELONGATED if dice[0] < 0.5 else 1.0
    drawn = sample_covariance(scale, count * count, rng, elongated=elongated).float().T
    if dice[1] < 0.5:
        few = min(int(torch.randint(*_FEW, (1,), generator=rng)), count * count)
        drawn = drawn[:, torch.randint(few, (count * count,), generator=rng)]
    return drawn.view(3, count, count)[:, places[0]][:, :, places[1]]

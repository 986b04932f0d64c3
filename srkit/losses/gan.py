"""Relativistic average GAN: logits relative to the mean of the other class (Jolicoeur-Martineau 2019, ICLR).

As in ESRGAN (Wang et al. 2018, ECCVW, Eqs. 1 and 2), half the sum of both directions, so that both losses have the size
of one binary cross entropy. Logits (N, 1, h, w) of any precision; computations are in fp32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.errors import UsageError


def generator_map(fake: Tensor, real: Tensor) -> Tensor:
    """Generator's loss at each position of the discriminator's map; (N, 1, h, w), at least 0.

    Args:
        fake: logits D(I) of generated images.
        real: logits D(y) of real images, of the same shape; receives no gradient.

    Raises:
        UsageError: mismatched shapes.
    """
    _check(fake, real)
    fake, real = fake.float(), real.detach().float()
    return (F.softplus(real.mean() - fake) + F.softplus(real - fake.mean())) / 2


def generator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Mean of `generator_map`; a scalar."""
    return generator_map(fake, real).mean()


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Discriminator's loss; a scalar, log 2 if it cannot distinguish the images.

    Args:
        fake: logits of generated images, which the caller detaches from the generator.
        real: logits of real images, of the same shape.

    Raises:
        UsageError: mismatched shapes.
    """
    _check(fake, real)
    fake, real = fake.float(), real.float()
    return torch.stack([F.softplus(fake.mean() - real).mean(), F.softplus(fake - real.mean()).mean()]).mean()


def _check(fake: Tensor, real: Tensor) -> None:
    if fake.shape != real.shape or fake.ndim != 4 or fake.shape[1] != 1 or fake.numel() == 0:
        raise UsageError(
            f"Logits of the shapes {tuple(fake.shape)} and {tuple(real.shape)} were to be compared; they must be the "
            "same, (N, 1, h, w)."
        )

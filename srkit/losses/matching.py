"""CLIP-SR's adversarial terms (Hu et al. 2024, after GALIP): real images must match their text.

Logits and vectors of any precision; computations are in fp32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.errors import UsageError

MAGP_WEIGHT, MAGP_POWER = 2.0, 6
SIMILARITY = 4.0
"""Weight of the text-image cosine in the generator's loss."""


def mismatched(sentences: Tensor) -> Tensor:
    """Sentences (N, D) of other images of the batch: rolled by one.

    Raises:
        UsageError: a batch of one image.
    """
    if len(sentences) < 2:
        raise UsageError(
            f"Mismatched texts of a batch of {len(sentences)} were asked for; at least 2 images are needed: choose a "
            "larger data.batch."
        )
    return sentences.roll(1, 0)


def discriminator_loss(real: Tensor, fake: Tensor, other: Tensor) -> Tensor:
    """Hinge loss: mean relu(1 - D(y, t)) + 1/2 (mean relu(1 + D(y^, t)) + mean relu(1 + D(y, t'))); a scalar.

    Args:
        real: logits (N,) of real images with their texts.
        fake: logits of generated images with their texts, which the caller detaches from the generator.
        other: logits of real images with other images' texts.
    """
    real, fake, other = (logits.float() for logits in (real, fake, other))
    return F.relu(1 - real).mean() + (F.relu(1 + fake).mean() + F.relu(1 + other).mean()) / 2


def gradient_penalty(logits: Tensor, levels: Sequence[Tensor], sentences: Tensor) -> Tensor:
    """MAGP, the matching-aware gradient penalty: 2 E[||(dD/dh, dD/dt)||^6] at real images; a scalar with a graph.

    Args:
        logits: D(h, t) (N,) in fp32, computed from the following arguments, which require gradients.
        levels: maps h of the encoder, (N, ...) each.
        sentences: t, (N, D).
    """
    slopes = torch.autograd.grad(logits.sum(), (*levels, sentences), create_graph=True, allow_unused=True)
    flat = torch.cat([slope.float().flatten(1) for slope in slopes if slope is not None], dim=1)
    # ||g||^6 = (||g||^2)^3, whose gradient at 0 exists.
    penalty = flat.square().sum(1).pow(MAGP_POWER // 2)
    return MAGP_WEIGHT * penalty.mean()


def text_similarity(vectors: Tensor, sentences: Tensor) -> Tensor:
    """Mean cosine of image vectors (N, D) and text vectors (N, D); a scalar in [-1, 1].

    Texts of zeros (no prompt) contribute 0.
    """
    return F.cosine_similarity(vectors.float(), sentences.float(), dim=1).mean()


def generator_loss(fake: Tensor, similarity: Tensor | float) -> Tensor:
    """Generator's loss -mean D(y^, t) - 4 cos(E(y^), t); a scalar."""
    return -fake.float().mean() - SIMILARITY * similarity

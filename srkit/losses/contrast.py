"""Contrastive losses of Cria-CL between maps of criteria (Shi et al. 2022, arXiv 2207.12767, Section III).

All take criteria as maps (N, 1, H, W), at least 0 (`srkit.losses.criteria`), and are in fp32. The maps are projected to
the spatial view given by the mask: S for the alignment head, 1 - S for the uniformity head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from srkit.errors import UsageError

ETA = 2.0
"""Exponent of the alignment (Eq. 8)."""
T = 2.0
"""Temperature of the uniformity (Eq. 9)."""


class MaskFacts(NamedTuple):
    """Statistics that show whether a mask separates regions; scalars. A constant mask has deviation 0."""

    mean: Tensor
    deviation: Tensor
    entropy: Tensor
    """Mean entropy of (S, 1 - S) over the pixels, in nats: 0 for a binary mask, log 2 for S = 1/2 everywhere."""


def alignment_map(
    anchor: Tensor, criteria: Sequence[Tensor], eta: float = ETA, *, stop_anchor: bool = False
) -> Tensor:
    """sum_i |C_anchor - C_i|^eta at each pixel (Eq. 8 before its mean); (N, 1, H, W).

    As printed, the smaller criterion is pulled up as strongly as the larger one is pulled down.

    Args:
        anchor: C_anchor; the pixel criterion in the paper.
        criteria: C_i, the positive ones.
        eta: exponent, at least 1.
        stop_anchor: block the gradient to the anchor, which is then not pulled up.

    Raises:
        UsageError: no criteria, mismatched shapes, or an eta below 1.
    """
    _check(anchor, criteria)
    if not eta >= 1:
        raise UsageError(f"The alignment was given eta {eta}; it must be at least 1.")
    fixed = (anchor.detach() if stop_anchor else anchor).float()
    return torch.stack([(fixed - other.float()).abs().pow(eta) for other in criteria]).sum(0)


def uniformity_map(anchor: Tensor, criteria: Sequence[Tensor], t: float = T) -> Tensor:
    """-1/2 log sum_k exp(-t (C_anchor + C_k)^2) at each pixel (Eq. 9 with Fig. 4's half); (N, 1, H, W).

    As printed, this spreads nothing: for one criterion it is t (C_anchor + C_1)^2 / 2, for more a soft minimum of such
    terms, so it reduces anchor and criteria together. Computed as a logsumexp, finite if the criteria are.

    Args:
        anchor: C_anchor; the pixel criterion in the paper.
        criteria: C_k, the negative ones.
        t: temperature, above 0.

    Raises:
        UsageError: no criteria, mismatched shapes, or a t of 0 or less.
    """
    _check(anchor, criteria)
    if not t > 0:
        raise UsageError(f"The uniformity was given t {t}; it must be above 0.")
    energies = torch.stack([-t * (anchor.float() + other.float()).square() for other in criteria])
    return -0.5 * torch.logsumexp(energies, dim=0)


def projected(criterion: Tensor, view: Tensor) -> Tensor:
    """Mean over the pixels of criterion (N, 1, H, W) times view, the criterion projected to the view; a scalar.

    Args:
        view: (N, 1, H, W) in [0, 1]: the mask or its complement; receives gradients too.

    Raises:
        UsageError: mismatched shapes.
    """
    _check(criterion, [view])
    return (criterion.float() * view.float()).mean()


def alignment(
    mask: Tensor,
    anchor: Tensor,
    criteria: Sequence[Tensor],
    eta: float = ETA,
    *,
    stop_anchor: bool = False,
) -> Tensor:
    """Eq. 8: `alignment_map` projected to the mask S (N, 1, H, W); a scalar."""
    return projected(alignment_map(anchor, criteria, eta, stop_anchor=stop_anchor), mask)


def uniformity(mask: Tensor, anchor: Tensor, criteria: Sequence[Tensor], t: float = T) -> Tensor:
    """Eq. 9: `uniformity_map` projected to the complement of the mask S (N, 1, H, W); a scalar."""
    return projected(uniformity_map(anchor, criteria, t), 1 - mask.float())


def mask_facts(mask: Tensor) -> MaskFacts:
    """Statistics of S (N, 1, H, W) in [0, 1]; see `MaskFacts`. The entropy's gradient is finite, for use as a loss."""
    share = mask.float()
    both = torch.stack([share, 1 - share]).clamp_min(torch.finfo(torch.float32).tiny)
    return MaskFacts(share.mean(), share.std(correction=0), -(both * both.log()).sum(0).mean())


def _check(anchor: Tensor, criteria: Sequence[Tensor]) -> None:
    if not criteria or any(other.shape != anchor.shape for other in criteria):
        raise UsageError(
            f"Maps of the shapes {[tuple(other.shape) for other in criteria]} were to be compared with one of "
            f"{tuple(anchor.shape)}; they must be the same, and at least one."
        )

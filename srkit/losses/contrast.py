"""Criteria compared with each other, place by place: Cria-CL's losses (Shi et al. 2022, arXiv 2207.12767, Section III).

All take criteria as maps (N, 1, H, W), at least 0 (`srkit.losses.criteria`), and are in fp32. The mask is the
spatial view that the maps are projected to: S for the head of alignment, 1 - S for the head of uniformity.
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
    """Whether a mask separates anything; scalars. One that is the same everywhere has no deviation."""

    mean: Tensor
    deviation: Tensor
    entropy: Tensor
    """Mean over the places of the entropy of (S, 1 - S) in nats: 0 where all is decided, log 2 where nothing is."""


def alignment_map(
    anchor: Tensor, criteria: Sequence[Tensor], eta: float = ETA, *, stop_anchor: bool = False
) -> Tensor:
    """sum_i |C_anchor - C_i|^eta at each place (Eq. 8 before its mean); (N, 1, H, W).

    As printed, the smaller criterion is pulled up as hard as the larger one is pulled down.

    Args:
        anchor: C_anchor; the paper's is the pixel criterion.
        criteria: C_i, the positive ones.
        eta: at least 1.
        stop_anchor: no gradient to the anchor, which then is not pulled up.

    Raises:
        UsageError: no criteria, other shapes, or an eta below 1.
    """
    _check(anchor, criteria)
    if not eta >= 1:
        raise UsageError(f"The alignment was given eta {eta}; it must be at least 1.")
    fixed = (anchor.detach() if stop_anchor else anchor).float()
    return torch.stack([(fixed - other.float()).abs().pow(eta) for other in criteria]).sum(0)


def uniformity_map(anchor: Tensor, criteria: Sequence[Tensor], t: float = T) -> Tensor:
    """-1/2 log sum_k exp(-t (C_anchor + C_k)^2) at each place (Eq. 9 with Fig. 4's half); (N, 1, H, W).

    As printed, which spreads nothing: for one criterion it is t (C_anchor + C_1)^2 / 2, for more a soft minimum of
    these; so it makes anchor and criteria small together. Taken as a logsumexp, finite wherever the criteria are.

    Args:
        anchor: C_anchor; the paper's is the pixel criterion.
        criteria: C_k, the negative ones.
        t: above 0.

    Raises:
        UsageError: no criteria, other shapes, or a t of 0 or less.
    """
    _check(anchor, criteria)
    if not t > 0:
        raise UsageError(f"The uniformity was given t {t}; it must be above 0.")
    energies = torch.stack([-t * (anchor.float() + other.float()).square() for other in criteria])
    return -0.5 * torch.logsumexp(energies, dim=0)


def projected(criterion: Tensor, view: Tensor) -> Tensor:
    """Mean over the places of view times criterion: what a map (N, 1, H, W) is where a view shows it; a scalar.

    Args:
        view: (N, 1, H, W) in [0, 1]: the mask or what it leaves. The gradient reaches it too.

    Raises:
        UsageError: other shapes.
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
    """Eq. 8: `alignment_map` where the mask S (N, 1, H, W) shows the head of alignment; a scalar."""
    return projected(alignment_map(anchor, criteria, eta, stop_anchor=stop_anchor), mask)


def uniformity(mask: Tensor, anchor: Tensor, criteria: Sequence[Tensor], t: float = T) -> Tensor:
    """Eq. 9: `uniformity_map` where the mask S (N, 1, H, W) leaves the head of uniformity; a scalar."""
    return projected(uniformity_map(anchor, criteria, t), 1 - mask.float())


def mask_facts(mask: Tensor) -> MaskFacts:
    """See `MaskFacts`; of S (N, 1, H, W) in [0, 1]. The entropy may serve as a term: its gradient is finite."""
    share = mask.float()
    both = torch.stack([share, 1 - share]).clamp_min(torch.finfo(torch.float32).tiny)
    return MaskFacts(share.mean(), share.std(correction=0), -(both * both.log()).sum(0).mean())


def _check(anchor: Tensor, criteria: Sequence[Tensor]) -> None:
    if not criteria or any(other.shape != anchor.shape for other in criteria):
        raise UsageError(
            f"Maps of the shapes {[tuple(other.shape) for other in criteria]} were to be compared with one of "
            f"{tuple(anchor.shape)}; they must be the same, and at least one."
        )

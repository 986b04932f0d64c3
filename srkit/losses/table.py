"""Loss terms by the name that recipes use. A new term adds a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from srkit.errors import UsageError, nearest
from srkit.losses.pixel import l1

PairLoss = Callable[[Tensor, Tensor], Tensor]

LOSSES: Mapping[str, PairLoss] = {
    "l1": l1,
}


def weighted_sum(sr: Tensor, hr: Tensor, weights: Mapping[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum of weight times term over the named terms, and each term by itself (detached).

    Raises:
        UsageError: an unknown term, or none at all.
    """
    check_terms(weights)
    terms = {name: LOSSES[name](sr, hr) for name in weights}
    total = sum((weights[name] * term for name, term in terms.items()), start=sr.new_zeros(()).float())
    return total, {name: term.detach() for name, term in terms.items()}


def check_terms(weights: Mapping[str, float]) -> None:
    """Refuse unknown terms before any work is done."""
    if not weights:
        raise UsageError("The recipe names no loss; give at least one, for example loss.l1=1.")
    for name in weights:
        if name not in LOSSES:
            raise UsageError(
                f"There is no loss '{name}'; known are {', '.join(LOSSES)}.{nearest(name, LOSSES)}"
            )

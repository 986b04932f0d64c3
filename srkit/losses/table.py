"""Loss terms by the name that recipes use. A new term adds a line to `LOSSES`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from srkit.encoders.features import PerceptualFeatures
from srkit.encoders.semantic import SemanticEncoder
from srkit.errors import UsageError, nearest
from srkit.losses.images import PerceptualLoss, SemanticLoss, chroma, l1, l2
from srkit.losses.maps import depth_l1, depth_loss, kernel_entropy, kernel_l1

_T = TypeVar("_T")

PairLoss = Callable[[Tensor, Tensor], Tensor]
"""What a network gives, and what it should, to a scalar in fp32; see `Compared`."""
Compared = Literal["picture", "kernels", "depth"]
"""What a term compares: images sr and hr (N, 3, H, W), float32 in [0, 1] (sr may leave it a little), blur kernels
(N, 441, h, w), or inverse depth (N, 1, h, w)."""


@dataclass(frozen=True)
class LossContext:
    """What terms are built from; providers that no term needs may be None."""

    device: torch.device
    semantic: SemanticEncoder | None = None
    perceptual: PerceptualFeatures | None = None
    autocast: torch.dtype | None = None
    """Precision of the providers' arithmetic; None: fp32."""


@dataclass(frozen=True)
class Term:
    """A kind of loss."""

    make: Callable[[LossContext], PairLoss]
    needs: frozenset[str] = frozenset()
    """Fields of `LossContext` that must not be None."""
    of: Compared = "picture"


def _perceptual(context: LossContext) -> PairLoss:
    return PerceptualLoss(_given(context.perceptual, "perceptual"), context.autocast)


def _semantic(context: LossContext) -> PairLoss:
    return SemanticLoss(_given(context.semantic, "semantic"), context.autocast)


LOSSES: Mapping[str, Term] = {
    "l1": Term(lambda context: l1),
    "l2": Term(lambda context: l2),
    "chroma": Term(lambda context: chroma),
    "perceptual": Term(_perceptual, frozenset({"perceptual"})),
    "semantic": Term(_semantic, frozenset({"semantic"})),
    "kernel": Term(lambda context: kernel_l1, of="kernels"),
    "kernel_entropy": Term(lambda context: kernel_entropy, of="kernels"),
    "depth": Term(lambda context: depth_loss, of="depth"),
    "depth_l1": Term(lambda context: depth_l1, of="depth"),
}


class Losses:
    """Weighted terms, ready to be called; see `build_losses`."""

    def __init__(
        self,
        weights: Mapping[str, float],
        terms: Mapping[str, PairLoss],
        every: Mapping[str, int] | None = None,
    ) -> None:
        self.weights = dict(weights)
        self._terms = dict(terms)
        self._every = {name: (every or {}).get(name, 1) for name in terms}

    @property
    def needs(self) -> frozenset[str]:
        """The providers in use, as fields of `LossContext`."""
        return needs_of(self.weights)

    def __call__(self, sr: Tensor, hr: Tensor, step: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of weight times term, with its graph, and each term by itself, unweighted and detached.

        Args:
            sr: images (N, 3, H, W), float32, from outside autocast.
            hr: of the same shape; no gradient reaches it through a provider.
            step: a term of every n-th step alone is left out of steps that are no multiple of n, and counts n times
                in these.
        """
        due = {name: every for name, every in self._every.items() if step % every == 0}
        terms = {name: self._terms[name](sr, hr) for name in due}
        total = torch.stack([self.weights[name] * due[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def gradient_norms(self, sr: Tensor, hr: Tensor) -> dict[str, float]:
        """L2 norm, over the whole batch, of each weighted term's gradient at `sr`, as if all were of every step.

        Their ratios say which term leads. It costs a backward pass through every provider, none through the
        network that made `sr`; gradients that parameters hold are left alone.
        """
        with torch.enable_grad():
            norms = {}
            for name, term in self._terms.items():
                at = sr.detach().requires_grad_()
                (slope,) = torch.autograd.grad(self.weights[name] * term(at, hr.detach()), at)
                norms[name] = float(slope.float().norm())
        return norms


def build_losses(
    weights: Mapping[str, float], context: LossContext, every: Mapping[str, int] | None = None
) -> Losses:
    """The terms of `weights`, each with what it needs; a term of weight 0 is left out.

    Args:
        every: of terms that are taken every n-th step alone, with n times their weight: their n.

    Raises:
        UsageError: as `check_terms` and `check_every`, or a provider that a term needs is None.
    """
    used = _used(weights)
    check_every(used, every or {})
    return Losses(used, {name: LOSSES[name].make(context) for name in used}, every)


def needs_of(weights: Mapping[str, float]) -> frozenset[str]:
    """The fields of `LossContext` without which these terms cannot be built.

    Raises:
        UsageError: as `check_terms`.
    """
    return frozenset().union(*(LOSSES[name].needs for name in _used(weights)))


def check_terms(weights: Mapping[str, float], of: Compared | None = None) -> None:
    """Refuse, before any work is done, unknown terms, weights that are none, and a sum of nothing.

    Args:
        of: what is learned; terms that compare something else are refused too. None: not asked.

    Raises:
        UsageError: one of these.
    """
    for name, weight in weights.items():
        if name not in LOSSES:
            raise UsageError(
                f"There is no loss '{name}'; known are {', '.join(LOSSES)}.{nearest(name, LOSSES)}"
            )
        if not 0 <= weight < math.inf:
            raise UsageError(f"'loss.{name}' is {weight}; a weight must be a number, at least 0.")
        if of is not None and LOSSES[name].of != of:
            suited = [known for known, term in LOSSES.items() if term.of == of]
            raise UsageError(
                f"The loss '{name}' does not suit the target '{of}'; choose of {', '.join(suited)}."
            )
    if not any(weights.values()):
        raise UsageError("The recipe names no loss; give at least one, for example loss.l1=1.")


def check_every(weights: Mapping[str, float], every: Mapping[str, int]) -> None:
    """Refuse, before any work is done, intervals that make no sense.

    Raises:
        UsageError: one below 1, of no term of `weights`, or none that is 1: some steps would train nothing.
    """
    for name, steps in every.items():
        if name not in weights:
            raise UsageError(
                f"'loss_every.{name}' is of no loss that the recipe names; these are {', '.join(weights)}."
                f"{nearest(name, weights)}"
            )
        if steps < 1:
            raise UsageError(f"'loss_every.{name}' is {steps}; it must be at least 1.")
    if all(every.get(name, 1) > 1 for name, weight in weights.items() if weight > 0):
        raise UsageError("'loss_every' leaves steps without any loss; leave one term out of it.")


def _used(weights: Mapping[str, float]) -> dict[str, float]:
    check_terms(weights)
    return {name: weight for name, weight in weights.items() if weight > 0}


def _given(provider: _T | None, name: str) -> _T:
    if provider is None:
        raise UsageError(
            f"The loss '{name}' compares features, and no provider of them was given; name one in the recipe, or "
            f"leave loss.{name} out."
        )
    return provider

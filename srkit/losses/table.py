"""Loss terms by their name in recipes. A new term adds a line to `LOSSES`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from srkit.encoders.features import PerceptualFeatures
from srkit.encoders.semantic import SemanticEncoder
from srkit.errors import UsageError, check_known, nearest
from srkit.losses.images import PerceptualLoss, SemanticLoss, chroma, l1, l2
from srkit.losses.maps import depth_l1, depth_loss, kernel_entropy, kernel_l1

_T = TypeVar("_T")

PairLoss = Callable[[Tensor, Tensor], Tensor]
"""Function from the output and target of a network to a scalar in fp32; see `Compared`."""
Compared = Literal["picture", "kernels", "depth"]
"""Compared quantities: images sr and hr (N, 3, H, W), float32 in [0, 1] (sr may slightly leave it), blur kernels
(N, 441, h, w), or inverse depth (N, 1, h, w)."""


@dataclass(frozen=True)
class LossContext:
    """Inputs for building terms; providers that no term needs may be None."""

    device: torch.device
    semantic: SemanticEncoder | None = None
    perceptual: PerceptualFeatures | None = None
    autocast: torch.dtype | None = None
    """Precision of the providers; None: fp32."""


@dataclass(frozen=True)
class Term:
    """Definition of a loss term."""

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
    """Weighted loss terms; see `build_losses`."""

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
        """Providers in use, as fields of `LossContext`."""
        return needs_of(self.weights)

    def __call__(self, sr: Tensor, hr: Tensor, step: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of weight times term, with its graph, and each term by itself, unweighted and detached.

        Args:
            sr: images (N, 3, H, W), float32, computed outside autocast.
            hr: images of the same shape; receives no gradient through a provider.
            step: index of the step; a term with interval n is computed only in steps that are multiples of n, with n
                times its weight.
        """
        due = {name: every for name, every in self._every.items() if step % every == 0}
        terms = {name: self._terms[name](sr, hr) for name in due}
        total = torch.stack([self.weights[name] * due[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def gradient_norms(self, sr: Tensor, hr: Tensor) -> dict[str, float]:
        """L2 norm, over the whole batch, of each weighted term's gradient at `sr`, for an interval of 1.

        The ratios show which term dominates. Costs a backward pass through every provider, but none through the network
        that made `sr`; gradients of parameters are unchanged.
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
    """Build the terms of `weights`; terms of weight 0 are omitted.

    Args:
        every: intervals n of terms that are computed every n-th step, with n times their weight.

    Raises:
        UsageError: as in `check_terms` and `check_every`, or a required provider is None.
    """
    used = _used(weights)
    check_every(used, every or {})
    return Losses(used, {name: LOSSES[name].make(context) for name in used}, every)


def needs_of(weights: Mapping[str, float]) -> frozenset[str]:
    """Fields of `LossContext` that these terms require.

    Raises:
        UsageError: as in `check_terms`.
    """
    return frozenset().union(*(LOSSES[name].needs for name in _used(weights)))


def check_terms(weights: Mapping[str, float], of: Compared | None = None) -> None:
    """Check terms and weights, before any work is done.

    Args:
        of: quantity that is learned; terms that compare another are errors. None: not checked.

    Raises:
        UsageError: an unknown term, an invalid weight, or no positive weight.
    """
    for name, weight in weights.items():
        check_known("loss", name, LOSSES)
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
    """Check intervals, before any work is done.

    Raises:
        UsageError: an interval below 1 or of an unweighted term, or no interval of 1, so that some steps train nothing.
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

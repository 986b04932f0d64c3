"""The inner step of few-shot adaptation, with a rate for every tensor or for every number.

CDASR, Eq. 10: theta_i' = theta_i - alpha_i dL_S/dtheta_i. The rates alpha are kept as logarithms, so that they stay
positive whatever is learned. Fine-tuning (`srkit.training.adapt`) and the learning of rates (`srkit.training.meta`)
take the very same step, so that what was learned is what is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from srkit.errors import ResourceError, UsageError
from srkit.recipes.train import OptimPart
from srkit.training.optim import is_matrix, muon_update

InnerKind = Literal["sgd", "adam", "muon"]
Granularity = Literal["tensor", "element"]
Rates = Mapping[str, Tensor]
"""Natural logarithms of the rates by parameter name: a scalar, or of the parameter's shape."""


@dataclass(frozen=True)
class InnerRule:
    """What direction a step takes for a gradient."""

    kind: InnerKind = "sgd"
    """sgd: the gradient itself (Eq. 10); adam: the gradient over its own running size, so that rates are lengths;
    muon: for weight matrices that read no image the running mean of the gradient, orthogonalised
    (`srkit.training.optim`), for all else Adam's direction at half the rate."""
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


SGD, ADAM, MUON = InnerRule("sgd"), InnerRule("adam"), InnerRule("muon")
_ADAM_BESIDE_MUON = OptimPart.adam_factor


@dataclass(frozen=True)
class Moments:
    """Adam's running means after `steps` steps."""

    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    steps: int


def directions(
    rule: InnerRule, gradients: Sequence[Tensor], moments: Moments | None
) -> tuple[list[Tensor], Moments | None]:
    """The directions that a step subtracts once they are multiplied with the rates, and the moments after it.

    Differentiable with respect to the gradients.

    Args:
        gradients: one a parameter.
        moments: of the step before; None at the first.
    """
    if rule.kind == "sgd":
        return list(gradients), None
    beta1, beta2 = rule.betas
    zeros = [torch.zeros_like(gradient) for gradient in gradients]
    before = moments or Moments(tuple(zeros), tuple(zeros), 0)
    steps = before.steps + 1
    gradients = list(gradients)
    first = torch._foreach_lerp(before.first, gradients, 1 - beta1)
    squares = torch._foreach_mul(gradients, gradients)
    second = torch._foreach_lerp(before.second, squares, 1 - beta2)
    # Under the root, where a gradient of exactly zero has a derivative.
    size = torch._foreach_div(second, 1 - beta2**steps)
    size = torch._foreach_sqrt(torch._foreach_add(size, rule.epsilon**2))
    mean = torch._foreach_div(first, 1 - beta1**steps)
    moves = list(torch._foreach_div(mean, size))
    if rule.kind == "muon":
        moves = _with_matrices(moves, gradients, first, beta1)
    return moves, Moments(tuple(first), tuple(second), steps)


def _with_matrices(
    moves: list[Tensor], gradients: Sequence[Tensor], means: Sequence[Tensor], momentum: float
) -> list[Tensor]:
    """Muon's directions in place of Adam's for weight matrices; equal shapes are orthogonalised together."""
    by_shape: dict[torch.Size, list[int]] = {}
    for number, gradient in enumerate(gradients):
        if is_matrix(gradient):
            by_shape.setdefault(gradient.shape, []).append(number)
        else:
            moves[number] = moves[number] * _ADAM_BESIDE_MUON
    for shape, numbers in by_shape.items():
        ahead = torch.stack([torch.lerp(gradients[n], means[n], momentum).flatten(1) for n in numbers])
        for n, found in zip(numbers, muon_update(ahead), strict=True):
            moves[n] = found.view(shape)
    return moves


def uniform_rates(network: nn.Module, rate: float, granularity: Granularity = "tensor") -> dict[str, Tensor]:
    """The same rate for every parameter.

    Raises:
        UsageError: a rate that is not above 0.
    """
    if not 0 < rate < math.inf:
        raise UsageError(f"The rate of adaptation is {rate}; it must be above 0.")
    log = math.log(rate)
    return {
        name: torch.full(parameter.shape if granularity == "element" else (), log)
        for name, parameter in network.named_parameters()
    }


def check_rates(network: nn.Module, rates: Rates, where: str) -> None:
    """That there is a finite rate for every parameter.

    Args:
        where: names the file in messages.

    Raises:
        ResourceError: rates that are missing, of a wrong shape or not finite.
    """
    for name, parameter in network.named_parameters():
        found = rates.get(name)
        if found is None:
            raise ResourceError(
                f"{where} holds no learned rate for '{name}'; fetch or train the weights anew."
            )
        if found.shape not in ((), parameter.shape) or not bool(found.isfinite().all()):
            raise ResourceError(
                f"{where} holds a learned rate for '{name}' of shape {tuple(found.shape)} that does not fit or is not "
                f"finite; expected one number or {tuple(parameter.shape)}: fetch or train the weights anew."
            )


class InnerSteps:
    """Takes steps on a network's parameters, in place.

    Args:
        network: its parameters that want gradients are changed.
        rates: one for each of these.
        rule: the direction of a step.
    """

    def __init__(self, network: nn.Module, rates: Rates, rule: InnerRule) -> None:
        named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        self.parameters: list[Tensor] = [p for _, p in named]
        self._rates = [rates[name].to(p.device, torch.float32).exp() for name, p in named]
        self._rule = rule
        self._moments: Moments | None = None

    def step(self, factor: float = 1.0) -> None:
        """One step of `factor` times the rates along the gradients that the parameters hold."""
        with torch.no_grad():
            # A parameter that the loss does not reach stays where it is.
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
            found, self._moments = directions(self._rule, gradients, self._moments)
            moves = torch._foreach_mul(torch._foreach_mul(found, self._rates), -factor)
            torch._foreach_add_(self.parameters, list(moves))

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

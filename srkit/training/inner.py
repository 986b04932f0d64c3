"""Inner step of few-shot adaptation, with a learning rate per tensor or per element.

CDASR, Eq. 10: theta_i' = theta_i - alpha_i dL_S/dtheta_i. The rates alpha are stored as logarithms, so that they stay
positive during meta-learning. Fine-tuning (`srkit.training.adapt`) and meta-learning of the rates
(`srkit.training.meta`) share this step.
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
"""Natural logarithms of the rates by parameter name: scalars, or of the parameter's shape."""


@dataclass(frozen=True)
class InnerRule:
    """Direction of a step, from the gradient."""

    kind: InnerKind = "sgd"
    """sgd: the gradient itself (Eq. 10); adam: the gradient divided by its running size, so that rates are step
    lengths; muon: for weight matrices that do not read an image the orthogonalised running mean of the gradient
    (`srkit.training.optim`), for all other parameters Adam's direction at half the rate."""
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


SGD, ADAM, MUON = InnerRule("sgd"), InnerRule("adam"), InnerRule("muon")
_ADAM_BESIDE_MUON = OptimPart.adam_factor


@dataclass(frozen=True)
class Moments:
    """Adam's moments after `steps` steps."""

    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    steps: int


def directions(
    rule: InnerRule, gradients: Sequence[Tensor], moments: Moments | None
) -> tuple[list[Tensor], Moments | None]:
    """Directions that are multiplied by the rates and subtracted in a step, and the moments after the step.

    Differentiable with respect to the gradients.

    Args:
            gradients: one per parameter.
            moments: of the previous step; None at the first.
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
    # Inside the root, where a gradient of exactly zero has a derivative.
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
    """Directions with Muon's in place of Adam's for weight matrices; equal shapes are orthogonalised together."""
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
    """Equal rate for every parameter.

    Raises:
        UsageError: the rate is not above 0.
    """
    if not 0 < rate < math.inf:
        raise UsageError(f"The rate of adaptation is {rate}; it must be above 0.")
    log = math.log(rate)
    return {
        name: torch.full(parameter.shape if granularity == "element" else (), log)
        for name, parameter in network.named_parameters()
    }


def check_rates(network: nn.Module, rates: Rates, where: str) -> None:
    """Check that every parameter has a finite rate.

    Args:
        where: name of the file in messages.

    Raises:
        ResourceError: rates are missing, of a wrong shape or not finite.
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
    """In-place update of a network's parameters.

    Args:
        network: its parameters with `requires_grad` are updated.
        rates: one for each of these parameters.
        rule: the direction of a step.
    """

    def __init__(self, network: nn.Module, rates: Rates, rule: InnerRule) -> None:
        named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        self.parameters: list[Tensor] = [p for _, p in named]
        self._rates = [rates[name].to(p.device, torch.float32).exp() for name, p in named]
        self._rule = rule
        self._moments: Moments | None = None

    def step(self, factor: float = 1.0) -> None:
        """Take one step of `factor` times the rates along the parameters' gradients."""
        with torch.no_grad():
            # A parameter without a gradient is unchanged.
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
            found, self._moments = directions(self._rule, gradients, self._moments)
            moves = torch._foreach_mul(torch._foreach_mul(found, self._rates), -factor)
            torch._foreach_add_(self.parameters, list(moves))

    def clear(self) -> None:
        """Clear the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

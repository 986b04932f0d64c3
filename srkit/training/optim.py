"""Optimisers and learning-rate schedule: Adam for every parameter, or Muon for the matrices of chosen parts.

Muon (Jordan et al. 2024) replaces the momentum of a weight matrix by the nearest semi-orthogonal matrix, so that it
moves equally fast in all directions. A convolution's weight (out, in, k, k) is the matrix (out, in k k).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from srkit.errors import UsageError, nearest
from srkit.recipes.train import OptimPart

_IMAGE_CHANNELS = 4  # weights with at most as many inputs read an image (RGB, with alpha) and use Adam
_NEWTON_SCHULZ = (
    3.4445,
    -4.7750,
    2.0315,
)  # Jordan et al. 2024: the steepest quintic that keeps within 0.7 to 1.2
_NEWTON_SCHULZ_STEPS = 5
_RMS_OF_ADAM = 0.2  # Liu et al. 2025, Eq. 4: RMS of an update that suits Adam's learning rates


class Optimizer(Protocol):
    """Interface that training uses of `torch.optim.Optimizer`."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def zero_grad(self, set_to_none: bool = True) -> None: ...

    def step(self) -> Any: ...

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> None: ...


class Muon(torch.optim.Optimizer):
    """Muon: SGD with orthogonalised momentum (Jordan et al. 2024).

    W <- W - lr 0.2 sqrt(max(m, n)) NS(G + mu M), with M <- mu M + G the momentum of the gradient G, NS five
    Newton-Schulz steps in bf16, and (m, n) the shape of W as a matrix.

    Args:
        params: parameters of at least two dimensions, or groups of them.
        lr: learning rate.
        momentum: mu.
    """

    def __init__(
        self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    # torch declares an overload per kind of closure; here there is none.
    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step; parameters without a gradient are unchanged.

        Raises:
            ValueError: a closure is given, which Muon does not support.
        """
        if closure is not None:
            raise ValueError("Muon takes no closure.")
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self._step(parameters, group["lr"], group["momentum"])

    def _step(self, parameters: list[nn.Parameter], lr: float, momentum: float) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        buffers = []
        for parameter, gradient in zip(parameters, gradients, strict=True):
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(gradient)
            buffers.append(state["momentum"])
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients)
        matrices = torch.stack(
            [g.add(b, alpha=momentum).flatten(1) for g, b in zip(gradients, buffers, strict=True)]
        )
        updates = muon_update(matrices)
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.sub_(update.view(parameter.shape), alpha=lr)


def muon_update(matrices: Tensor) -> Tensor:
    """0.2 sqrt(max(m, n)) times each orthogonalised matrix (..., m, n), which has the size of Adam's updates."""
    return orthogonalised(matrices).to(matrices.dtype) * (_RMS_OF_ADAM * math.sqrt(max(matrices.shape[-2:])))


def orthogonalised(matrices: Tensor) -> Tensor:
    """Approximate U V^T of each matrix's singular value decomposition U S V^T; singular values become 0.7 to 1.2.

    Args:
        matrices: (..., m, n).

    Returns:
        (..., m, n), bfloat16.
    """
    a, b, c = _NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: Tensor = x.mT if tall else x
    return found


class Together:
    """Optimisers of disjoint parameters that are stepped as one; `param_groups` are those of all."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._optimizers = list(optimizers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        for optimizer in self._optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"optimizers": [optimizer.state_dict() for optimizer in self._optimizers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the state from `state_dict`.

        Raises:
            KeyError, ValueError: the state is of other optimisers.
        """
        for optimizer, state in zip(self._optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)


def build_optimizer(network: nn.Module, optim: OptimPart) -> Optimizer:
    """Build the recipe's optimiser for a network's parameters.

    With `optim.optimizer = "muon"`, the matrices of `optim.muon_parts`, except those that read an image, use Muon, and
    all other parameters Adam at `optim.adam_factor` times the rate. Parameters with a factor of 0 in `optim.rates` are
    frozen.

    Raises:
        UsageError: `optim.rates` or `optim.muon_parts` names no part of the network, or all parameters are frozen.
    """
    by_rule: dict[tuple[bool, float], list[nn.Parameter]] = {}
    rates, muon = _Parts(network, optim.rates, "optim.rates"), optim.optimizer == "muon"
    matrices = _Parts(network, dict.fromkeys(optim.muon_parts, 1.0) if muon else {}, "optim.muon_parts")
    for name, parameter in network.named_parameters():
        factor = rates.value(name, 1.0)
        if factor == 0:
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            by_muon = bool(matrices.value(name, 0.0)) and is_matrix(parameter)
            own = factor if by_muon or not muon else factor * optim.adam_factor
            by_rule.setdefault((by_muon, own), []).append(parameter)
    if not by_rule:
        raise UsageError("'optim.rates' is 0 for every part of the network; leave something to learn.")
    groups: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for (by_muon, factor), parameters in by_rule.items():
        groups[by_muon].append({"params": parameters, "factor": factor})
    found: list[torch.optim.Optimizer] = []
    if groups[True]:
        found.append(Muon(groups[True], optim.lr, optim.momentum))
    if groups[False]:
        betas = (optim.betas[0], optim.betas[1])
        found.append(torch.optim.Adam(groups[False], lr=optim.lr, betas=betas, fused=True))
    return found[0] if len(found) == 1 else Together(found)


def is_matrix(parameter: Tensor) -> bool:
    """True if Muon can be used for a parameter: a weight that does not read an image."""
    return parameter.ndim >= 2 and parameter.shape[1] > _IMAGE_CHANNELS


class _Parts:
    """Values by part of a network; a parameter belongs to the part with the longest matching prefix.

    Args:
        where: the setting's key, for messages.

    Raises:
        UsageError: a name is not the prefix of any parameter.
    """

    def __init__(self, network: nn.Module, values: Mapping[str, float], where: str) -> None:
        self._values = values
        names = [name for name, _ in network.named_parameters()]
        unused = [part for part in values if not any(_is_within(name, part) for name in names)]
        if unused:
            known = list(dict(network.named_children()))
            raise UsageError(
                f"'{where}' names {', '.join(map(repr, sorted(unused)))}; parts of this network are "
                f"{', '.join(known)}.{nearest(min(unused), known)}"
            )

    def value(self, name: str, default: float) -> float:
        """Value of a parameter's part; `default` if it belongs to none."""
        parts = [part for part in self._values if _is_within(name, part)]
        return self._values[max(parts, key=len)] if parts else default


def _is_within(name: str, part: str) -> bool:
    return f"{name}.".startswith(f"{part}.")


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate: `rate` times each group's own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def learning_rate(optim: OptimPart, step: int, progress: float) -> float:
    """Linear warm-up, then a cosine from lr to lr_final as progress goes from 0 to 1."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    rate = optim.lr_final + (optim.lr - optim.lr_final) * cosine
    return rate * min(1.0, (step + 1) / optim.warmup_steps) if optim.warmup_steps else rate

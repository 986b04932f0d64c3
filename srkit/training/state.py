"""What a training run is at a moment: enough to go on as if it had never stopped."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from srkit.errors import ResourceError, UsageError, nearest
from srkit.io.atomic import atomic_path
from srkit.recipes.train import OptimPart

CHECKPOINT = "checkpoint.pt"
_KEYS = {"network", "ema", "optimizer", "step", "seconds", "best_score", "best", "recipe"}


class Stateful(Protocol):
    """What can be saved and gone on with."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


@dataclass
class TrainState:
    """A run in progress. `ema` is the network that is validated and shipped."""

    network: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    """Time spent in training steps so far, over all resumed parts."""
    best_score: float = -math.inf
    best: dict[str, torch.Tensor] | None = None
    """State of `ema` where validation scored best."""
    others: dict[str, Stateful] = field(default_factory=dict)
    """What else changes in the run, by name: a discriminator and its optimiser."""


def new_state(network: nn.Module, optim: OptimPart) -> TrainState:
    """The start of a run.

    Raises:
        UsageError: `optim.rates` names no part of the network, or leaves nothing to learn.
    """
    ema = copy.deepcopy(network).eval().requires_grad_(False)
    groups = _groups(network, optim)
    adam = torch.optim.Adam(groups, lr=optim.lr, betas=(optim.betas[0], optim.betas[1]), fused=True)
    return TrainState(network, ema, adam)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate: `rate` times each group's own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def _groups(network: nn.Module, optim: OptimPart) -> list[dict[str, Any]]:
    """The parameters that learn, by their factor on the learning rate; those with factor 0 want no gradient."""
    by_factor: dict[float, list[nn.Parameter]] = {}
    unused = set(optim.rates)
    for name, parameter in network.named_parameters():
        parts = [part for part in optim.rates if f"{name}.".startswith(f"{part}.")]
        unused -= set(parts)
        factor = optim.rates[max(parts, key=len)] if parts else 1.0  # the longest name says it most exactly
        if factor == 0:
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            by_factor.setdefault(factor, []).append(parameter)
    if unused:
        known = list(dict(network.named_children()))
        raise UsageError(
            f"'optim.rates' names {', '.join(map(repr, sorted(unused)))}; parts of this network are "
            f"{', '.join(known)}.{nearest(min(unused), known)}"
        )
    if not by_factor:
        raise UsageError("'optim.rates' is 0 for every part of the network; leave something to learn.")
    return [{"params": parameters, "factor": factor} for factor, parameters in by_factor.items()]


def update_ema(state: TrainState, decay: float) -> None:
    """ema <- decay ema + (1 - decay) network; a smaller decay early, so that the start is forgotten."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.ema.parameters()), list(state.network.parameters()), 1 - decay)


def learning_rate(optim: OptimPart, step: int, progress: float) -> float:
    """Linear warm-up, then a cosine from lr to lr_final as progress goes from 0 to 1."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    rate = optim.lr_final + (optim.lr - optim.lr_final) * cosine
    return rate * min(1.0, (step + 1) / optim.warmup_steps) if optim.warmup_steps else rate


def content_of(state: TrainState) -> dict[str, Any]:
    """All that a run's future depends on, as plain values and the tensors themselves; `restore` takes it."""
    return {
        "network": state.network.state_dict(),
        "ema": state.ema.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "best_score": state.best_score,
        "best": state.best,
        "others": {name: other.state_dict() for name, other in state.others.items()},
    }


def is_finite(content: Any) -> bool:
    """Whether every tensor in a nest of mappings and sequences is finite."""
    if isinstance(content, torch.Tensor):
        return bool(content.isfinite().all())
    if isinstance(content, Mapping):
        return all(map(is_finite, content.values()))
    return not isinstance(content, (list, tuple)) or all(map(is_finite, content))


class Keeper:
    """Keeps a copy of a run's last good state in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] | None = None

    def keep(self, state: TrainState) -> None:
        """Take a copy in place of the one before, if all numbers in it are finite."""
        content = content_of(state)
        if is_finite(content):
            self._kept = copy.deepcopy(content)

    def bring_back(self, state: TrainState) -> bool:
        """Make the state what it was when it was kept; False: none was. The seconds stay as they are."""
        if self._kept is None:
            return False
        restore(state, {**copy.deepcopy(self._kept), "seconds": state.seconds})
        return True


def save_checkpoint(state: TrainState, folder: Path, recipe: dict[str, Any]) -> None:
    """Write the whole state to `folder/checkpoint.pt`; the one before stays until the new one is whole.

    Raises:
        SrkitError: the file system refused: the disk is full, say.
    """
    with atomic_path(folder / CHECKPOINT) as path, path.open("wb") as file:
        try:
            torch.save({**content_of(state), "recipe": recipe}, file)
        except RuntimeError as error:
            # PyTorch's writer complains of its own state, and has what the file said behind it.
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def read_checkpoint(folder: Path, device: torch.device) -> dict[str, Any]:
    """What `save_checkpoint` wrote to `folder/checkpoint.pt`; its `recipe` is the one that the run was started with.

    Raises:
        ResourceError: no checkpoint there, or one that cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise ResourceError(f"There is no checkpoint '{path}' to resume from; start without --resume.")
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load raises what its readers raise: there is no common base
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise ResourceError(
            f"The checkpoint '{path}' cannot be read ({reason}); start anew with another -o."
        ) from error
    if not isinstance(saved, dict) or not saved.keys() >= _KEYS:
        raise ResourceError(f"'{path}' is no checkpoint of a training run; start anew with another -o.")
    return saved


def restore(state: TrainState, saved: dict[str, Any]) -> None:
    """Go on from a checkpoint of the same network (`read_checkpoint`).

    Raises:
        ResourceError: what the run has beside its network is missing there, or of another shape.
    """
    others = saved.get("others", {})
    for name, other in state.others.items():
        try:
            other.load_state_dict(others[name])
        except (KeyError, RuntimeError, ValueError) as error:  # what modules and optimisers raise
            raise ResourceError(
                f"The checkpoint to resume from has no {name} like this recipe's, so another recipe wrote it; start "
                "anew with another -o."
            ) from error
    state.network.load_state_dict(saved["network"])
    state.ema.load_state_dict(saved["ema"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.step, state.seconds = saved["step"], saved["seconds"]
    state.best_score, state.best = saved["best_score"], saved["best"]

"""State of a training run, sufficient to resume it exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from srkit.errors import ResourceError, first_line
from srkit.io.atomic import atomic_path
from srkit.recipes.train import OptimPart
from srkit.training.optim import Optimizer, build_optimizer

CHECKPOINT = "checkpoint.pt"
_KEYS = {"network", "ema", "optimizer", "step", "seconds", "best_score", "best", "recipe"}


class Stateful(Protocol):
    """Interface of objects that can be saved and restored."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


@dataclass
class TrainState:
    """State of a run. `ema` is the network that is validated and shipped."""

    network: nn.Module
    ema: nn.Module
    optimizer: Optimizer
    step: int = 0
    seconds: float = 0.0
    """Time spent in training steps so far, over all resumed parts."""
    best_score: float = -math.inf
    best: dict[str, torch.Tensor] | None = None
    """State of `ema` at the best validation score."""
    others: dict[str, Stateful] = field(default_factory=dict)
    """Further parts of the state, by name: a discriminator and its optimiser."""


def new_state(network: nn.Module, optim: OptimPart) -> TrainState:
    """Initial state of a run.

    Raises:
        UsageError: as `srkit.training.optim.build_optimizer`.
    """
    ema = copy.deepcopy(network).eval().requires_grad_(False)
    return TrainState(network, ema, build_optimizer(network, optim))


def update_ema(state: TrainState, decay: float) -> None:
    """ema <- decay ema + (1 - decay) network; the decay is smaller early, so that the initial weights fade."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.ema.parameters()), list(state.network.parameters()), 1 - decay)


def content_of(state: TrainState) -> dict[str, Any]:
    """Complete content of a state, as plain values and the tensors themselves; input of `restore`."""
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
    """True if every tensor in nested mappings and sequences is finite."""
    if isinstance(content, torch.Tensor):
        return bool(content.isfinite().all())
    if isinstance(content, Mapping):
        return all(map(is_finite, content.values()))
    return not isinstance(content, (list, tuple)) or all(map(is_finite, content))


class Snapshot:
    """In-memory copy of a run's last valid state."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] | None = None

    def take(self, state: TrainState) -> None:
        """Replace the copy by one of this state, if all its numbers are finite."""
        content = content_of(state)
        if is_finite(content):
            self._kept = copy.deepcopy(content)

    def restore(self, state: TrainState) -> bool:
        """Restore the state of the last `take`, except its seconds; False if there is none."""
        if self._kept is None:
            return False
        restore(state, {**copy.deepcopy(self._kept), "seconds": state.seconds})
        return True


def save_checkpoint(state: TrainState, folder: Path, recipe: dict[str, Any]) -> None:
    """Write the whole state to `folder/checkpoint.pt`; the previous file stays until the new one is complete.

    Raises:
        SrkitError: the file cannot be written, such as on a full disk.
    """
    with atomic_path(folder / CHECKPOINT) as path, path.open("wb") as file:
        try:
            torch.save({**content_of(state), "recipe": recipe}, file)
        except RuntimeError as error:
            # PyTorch's writer reports its own state; the file's error is the context.
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def read_checkpoint(folder: Path, device: torch.device) -> dict[str, Any]:
    """Content that `save_checkpoint` wrote to `folder/checkpoint.pt`; its `recipe` is that of the run's start.

    Raises:
        ResourceError: the checkpoint is missing or cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise ResourceError(f"There is no checkpoint '{path}' to resume from; start without `resume`.")
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load passes on its readers' errors, which have no common base
        raise ResourceError(
            f"The checkpoint '{path}' cannot be read ({first_line(error)}); start anew with another `output`."
        ) from error
    if not isinstance(saved, dict) or not saved.keys() >= _KEYS:
        raise ResourceError(f"'{path}' is no checkpoint of a training run; start anew with another `output`.")
    return saved


def restore(state: TrainState, saved: dict[str, Any]) -> None:
    """Restore a state from a checkpoint of the same network (`read_checkpoint`).

    Raises:
        ResourceError: the checkpoint lacks a part of the state, or its shapes differ.
    """
    others = saved.get("others", {})
    for name, other in state.others.items():
        try:
            other.load_state_dict(others[name])
        except (KeyError, RuntimeError, ValueError) as error:  # errors of modules and optimisers
            raise ResourceError(
                f"The checkpoint to resume from has no {name} like this recipe's, so another recipe wrote it; start "
                "anew with another `output`."
            ) from error
    state.network.load_state_dict(saved["network"])
    state.ema.load_state_dict(saved["ema"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.step, state.seconds = saved["step"], saved["seconds"]
    state.best_score, state.best = saved["best_score"], saved["best"]

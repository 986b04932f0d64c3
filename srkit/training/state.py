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

from srkit.errors import ResourceError, first_line
from srkit.io.atomic import atomic_path
from srkit.recipes.train import OptimPart
from srkit.training.optim import Optimizer, build_optimizer

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
    optimizer: Optimizer
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
        UsageError: as `srkit.training.optim.build_optimizer`.
    """
    ema = copy.deepcopy(network).eval().requires_grad_(False)
    return TrainState(network, ema, build_optimizer(network, optim))


def update_ema(state: TrainState, decay: float) -> None:
    """ema <- decay ema + (1 - decay) network; a smaller decay early, so that the start is forgotten."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.ema.parameters()), list(state.network.parameters()), 1 - decay)


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


class Snapshot:
    """A copy of a run's last good state, in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] | None = None

    def take(self, state: TrainState) -> None:
        """Take a copy in place of the one before, if all numbers in it are finite."""
        content = content_of(state)
        if is_finite(content):
            self._kept = copy.deepcopy(content)

    def restore(self, state: TrainState) -> bool:
        """Make the state what it was when it was taken; False: none was. The seconds stay as they are."""
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
        raise ResourceError(f"There is no checkpoint '{path}' to resume from; start without `resume`.")
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load raises what its readers raise: there is no common base
        raise ResourceError(
            f"The checkpoint '{path}' cannot be read ({first_line(error)}); start anew with another `output`."
        ) from error
    if not isinstance(saved, dict) or not saved.keys() >= _KEYS:
        raise ResourceError(f"'{path}' is no checkpoint of a training run; start anew with another `output`.")
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
                "anew with another `output`."
            ) from error
    state.network.load_state_dict(saved["network"])
    state.ema.load_state_dict(saved["ema"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.step, state.seconds = saved["step"], saved["seconds"]
    state.best_score, state.best = saved["best_score"], saved["best"]

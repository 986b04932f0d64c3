"""Training of feature networks: step, validation, and scales of the stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.data.batches import Batches
from srkit.ops.layout import in_precision
from srkit.training.state import TrainState
from srkit.training.trainer import Measure, StepResult, descend

LOSS = Measure("val_loss", "loss {:.4f} on the held-out images", -1.0)
_VALIDATION_STEPS = 4
_MIDDLE = 256  # side of the centre crops on which the scales are measured, in pixels


class _Staged(Protocol):
    scales: Tensor

    def stages(self, x: Tensor) -> list[Tensor]: ...


@torch.no_grad()
def measure_scales(network: nn.Module, images: Sequence[NDArray[np.uint8]]) -> None:
    """Set `network.scales` to the root mean square of each stage over centre crops of the images (H, W, 3)."""
    staged = cast(_Staged, network)
    squares = torch.zeros(len(staged.scales), dtype=torch.float64)
    for image in images:
        top, left = (max(0, (side - _MIDDLE) // 2) for side in image.shape[:2])
        middle = np.ascontiguousarray(image[top : top + _MIDDLE, left : left + _MIDDLE])
        x = torch.from_numpy(middle).permute(2, 0, 1)[None].float() / 255
        squares += torch.stack([stage.double().square().mean() for stage in staged.stages(x)])
    staged.scales.copy_((squares / len(images)).sqrt())


@dataclass(frozen=True)
class EncoderStep:
    """A `srkit.training.trainer.Step` of a learner (`srkit.training.learners`, `srkit.training.texts`)."""

    clip_norm: float
    autocast: torch.dtype | None

    is_sound = True

    def module(self, network: nn.Module) -> nn.Module:
        return network

    def __call__(
        self,
        state: TrainState,
        forward: Callable[[Any], dict[str, Tensor]],
        batch: Any,
        rate: float,
        look: bool,
    ) -> StepResult:
        with in_precision(next(state.network.parameters()), self.autocast):
            terms = forward(batch)
        descend(state, terms["loss"], self.clip_norm)
        return StepResult({name: value.detach() for name, value in terms.items()})


def loss_validator(
    held_out: Batches[Any], device: torch.device, autocast: torch.dtype | None
) -> Callable[[nn.Module], float]:
    """Validation function: negative mean loss of a learner over fixed held-out batches."""

    @torch.no_grad()
    def score(learner: nn.Module) -> float:
        losses = []
        for step in range(_VALIDATION_STEPS):
            batch = held_out.draw(step).to(device)
            with in_precision(device, autocast):
                losses.append(float(learner(batch)["loss"]))
        return -sum(losses) / len(losses)

    return score

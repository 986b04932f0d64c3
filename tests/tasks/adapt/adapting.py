"""Small adaptations of both kinds: from labelled examples, and from low-resolution images alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.degradation.jpeg import jpegs
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.losses import table
from srkit.losses.images import l2
from srkit.ops.layout import RGB
from srkit.recipes.adapt import TunePart
from srkit.recipes.self_supervised import LoopPart
from srkit.training import closed_loop

TUNE = TunePart(steps=30, patch=12, batch=4, rate=2e-3, judge_every=10, warmup_steps=2)
LOOP = LoopPart(steps=12, patch=24, batch=2, rate=2e-4, judge_every=6, most_change=25.0)

Changed = Callable[[int, Tensor], Tensor]
"""The number of a step, from 1, and its loss, to another loss."""


@dataclass(frozen=True)
class Kind:
    """A kind of adaptation, with the tiny networks."""

    adapt: Callable[..., Any]
    """A folder, a progress, the name of the output and settings to a result, in tmp_path."""
    domain: Path
    """Five images, a.png to e.png."""
    steps: int
    recipe: Callable[..., Any]
    part: str
    """The recipe's part that says how."""
    change_loss: Callable[[pytest.MonkeyPatch, Changed], None]


def write(path: Path, pixels: RGB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(DecodedImage(np.ascontiguousarray(pixels)), path, format="png")
    return path


def compressed(image: RGB, quality: int = 35) -> RGB:
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return (jpegs([x], [quality])[0][0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def change_l2(monkeypatch: pytest.MonkeyPatch, changed: Changed) -> None:
    """Of labelled examples."""
    calls: list[int] = []

    def loss(sr: Tensor, hr: Tensor) -> Tensor:
        calls.append(1)
        return changed(len(calls), l2(sr, hr))

    monkeypatch.setattr(table, "LOSSES", {**table.LOSSES, "l2": table.Term(lambda context: loss)})


def change_loop(monkeypatch: pytest.MonkeyPatch, changed: Changed) -> None:
    """Of low-resolution images alone."""
    calls: list[int] = []
    usual = closed_loop.ClosedLoop.loss

    def other(self: Any, seed: int) -> Any:
        value = usual(self, seed)

        def loss(sr: Tensor, batch: Any) -> Tensor:
            calls.append(1)
            return changed(len(calls), value(sr, batch))

        return loss

    monkeypatch.setattr(closed_loop.ClosedLoop, "loss", other)

"""Inputs and weights that losses refuse, and what the error names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from srkit.encoders.distance import perceptual_distance
from srkit.errors import UsageError
from srkit.losses.contrast import alignment, alignment_map, uniformity, uniformity_map
from srkit.losses.criteria import (
    CRITERIA,
    Criteria,
    Views,
    Wanted,
    check_criteria,
    feature_map,
    pixel_map,
    ssim_distance_map,
)
from srkit.losses.gan import discriminator_loss, generator_loss, generator_map
from srkit.losses.images import checkerboard, feature_l1
from srkit.losses.reconstruction import ReconstructionLoss
from srkit.losses.table import LossContext, build_losses, check_every, check_terms, needs_of
from tests.helpers import refused

CPU = torch.device("cpu")


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


def maps(*sides: int) -> list[Tensor]:
    return [zeros(1, 1, side, side) for side in sides]


SR = zeros(2, 3, 40, 33)
ANCHOR = zeros(1, 1, 2, 2)
REFUSED: list[tuple[str, list[Callable[..., Any]], tuple[Any, ...], tuple[object, ...]]] = [
    # What is asked of the user: names and weights.
    ("no terms", [check_terms, needs_of], ({},), ("loss.l1=1",)),
    ("weights of 0", [check_terms, needs_of], ({"l1": 0.0},), ("loss.l1=1",)),
    ("an unknown term", [check_terms, needs_of], ({"l1": 1.0, "l11": 1.0},), ("l11", "l1")),
    ("a negative weight", [check_terms, needs_of], ({"l1": -1.0},), ("loss.l1", -1.0)),
    ("nan as a weight", [check_terms, needs_of], ({"l1": math.nan},), ("loss.l1", "nan")),
    ("inf as a weight", [check_terms, needs_of], ({"l1": math.inf},), ("loss.l1", "inf")),
    ("the same, built", [lambda w: build_losses(w, LossContext(CPU))], ({"l1": -1.0},), ("loss.l1", -1.0)),
    (
        "of images",
        [check_terms],
        ({"l1": 1.0, "kernel": 1.0}, "picture"),
        ("kernel", "picture", "l1", "l2"),
    ),
    ("of depth", [check_terms], ({"l1": 1.0}, "depth"), ("l1", "depth")),
    (
        "no provider",
        [lambda name: build_losses({"l1": 1.0, name: 0.1}, LossContext(CPU))],
        ("perceptual",),
        ("perceptual", "loss.perceptual"),
    ),
    ("every of no term", [check_every], ({"l1": 1.0}, {"ll": 2}), ("loss_every.ll", "l1")),
    ("every 0th", [check_every], ({"l1": 1.0}, {"l1": 0}), ("loss_every.l1", 0)),
    ("never any", [check_every], ({"l1": 1.0, "semantic": 0.1}, {"l1": 2, "semantic": 2}), ("loss_every",)),
    (
        "never any, built",
        [lambda every: build_losses({"l1": 1.0}, LossContext(CPU), every)],
        ({"l1": 2},),
        ("loss_every",),
    ),
    ("no criteria", [check_criteria, Criteria], ([],), ()),
    ("a criterion twice", [check_criteria, Criteria], (["pixel", "pixel"],), ("pixel",)),
    ("an unknown criterion", [check_criteria, Criteria], (["pixle"],), ("pixle", "pixel", "ssim")),
    *(
        (f"a decay of {x}", [lambda x: Criteria(["pixel"], decay=x)], (x,), (x,))
        for x in (1.0, -0.1, math.nan)
    ),
    *((f"an eta of {x}", [alignment_map], (ANCHOR, [ANCHOR], x), (x,)) for x in (0.5, -1.0, math.nan)),
    *((f"a t of {x}", [uniformity_map], (ANCHOR, [ANCHOR], x), (x,)) for x in (0.0, -1.0, math.nan)),
    *(
        (f"{name} without a view", [CRITERIA[name]], (SR, Wanted(SR, Views())), (view,))
        for name, view in (("bottom", "bottom"), ("top", "top"), ("adversarial", "discriminator"))
    ),
    # Shapes.
    ("no maps", [feature_l1], (maps(), maps()), ()),
    ("fewer maps", [feature_l1], (maps(3), maps(3, 4)), ((1, 1, 3, 3), (1, 1, 4, 4))),
    ("other maps", [feature_l1], (maps(3), maps(4)), ((1, 1, 3, 3), (1, 1, 4, 4))),
    *(
        (f"no grid in {shape}", [checkerboard], (zeros(*shape), scale), (shape, scale))
        for shape, scale in (((1, 3, 8, 8), 4), ((1, 3, 18, 16), 4), ((3, 16, 16), 4), ((1, 3, 9, 9), 1))
    ),
    *(
        (
            f"images of {tuple(other.shape)}",
            [pixel_map, ssim_distance_map, lambda a, b: feature_map(a, b, (8, 8))],
            (SR, other),
            (tuple(SR.shape), tuple(other.shape)),
        )
        for other in (SR[:, :, 1:], SR[0], SR[:0])
    ),
    *(
        (
            f"logits of {fake} and {real}",
            [generator_map, generator_loss, discriminator_loss],
            (zeros(*fake), zeros(*real)),
            (fake, real),
        )
        for fake, real in (((2, 1, 3, 3), (2, 1, 3, 4)), ((2, 3, 3), (2, 3, 3)), ((2, 2, 3, 3), (2, 2, 3, 3)))
    ),
    *(
        (
            f"maps of {shapes}",
            [alignment_map, uniformity_map],
            (ANCHOR, [zeros(*s) for s in shapes]),
            ((1, 1, 2, 2),),
        )
        for shapes in ([], [(1, 1, 2, 3)], [(1, 1, 2, 2), (2, 1, 2, 2)])
    ),
    (
        "a mask of another size",
        [alignment, uniformity],
        (zeros(1, 1, 4, 4), ANCHOR, [ANCHOR]),
        ((1, 1, 4, 4),),
    ),
]


@pytest.mark.parametrize(
    ("call", "arguments", "named"),
    [(call, arguments, named) for _, calls, arguments, named in REFUSED for call in calls],
    ids=[f"{name}, {i}" for name, calls, _, _ in REFUSED for i in range(len(calls))],
)
def test_it_is_refused(
    call: Callable[..., Any], arguments: tuple[Any, ...], named: tuple[object, ...]
) -> None:
    with refused(UsageError, *named):
        call(*arguments)


def test_reconstructions_of_another_size() -> None:
    loss, made = ReconstructionLoss(perceptual_distance("random", CPU)), zeros(2, 3, 32, 32)
    with refused(UsageError, (2, 3, 32, 32), (2, 3, 32, 31)):
        loss(made, made[..., 1:])
    with refused(UsageError, (2, 3, 32, 32)):  # weights of three channels
        loss(made, made, made)

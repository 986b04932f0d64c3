"""Optimisers: Muon against torch's own and against the singular value decomposition; which parameter takes which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from srkit.errors import UsageError
from srkit.recipes.train import OptimPart
from srkit.training.optim import Muon, Together, build_optimizer, orthogonalised
from srkit.training.state import read_checkpoint, restore
from tests.training.runs import CPU, InterruptAfter, content, pairs, recipe, same, state, trainer


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16)])
def test_orthogonalised_matrices(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonalised(matrices).float()
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.5 and float(values.max()) < 1.3
    # The same singular vectors: in their basis the result is diagonal.
    inner = u.mT @ found @ vh.mT
    off = inner - torch.diag_embed(torch.diagonal(inner, dim1=-2, dim2=-1))
    assert float(off.abs().max()) < 0.1


def test_as_torch_has_it() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(12, 30)) for _ in range(2))
    muon = Muon([ours], lr=0.02, momentum=0.9)
    reference = torch.optim.Muon(
        [theirs], lr=0.02, momentum=0.9, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(4):
        # torch's momentum is an average, ours a sum: orthogonalised, their length does not count.
        gradient = torch.randn(12, 30)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        muon.step()
        reference.step()
    assert float((ours.detach() - 1).abs().max()) > 0.01
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_equal_shapes_do_not_mix() -> None:
    """Stacked parameters move as each would alone."""
    torch.manual_seed(0)
    together = [nn.Parameter(torch.randn(6, 4, 3, 3)) for _ in range(3)]
    alone = [nn.Parameter(p.detach().clone()) for p in together]
    optimizers = [Muon(together, lr=0.1), *(Muon([p], lr=0.1) for p in alone)]
    for a, b in zip(together, alone, strict=True):
        a.grad = torch.randn_like(a)
        b.grad = a.grad.clone()
    for optimizer in optimizers:
        optimizer.step()
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=0)


def test_which_parameter_takes_which() -> None:
    run = state(recipe(optimizer="muon", lr=1e-2, adam_factor=0.25, rates={"trunk.tail": 0.5}))
    assert isinstance(run.optimizer, Together)
    names = {id(p): name for name, p in run.network.named_parameters()}
    found = {
        names[id(p)]: ("momentum" in group, group["factor"])
        for group in run.optimizer.param_groups
        for p in group["params"]
    }
    assert found == {
        "trunk.head.weight": (False, 0.25),  # reads an image
        "trunk.head.bias": (False, 0.25),
        "trunk.blocks.0.conv1.weight": (True, 1.0),
        "trunk.blocks.0.conv1.bias": (False, 0.25),
        "trunk.blocks.0.conv2.weight": (True, 1.0),
        "trunk.blocks.0.conv2.bias": (False, 0.25),
        "trunk.tail.weight": (True, 0.5),
        "trunk.tail.bias": (False, 0.125),
        "reconstruction.layers.0.weight": (False, 0.25),
        "reconstruction.layers.0.bias": (False, 0.25),
    }


def test_no_such_part() -> None:
    with pytest.raises(UsageError) as caught:
        build_optimizer(state(recipe()).network, OptimPart(optimizer="muon", muon_parts=("trunc",)))
    assert all(word in str(caught.value) for word in ("optim.muon_parts", "'trunc'", "trunk"))


def test_resumed_is_the_same_bit_for_bit(tmp_path: Path, rendered: Callable[..., NDArray[np.uint8]]) -> None:
    base = recipe(steps=12, optimizer="muon")
    images = [rendered(60, 48, seed=seed) for seed in range(2)]
    straight = state(base)
    for name in "ab":
        (tmp_path / name).mkdir()
    trainer(base, pairs(images, base), tmp_path / "a").fit(straight)
    stopped = state(base)
    with pytest.raises(KeyboardInterrupt):
        trainer(base, pairs(images, base), tmp_path / "b", progress=InterruptAfter(5)).fit(stopped)
    resumed = state(base)
    restore(resumed, read_checkpoint(tmp_path / "b", CPU))
    trainer(base, pairs(images, base), tmp_path / "b").fit(resumed)
    assert same(content(straight), content(resumed))

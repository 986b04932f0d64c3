"""Networks that give features: what holds for all of them, and what each promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srkit.archs.compact import CompactEncoder
from srkit.archs.table import ENCODERS, build, info_of

CASES: dict[str, dict[str, Any]] = {
    "compact": {"widths": [6, 8, 10], "blocks": [1, 0, 2], "dim": 12, "side": 32},
    "judge": {"widths": [6, 8, 10]},
}


@pytest.fixture(params=list(CASES))
def network(request: pytest.FixtureRequest) -> Any:
    """With values where training begins at zero, so that everything counts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = build(request.param, CASES[request.param]).eval()
        for parameter in made.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return made


def _image(height: int, width: int, count: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def _all(network: Any, x: Tensor) -> list[Tensor]:
    """Everything that a network gives."""
    out = network(x)
    return [*network.stages(x), *(out if isinstance(out, tuple) else (out,))]


def test_every_network_has_a_case() -> None:
    of_texts = {"words"}  # see test_words_network.py
    assert set(CASES) | of_texts == set(ENCODERS)


@torch.inference_mode()
def test_stages_halve_the_image_at_its_own_size(network: Any) -> None:
    for height, width in ((32, 32), (17, 40), (8, 9)):
        stages = network.stages(_image(height, width, 2))
        first = isinstance(network, CompactEncoder)
        for i, (stage, channels) in enumerate(zip(stages, (6, 8, 10), strict=True), start=int(first)):
            assert stage.shape[:2] == (2, channels)
            for side, whole in zip(stage.shape[2:], (height, width), strict=True):
                assert side in (whole // 2**i, -(-whole // 2**i))


@torch.inference_mode()
def test_batch_and_layout_do_not_matter(network: Any) -> None:
    x = _image(24, 32, 3)
    together = _all(network, x)
    alone = [
        torch.cat(parts) for parts in zip(*(_all(network, one) for one in torch.split(x, 1)), strict=True)
    ]
    last = _all(network, x.contiguous(memory_format=torch.channels_last))
    for a, b, c in zip(together, alone, last, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
        torch.testing.assert_close(a, c, atol=1e-5, rtol=0)


def test_gradient_reaches_everything(network: Any) -> None:
    x = _image(24, 32, 2).requires_grad_()
    torch.autograd.backward(
        sum((out.square().mean() + out.mean() for out in _all(network, x)), torch.zeros(()))
    )
    for name, tensor in (*network.named_parameters(), ("the image", x)):
        assert tensor.grad is not None, name
        assert bool(tensor.grad.isfinite().all()), name
        assert bool((tensor.grad != 0).any()), name


def test_receptive_field_is_no_larger_than_told(network: Any) -> None:
    radius, spacing = info_of(network).receptive_field, 8
    side = -(-(2 * radius + 3 * spacing) // spacing) * spacing
    x = _image(side, side).double().requires_grad_()
    last = network.double().stages(x)[-1]
    at = last.shape[2] // 2
    (gradient,) = torch.autograd.grad(last[:, :, at, at].sum(), x)
    seen = gradient.abs().sum((0, 1)).nonzero()
    step = side / last.shape[2]
    own = (at * step, (at + 1) * step - 1)  # the pixels that the place stands for
    assert float(seen.min()) >= own[0] - radius
    assert float(seen.max()) <= own[1] + radius


@torch.inference_mode()
def test_bf16_is_close(network: Any) -> None:
    x = _image(32, 32)
    exact = _all(network, x)
    with torch.autocast("cpu", torch.bfloat16):
        cast = _all(network, x)
    coarse = _all(network.to(torch.bfloat16), x)
    for other in (cast, coarse):
        for a, b in zip(exact, other, strict=True):
            assert float((a - b.float()).norm()) < 0.05 * float(a.norm())


@torch.inference_mode()
def test_compact_gives_a_unit_vector_and_tokens_of_unit_mean_square() -> None:
    network = CompactEncoder(**CASES["compact"])
    vector, tokens = network(_image(32, 48, 2))
    assert vector.shape == (2, 12)
    assert tokens.shape == (2, 10, 4, 6)
    torch.testing.assert_close(vector.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(tokens.square().mean(1), torch.ones(2, 4, 6), atol=0.02, rtol=0)
    for flat in (torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)):
        assert bool(network(flat)[0].isfinite().all())


def test_size_and_cost_of_the_shipped_compact() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = CompactEncoder()
    assert 1e6 <= sum(p.numel() for p in network.parameters()) <= 3e6
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, network.side, network.side))
    assert counter.get_total_flops() / 2 < 0.25e9

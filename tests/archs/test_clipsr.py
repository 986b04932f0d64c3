"""CLIP-SR: what text does to it, that all of the figure's graph lives, and that tiles never show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srkit.archs.clipsr import CLIPSR
from srkit.archs.edsr import EDSR
from srkit.archs.text_fusion import TIF, Affine, WordAttention
from srkit.archs.words import WordsNetwork
from srkit.conditioning.values import Condition, Coordinates
from srkit.engine.runner import Plane, Runner, RunnerOptions
from srkit.errors import UsageError
from srkit.ops.geometry import position_grid
from tests.helpers import refused

SMALL: dict[str, Any] = {
    "features": 8,
    "blocks": 1,
    "stages": [8, 6, 4],
    "sentence_dim": 6,
    "word_channels": 16,
    "map_channels": 8,
    "widths": [4, 5, 6],
    "prompts": 3,
    "guide_features": 3,
    "reading_blocks": 1,
    "side": 16,
}
TEXT = WordsNetwork(width=8, layers=2, heads=2, embedding=4, dim=6, length=12).eval().requires_grad_(False)


def network(seed: int = 0, **changes: Any) -> CLIPSR:
    torch.manual_seed(seed)
    return CLIPSR(**SMALL | changes).eval()


def trained(**changes: Any) -> CLIPSR:
    """A network in which nothing is zero."""
    made = network(**changes)
    for parameter in made.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return made


def text(seed: int, count: int = 1) -> tuple[Tensor, Tensor]:
    """Words and sentences."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, 16, generator=generator), torch.randn(count, 6, generator=generator)


def result(made: CLIPSR, x: Tensor, words: Tensor, sentence: Tensor) -> Tensor:
    thumbnail = torch.rand(len(x), 3, 16, 16, generator=torch.Generator().manual_seed(9))
    guide = made.guide(thumbnail, sentence, TEXT.prompted)
    position = position_grid(*x.shape[2:]).expand(len(x), -1, -1, -1)
    out: Tensor = made(x, guide=guide, position=position, words=words, sentence=sentence)
    return out


@torch.inference_mode()
def test_text_and_guide_change_nothing_at_first() -> None:
    made, x = network(), torch.rand(1, 3, 5, 7)
    plain = result(made, x, torch.zeros(1, 4, 16), torch.zeros(1, 6))
    assert torch.equal(result(made, x, *text(1)), plain)
    guide = torch.randn(1, 3, 16, 16)
    assert torch.equal(made(x, guide=guide, position=position_grid(5, 7)), plain)


@torch.inference_mode()
@pytest.mark.parametrize("layer", [Affine(4, 6), TIF(4, 6)])
def test_fusion_begins_as_the_identity(layer: nn.Module) -> None:
    h = torch.randn(2, 4, 3, 5)
    assert torch.equal(layer(h, torch.randn(2, 6)), h)


@torch.inference_mode()
def test_affine_is_the_papers() -> None:
    layer = Affine(2, 1)
    for mlp, last in ((layer.scale, [[2.0, 0.0], [0.0, 3.0]]), (layer.shift, [[1.0, 0.0], [0.0, -1.0]])):
        mlp[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        mlp[0].bias.copy_(torch.tensor([0.0, 0.5]))
        mlp[2].weight.copy_(torch.tensor(last))
    # z = -1: the hidden layer is (0, 1.5), so gamma = (1, 1 + 4.5) and beta = (0, -1.5).
    found = layer(torch.tensor([[[[2.0]], [[2.0]]]]), torch.tensor([[-1.0]]))
    assert found.flatten().tolist() == pytest.approx([2.0, 9.5])


@torch.inference_mode()
def test_trunk_starts_from_edsr() -> None:
    wanted = EDSR(8, 8, 1, "single").trunk.state_dict()
    assert {name: t.shape for name, t in network().trunk.state_dict().items()} == {
        name: t.shape for name, t in wanted.items()
    }


@torch.inference_mode()
def test_words_count_and_their_order_is_seen() -> None:
    x = torch.rand(1, 3, 5, 7)
    words, sentence = text(1)
    for kind, by_order in (("prompt", True), ("bag", False)):
        made = trained(text=kind)
        plain = result(made, x, words, sentence)
        assert not torch.allclose(result(made, x, words, text(2)[1]), plain, atol=1e-4)
        assert not torch.allclose(result(made, x, text(2)[0], sentence), plain, atol=1e-4)
        marked = torch.arange(4.0).view(1, 4, 1) * torch.randn(16, generator=torch.Generator().manual_seed(4))
        moved = result(made, x, words + marked, sentence) - result(made, x, words.flip(1) + marked, sentence)
        assert (float(moved.abs().max()) > 1e-4) == by_order


@torch.inference_mode()
def test_padding_of_a_text_does_not_count() -> None:
    made, x, (words, sentence) = trained(), torch.rand(1, 3, 5, 7), text(1)
    longer = torch.cat([words, torch.zeros(1, 9, 16)], dim=1)
    assert torch.allclose(result(made, x, longer, sentence), result(made, x, words, sentence), atol=1e-6)


@torch.inference_mode()
def test_no_text_is_zeros_of_it() -> None:
    made, x = trained(), torch.rand(1, 3, 5, 7)
    guide, position = torch.randn(1, 3, 16, 16), position_grid(5, 7)
    zeros = made(x, guide=guide, position=position, words=torch.zeros(1, 4, 16), sentence=torch.zeros(1, 6))
    assert torch.allclose(made(x, guide=guide, position=position), zeros, atol=1e-6)


def test_gradient_reaches_the_prompts_and_all_of_the_guide() -> None:
    made = trained()
    prompts: list[Tensor] = []

    def blocks(maps: Tensor, given: Tensor) -> Tensor:
        given.retain_grad()
        prompts.append(given)
        return TEXT.prompted(maps, given)

    guide = made.guide(torch.rand(2, 3, 16, 16), text(1, 2)[1], blocks)
    words, sentence = text(1, 2)
    position = position_grid(5, 7).expand(2, -1, -1, -1)
    sr = made(torch.rand(2, 3, 5, 7), guide=guide, position=position, words=words, sentence=sentence)
    torch.autograd.backward(sr.square().mean())
    assert prompts[0].shape == (2, 3, 8)
    assert prompts[0].grad is not None
    assert bool((prompts[0].grad.abs().sum((0, 2)) > 0).all())
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name


def test_a_guide_without_blocks_is_refused() -> None:
    with refused(UsageError, "blocks"):
        network().guide(torch.rand(1, 3, 16, 16))
    assert network(mapped=False).guide(torch.rand(1, 3, 16, 16)).shape == (1, 3, 16, 16)


@torch.inference_mode()
def test_tiled_equals_untiled() -> None:
    made = trained()
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    words, sentence = text(1)
    guide = made.guide(torch.rand(1, 3, 16, 16), sentence, TEXT.prompted)
    conditions = {
        "guide": Condition(guide),
        "words": Condition(words),
        "sentence": Condition(sentence),
        "position": Coordinates(),
    }
    found = []
    for tile in (None, 16):
        options = RunnerOptions(torch.device("cpu"), torch.float32, tile, made.info.receptive_field)
        (done,) = Runner(made, made.info, options).run([Plane(pixels, None, conditions)])
        assert done is not None
        assert done.error is None
        found.append(done.pixels.astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1
    assert (found[0] == found[1]).mean() > 0.999


def test_attention_without_words_reads_its_own_token() -> None:
    layer = WordAttention(4, 5, heads=2, width=3)
    nn.init.normal_(layer.out.weight)
    h = torch.randn(1, 4, 2, 2)
    found, _ = layer(h, torch.zeros(1, 3, 5), position_grid(2, 2))
    wanted = h + layer.out(layer.null[1].view(1, 6, 1, 1))
    assert torch.allclose(found, wanted.expand_as(found), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"scale": 2}, "scale 2"),
        ({"scale": 4}, "stages"),
        ({"text": "poem"}, "poem"),
        ({"text_norm": "batch"}, "batch"),
        ({"widths": [4]}, "widths"),
        ({"prompts": 0}, "0"),
    ],
)
def test_refusals(changes: dict[str, Any], named: str) -> None:
    with refused(UsageError, named):
        network(**changes)


def test_misalignment_falls_with_the_attention_to_the_words_that_are_shown() -> None:
    torch.manual_seed(0)
    layer = WordAttention(4, 5, heads=2, width=3)
    h, words = torch.randn(2, 4, 3, 3), torch.randn(2, 6, 5)
    words[0, 4:] = 0
    position, letters = torch.zeros(2, 2, 3, 3), torch.full((2, 3, 3), -1)
    assert layer.misalignment(h, words, position, letters) == 0
    letters[0, 0], letters[1, 1] = 2, 5
    before = layer.misalignment(h, words, position, letters)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        layer.misalignment(h, words, position, letters).backward()
        optimizer.step()
    after = layer.misalignment(h, words, position, letters)
    assert after < 0.1 * before
    # One head is trained: the other's queries have no gradient, nor have the values.
    grads = [p.grad for p in (layer.query.weight, layer.key.weight)]
    assert all(g is not None and g[:3].any() and not g[3:].any() for g in grads)
    assert layer.value.weight.grad is None

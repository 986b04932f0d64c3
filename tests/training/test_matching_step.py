"""The step on captioned images: text that LR does not show is learned from, and the discriminator sees it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from srkit.archs.clipsr import CLIPSR
from srkit.archs.matching import TextDiscriminator
from srkit.data.captioned import CaptionedImage, CaptionedPairs
from srkit.data.pairs import Batch, CropPlan
from srkit.encoders.text import TextEncoder, text_encoder
from srkit.losses.images import l1
from srkit.recipes.clipsr import ClipsrWeights, TextDiscriminatorPart
from srkit.recipes.train import OptimPart
from srkit.rendered.canvas import Lettering, Rendered
from srkit.training.distributed import World
from srkit.training.gan_step import discriminator_optimizer
from srkit.training.matching_step import MatchingStep, Prompted
from srkit.training.state import TrainState, new_state

CPU = torch.device("cpu")
OPTIM = OptimPart(lr=4e-3, warmup_steps=0, ema=0.9)
SAID = ("stripes that go down", "stripes that go across")


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return text_encoder("random", CPU)


def stripes() -> list[CaptionedImage]:
    """Two patterns of one period a LR pixel, which LR shows as the same gray."""
    down = np.indices((32, 32))[1] // 2 % 2 * 160 + 48
    return [
        CaptionedImage(np.repeat(one[:, :, None], 3, 2).astype(np.uint8), (text,))
        for one, text in zip((down, down.T), SAID, strict=True)
    ]


def made(glyphs: int = 0) -> CLIPSR:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "widths": [4, 6],
        "prompts": 2,
        "guide_features": 2,
        "readings": 1,
        "reading_blocks": 1,
        "side": 8,
    }
    return CLIPSR(4, 12, 1, [12, 12], **sizes, glyphs=glyphs)


def step_of(encoder: TextEncoder, weights: ClipsrWeights, part: TextDiscriminatorPart) -> MatchingStep:
    torch.manual_seed(1)
    judge, optimizer = None, None
    if weights.adversarial > 0:
        judge = TextDiscriminator(encoder.level_channels, encoder.dim, part.width, part.narrow, part.hidden)
        optimizer = discriminator_optimizer(judge, part, OPTIM)
    return MatchingStep(weights, encoder, None, judge, optimizer, part, 1.0, None, World())


def fitted(
    encoder: TextEncoder, step: MatchingStep, steps: int, dropout: float
) -> tuple[TrainState, list[Batch]]:
    network = made()
    pairs = CaptionedPairs(stripes(), CropPlan(4, 8, 4, 0, False), CPU, encoder, dropout, network)
    state, module = new_state(network, OPTIM), step.module(network)
    batches = list(itertools.islice(pairs.batches(0), steps))
    for batch in batches:
        step(state, module, batch, OPTIM.lr, False)
        state.step += 1
    return state, batches


@torch.no_grad()
def error(
    network: nn.Module, batch: Batch, encoder: TextEncoder, sentence: torch.Tensor, words: torch.Tensor
) -> float:
    assert isinstance(network, CLIPSR)
    conditions = batch.conditions | {"sentence": sentence, "words": words}
    return float(l1(Prompted(network, encoder.prompted)(batch.lr, **conditions), batch.hr))


def test_text_tells_what_lr_does_not_show(encoder: TextEncoder) -> None:
    step = step_of(encoder, ClipsrWeights(), TextDiscriminatorPart())
    state, batches = fitted(encoder, step, 45, 0.15)
    batch = next(b for b in batches if len(b.conditions["sentence"].unique(dim=0)) > 1)
    down = (batch.hr.diff(dim=3).abs().mean((1, 2, 3)) > 0.05).long()
    known = encoder.read(SAID)

    def said(which: torch.Tensor) -> float:
        return error(state.network, batch, encoder, known.sentence[which], known.words[which])

    right, wrong = said(1 - down), said(down)
    none = error(
        state.network,
        batch,
        encoder,
        torch.zeros_like(known.sentence[down]),
        torch.zeros_like(known.words[down]),
    )
    assert right < 0.5 * none
    assert none < wrong


@pytest.mark.parametrize("penalty", [True, False])
def test_the_discriminator_sees_images_and_texts(encoder: TextEncoder, penalty: bool) -> None:
    part = TextDiscriminatorPart(width=8, narrow=8, hidden=8, penalty=penalty, every=2)
    step = step_of(encoder, ClipsrWeights(1.0, 0.0, 0.01), part)
    network = made()
    pairs = CaptionedPairs(stripes(), CropPlan(4, 8, 4, 0, False), CPU, encoder, 0.0, network)
    state, module = new_state(network, OPTIM), step.module(network)
    assert step.discriminator is not None
    before = [p.clone() for p in step.discriminator.parameters()]
    for number, batch in enumerate(itertools.islice(pairs.batches(0), 2)):
        logged = step(state, module, batch, OPTIM.lr, True)
        assert {"loss", "pixel", "adversarial"} <= set(logged.terms)
        assert set(logged.norms) == {"pixel", "adversarial"}
        assert all(norm > 0 for norm in logged.norms.values())
        assert ("discriminator" in logged.terms) == (number % 2 == 0)
        if number == 0:
            assert bool(logged.terms["penalty"] > 0) == penalty
        state.step += 1
    moved = [not torch.equal(a, b) for a, b in zip(before, step.discriminator.parameters(), strict=True)]
    assert moved[-2]  # the head; what its gains of zero hold back comes later
    assert set(step.others) == {"discriminator", "discriminator's optimizer"}


def test_attention_is_trained_on_where_letters_stand(encoder: TextEncoder) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    rendered = Rendered(pixels, (Lettering("HO", (0, 0, 32, 32)),))
    images = [CaptionedImage(pixels, ("it reads HO",), None, rendered)]
    step = step_of(encoder, ClipsrWeights(alignment=1.0), TextDiscriminatorPart())
    network = made()
    pairs = CaptionedPairs(images, CropPlan(4, 8, 4, 0, False), CPU, encoder, 0.0, network, aligned=True)
    state, module = new_state(network, OPTIM), step.module(network)
    found = []
    for batch in itertools.islice(pairs.batches(0), 40):
        logged = step(state, module, batch, OPTIM.lr, True)
        found.append(float(logged.terms["alignment"]))
        assert not logged.norms  # one term of the result
        state.step += 1
    assert found[-1] < 0.3 * found[0]


def test_where_letters_stand_is_learned_without_drawing(encoder: TextEncoder) -> None:
    """Letters of equal look: only what is left and right of a pixel tells where in the word it is."""
    pixels = np.full((32, 32, 3), 255, np.uint8)
    pixels[8:24, 4:28] = 0
    rendered = Rendered(pixels, (Lettering("HO", (4, 8, 28, 24)),))
    step = step_of(encoder, ClipsrWeights(pixel=0.0, alignment=1.0, boxes=1.0), TextDiscriminatorPart())
    network = made(glyphs=4)
    images = [CaptionedImage(pixels, ("it reads HO",), None, rendered)]
    pairs = CaptionedPairs(images, CropPlan(4, 8, 4, 0, False), CPU, encoder, 0.0, network, aligned=True)
    state, module = new_state(network, OPTIM), step.module(network)
    drawing = [p for part in (network.guidance, network.reconstruction) for p in part.parameters()]
    before, found = [p.clone() for p in drawing], []
    for batch in itertools.islice(pairs.batches(0), 60):
        logged = step(state, module, batch, OPTIM.lr, True)
        found.append(float(logged.terms["boxes"]))
        assert set(logged.terms) == {"loss", "alignment", "boxes", "ink"}
        state.step += 1
    assert found[-1] < 0.5 * found[0]
    assert all(torch.equal(a, b) for a, b in zip(before, drawing, strict=True))


def test_pixels_of_letters_count_alone_in_lettering(encoder: TextEncoder) -> None:
    pixels = np.full((32, 32, 3), 255, np.uint8)
    pixels[:, :16] = 0
    named = CaptionedImage(pixels, ("reads HO",), None, Rendered(pixels, (Lettering("HO", (0, 8, 16, 24)),)))
    step = step_of(encoder, ClipsrWeights(lettering=0.5), TextDiscriminatorPart())
    pairs = [
        CaptionedPairs([image], CropPlan(4, 8, 2, 0, False), CPU, encoder, 0.0, made(), aligned=True)
        for image in (named, CaptionedImage(pixels, ("a wall",)))
    ]
    there, nowhere = (next(iter(one.batches(0))) for one in pairs)
    sr = torch.full_like(there.hr, 0.25)
    assert step._terms(sr, there)["lettering"].item() == pytest.approx(0.25)  # its letters stand on black
    assert step._terms(sr, nowhere)["lettering"].item() == 0


def test_another_network_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(TypeError, match="Linear"):
        step_of(encoder, ClipsrWeights(), TextDiscriminatorPart()).module(nn.Linear(1, 1))

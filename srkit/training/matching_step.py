"""Step of a network that is conditioned on texts, with or without a discriminator that is conditioned on them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.clipsr import CLIPSR, LETTERS, SENTENCE
from srkit.archs.info import PromptedBlocks
from srkit.archs.matching import TextDiscriminator
from srkit.data.pairs import Batch
from srkit.encoders.features import PerceptualFeatures
from srkit.encoders.text import TextEncoder
from srkit.losses.images import feature_l1, l1
from srkit.losses.matching import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    mismatched,
    text_similarity,
)
from srkit.ops.layout import in_precision
from srkit.recipes.clipsr import ClipsrWeights, TextDiscriminatorPart
from srkit.training.distributed import World, average_gradients
from srkit.training.gan_step import held
from srkit.training.optim import set_rate
from srkit.training.state import Stateful, TrainState
from srkit.training.trainer import StepResult, descend


class Prompted(nn.Module):
    """A `CLIPSR` that takes the inputs of its guide, thumbnail and sentence, in place of the guide.

    Args:
        blocks: blocks of the encoder that computes the guide.
        drawn: False to compute the distances of `CLIPSR.aligned` alone, with zeros in place of the guide, whose
            computation would take most of the time.
    """

    def __init__(self, network: CLIPSR, blocks: PromptedBlocks, *, drawn: bool = True) -> None:
        super().__init__()
        self.network, self._blocks, self._drawn = network, blocks, drawn

    def forward(
        self,
        lr: Tensor,
        thumbnail: Tensor,
        position: Tensor,
        words: Tensor | None = None,
        sentence: Tensor | None = None,
        letters: Tensor | None = None,
        boxes: Tensor | None = None,
        ink: Tensor | None = None,
    ) -> Tensor | tuple[Tensor | None, dict[str, Tensor]]:
        """SR; with `letters`, `boxes` and `ink`, the result of `CLIPSR.aligned`."""
        if self._drawn:
            guide = self.network.guide(thumbnail, sentence, self._blocks)
        else:
            guide = self.network.no_guide(len(lr), lr.device)
        if letters is not None and boxes is not None and ink is not None:
            assert words is not None and sentence is not None
            given = (lr, guide, position, words, sentence, letters, boxes, ink)
            return self.network.aligned(*given, drawn=self._drawn)
        sr: Tensor = self.network(lr, guide=guide, position=position, words=words, sentence=sentence)
        return sr


@dataclass(frozen=True)
class MatchingStep:
    """Update the network, then the discriminator, if any, on the images generated before that update."""

    weights: ClipsrWeights
    encoder: TextEncoder
    perceptual: PerceptualFeatures | None
    discriminator: TextDiscriminator | None
    optimizer: torch.optim.Optimizer | None
    """Optimiser of the discriminator; None without one."""
    part: TextDiscriminatorPart
    clip_norm: float
    """Maximal norm of the network's gradient (0: no clipping)."""
    autocast: torch.dtype | None
    world: World

    is_sound = True

    @property
    def others(self) -> dict[str, Stateful]:
        """Parts of the run's state other than the network and its optimiser."""
        if self.discriminator is None or self.optimizer is None:
            return {}
        return {"discriminator": self.discriminator, "discriminator's optimizer": self.optimizer}

    def module(self, network: nn.Module) -> nn.Module:
        if not isinstance(network, CLIPSR):
            raise TypeError(f"a step of texts was given {type(network).__name__}")
        return Prompted(network, self.encoder.prompted, drawn=self.weights.of_images > 0)

    def __call__(
        self, state: TrainState, forward: Callable[..., Any], batch: Batch, rate: float, look: bool
    ) -> StepResult:
        with in_precision(batch.lr, self.autocast):
            found = forward(batch.lr, **batch.conditions)
            sr, distances = found if isinstance(found, tuple) else (found, {})
            sr = batch.lr if sr is None else sr.float()
            terms = self._terms(sr, batch)
        norms = self._norms(terms, sr) if look and len(terms) > 1 else {}
        terms |= distances
        loss = torch.stack([getattr(self.weights, name) * term for name, term in terms.items()]).sum()
        descend(state, loss, self.clip_norm)
        logged = {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}
        if state.step % self.part.every == 0:
            logged |= self._discriminate(sr.detach(), batch, rate)
        return StepResult(logged, norms)

    def _terms(self, sr: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Unweighted loss terms whose weight is above 0."""
        terms: dict[str, Tensor] = {}
        if self.weights.pixel > 0:
            terms["pixel"] = l1(sr, batch.hr)
        if self.weights.lettering > 0 and LETTERS in batch.conditions:
            terms["lettering"] = _lettering_l1(sr, batch)
        if self.weights.perceptual > 0 and self.perceptual is not None:
            with torch.no_grad():
                wanted = self.perceptual.features(batch.hr)
            terms["perceptual"] = feature_l1(self.perceptual.features(sr), wanted)
        if self.discriminator is not None:
            sentence = batch.conditions[SENTENCE]
            with held(self.discriminator):
                fake = self.discriminator(self.encoder.levels(sr), sentence)
            terms["adversarial"] = generator_loss(
                fake, text_similarity(self.encoder.embed(sr).vector, sentence)
            )
        return terms

    def _norms(self, terms: Mapping[str, Tensor], sr: Tensor) -> dict[str, float]:
        """L2 norm over the batch of the gradient of each weighted term with respect to SR."""
        found = {}
        for name, term in terms.items():
            (slope,) = torch.autograd.grad(term, sr, retain_graph=True)
            found[name] = getattr(self.weights, name) * float(slope.float().norm())
        return found

    def _discriminate(self, sr: Tensor, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Update the discriminator in fp32: the penalty's sixth power needs the precision."""
        if self.discriminator is None or self.optimizer is None:
            return {}
        set_rate(self.optimizer, rate * self.part.factor)
        with in_precision(sr, None):
            with torch.no_grad():
                real_levels, fake_levels = self.encoder.levels(batch.hr), self.encoder.levels(sr)
            levels = [level.float().requires_grad_(self.part.penalty) for level in real_levels]
            sentence = batch.conditions[SENTENCE].clone().requires_grad_(self.part.penalty)
            real = self.discriminator(levels, sentence)
            fake = self.discriminator([level.float() for level in fake_levels], sentence.detach())
            other = self.discriminator([level.detach() for level in levels], mismatched(sentence.detach()))
            loss = discriminator_loss(real, fake, other)
            penalty = (
                gradient_penalty(real, levels, sentence) if self.part.penalty else torch.zeros_like(loss)
            )
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss + penalty)
        average_gradients(self.discriminator, self.world)
        self.optimizer.step()
        means = {"real": real, "fake": fake, "other text": other}
        return {
            "discriminator": loss.detach(),
            "penalty": penalty.detach(),
            **{f"logit {name}": logits.detach().mean() for name, logits in means.items()},
        }


def _lettering_l1(sr: Tensor, batch: Batch) -> Tensor:
    """Mean L1 of the pixels that show letters of the captions; 0 if there are none."""
    shown = (batch.conditions[LETTERS] >= 0)[:, None].to(sr.dtype)
    mask = F.interpolate(shown, sr.shape[2:], mode="nearest")
    return ((sr - batch.hr).abs() * mask).sum() / (sr.shape[1] * mask.sum()).clamp(min=1)

"""Training of a text encoder: batches of captions, the learner, and the accuracy of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.words import WordsNetwork
from srkit.data.batches import Batches
from srkit.data.captioned import CaptionedImage
from srkit.data.captions import named_attributes
from srkit.ops.characters import encode
from srkit.rendered import DOMAINS, caption, spec
from srkit.rendered.specs import Spec, Split

UNSAID = -1
"""Value in `TextBatch.labels` of an attribute that a caption does not name."""
_DOMAIN = "domain"
_SEEDS = 2**31
_WORDINGS = 1000


class Attributes:
    """Attributes of all rendered domains that have a few possible values, and the domain itself."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[str, ...]] = {_DOMAIN: tuple(DOMAINS)}
        for domain in DOMAINS:
            for name, attribute in spec(domain, 0).attributes().items():
                if attribute.text is None:
                    self.values[f"{domain} {name}"] = tuple(attribute.phrases)

    @cached_property
    def sizes(self) -> list[int]:
        return [len(values) for values in self.values.values()]

    def labels(self, shown: Spec, text: str) -> list[int]:
        """Indices of the values that a caption of a Spec names, `UNSAID` for the others."""
        said = {f"{shown.domain} {name}": value for name, value in named_attributes(shown, text).items()}
        said[_DOMAIN] = shown.domain
        return [values.index(said[name]) if name in said else UNSAID for name, values in self.values.items()]


@dataclass(frozen=True)
class TextBatch:
    """N captions, the first M of them with images."""

    codes: Tensor
    """(N, L, 5) int64."""
    vectors: Tensor
    """Embeddings of the images, (M, D), of unit length."""
    labels: Tensor
    """Index of each attribute's value, or `UNSAID`; (N, A) int64."""

    def to(self, device: torch.device) -> TextBatch:
        return TextBatch(*(value.to(device) for value in vars(self).values()))


@dataclass(frozen=True)
class TextPlan:
    """Composition of a step; see `srkit.recipes.text.TextDataPart`."""

    images: int
    texts: int
    seed: int
    rank: int = 0
    split: Split = "train"
    """Split of the vocabulary for captions without images."""


class TextSource(Batches[TextBatch]):
    """Batches of captions, each of a random wording.

    Args:
        images: images with captions.
        vectors: embeddings of these images, (P, D).
        length: maximal length of the codes.
    """

    def __init__(
        self, images: Sequence[CaptionedImage], vectors: Tensor, plan: TextPlan, length: int
    ) -> None:
        self.images, self.vectors, self.plan, self._length = images, vectors, plan, length
        self._attributes = Attributes()

    def draw(self, step: int) -> TextBatch:
        """Batch of one step."""
        plan = self.plan
        rng = np.random.default_rng((plan.seed, step, plan.rank))
        chosen = rng.permutation(len(self.images))[: plan.images]
        said: list[tuple[Spec | None, str]] = []
        for number in chosen.tolist():
            image = self.images[number]
            said.append((image.spec, _worded(image.spec, rng) if image.spec else _pick(image.texts, rng)))
        for _ in range(plan.texts):
            shown = spec(_pick(tuple(DOMAINS), rng), int(rng.integers(_SEEDS)), plan.split)
            said.append((shown, _worded(shown, rng)))
        codes = encode([text for _, text in said], self._length)
        longest = max(1, int((codes[:, :, 0] > 0).sum(1).max()))
        unsaid = [UNSAID] * len(self._attributes.sizes)
        labels = [self._attributes.labels(shown, text) if shown else unsaid for shown, text in said]
        return TextBatch(codes[:, :longest], self.vectors[torch.from_numpy(chosen)], torch.tensor(labels))


def _worded(shown: Spec, rng: np.random.Generator) -> str:
    """Caption of a Spec, in full, in short, or as keywords."""
    found = caption(shown, int(rng.integers(_WORDINGS)))
    full = f"{found.short}, {found.detail}" if found.detail else found.short
    return _pick((full, full, found.short, ", ".join(found.keywords)), rng)


def _pick(texts: Sequence[str], rng: np.random.Generator) -> str:
    return texts[int(rng.integers(len(texts)))]


class TextLearner(nn.Module):
    """Contrastive learner that matches captions and images of a batch, with a read-out of the captions' attributes.

    Beside the contrast (Radford et al. 2021, CLIP, Fig. 3), a linear read-out classifies from the sentence's vector the
    attributes that a caption names: the image encoder hardly distinguishes images of the same domain.
    """

    def __init__(self, network: WordsNetwork, temperature: float, weight: float) -> None:
        super().__init__()
        self.network = network
        self.sizes = Attributes().sizes
        self.heads = nn.Linear(network.dim, sum(self.sizes))
        self.temperature, self.weight = temperature, weight

    def forward(self, batch: TextBatch) -> dict[str, Tensor]:
        sentence, _ = self.network(batch.codes)
        unit = F.normalize(sentence[: len(batch.vectors)], dim=1)
        similarity = unit @ batch.vectors.T / self.temperature
        own = torch.arange(len(unit), device=unit.device)
        contrast = (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2
        logits = self.heads(sentence).split(self.sizes, dim=1)
        said = batch.labels != UNSAID
        errors = [
            F.cross_entropy(one, labels, ignore_index=UNSAID, reduction="sum")
            for one, labels in zip(logits, batch.labels.T, strict=True)
        ]
        naming = torch.stack(errors).sum() / said.sum().clamp(min=1)
        right = torch.stack([one.argmax(1) for one in logits], dim=1) == batch.labels
        accuracy = (right & said).sum() / said.sum().clamp(min=1)
        loss = contrast + self.weight * naming
        return {"loss": loss, "contrast": contrast, "naming": naming, "accuracy": accuracy}


@torch.no_grad()
def attribute_accuracy(learner: nn.Module, held_out: TextSource, steps: int, device: torch.device) -> float:
    """Share of the attributes named in held-out captions that are classified correctly."""
    found = [learner(held_out.draw(step).to(device))["accuracy"] for step in range(steps)]
    return float(torch.stack(found).mean())

"""Generator losses of adversarial training: the sum of Cria-CL (Shi et al. 2022, arXiv 2207.12767, Eq. 11), of which a
network with one head uses the first three terms, a term that keeps both heads in use, and one against checkerboard
patterns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from srkit.archs.cria import CriaParts
from srkit.encoders.features import PerceptualFeatures
from srkit.losses.contrast import alignment, uniformity
from srkit.losses.criteria import Criteria, View, Views, Wanted, ssim_distance_map
from srkit.losses.gan import generator_loss
from srkit.losses.images import checkerboard, chroma, feature_l1, l1
from srkit.ops.layout import in_precision
from srkit.recipes.gan import CriaPart, GanWeights

T = TypeVar("T")

HEADS = ("align", "unif")
_PAIR = ("pixel", "perceptual")
OF_HEADS = ("align_pixel", "align_ssim", "unif_perceptual", "unif_adversarial")
"""Terms of one head's image alone."""
_AT = {"align": "align", "unif": "unif", "balance": "mask"} | {
    name: name.partition("_")[0] for name in OF_HEADS
}
"""Part of the network that a term concerns, for terms that do not concern the result."""


@dataclass(frozen=True)
class FeatureExtractors:
    """Frozen networks whose features the losses compare; None for those not needed."""

    perceptual: PerceptualFeatures | None = None
    bottom: PerceptualFeatures | None = None
    """Extractor of the criterion `bottom`; may be the same as `perceptual`."""
    autocast: torch.dtype | None = None
    """Precision of the extractors and the discriminator; None: fp32."""


def criteria_of(cria: CriaPart, head: str) -> tuple[str, ...]:
    """Criteria of a head (`align` or `unif`), the anchor first."""
    return (cria.anchor, *(name for name in getattr(cria, head) if name != cria.anchor))


class GeneratorLosses:
    """Terms with positive weights; `criteria` holds the state of their criteria.

    Args:
        scale: scale of the generator, for terms that depend on its grid.
    """

    def __init__(
        self, weights: GanWeights, cria: CriaPart, extractors: FeatureExtractors, scale: int
    ) -> None:
        self.weights = {name: weight for name, weight in vars(weights).items() if weight > 0}
        self._cria, self._extractors, self._scale = cria, extractors, scale
        self.criteria = {
            head: Criteria(criteria_of(cria, head), raw=cria.raw) for head in HEADS if head in self.weights
        }

    def __call__(
        self, made: CriaParts | Tensor, target: Tensor, discriminator: View, real: Tensor
    ) -> dict[str, Tensor]:
        """Unweighted terms by name, with their graphs, in fp32. Every network runs once per image.

        Args:
            made: output of the generator: (N, 3, H, W), or the parts of a network with two heads.
            target: target images, (N, 3, H, W) in [0, 1].
            discriminator: function from images to logits.
            real: the discriminator's logits of real images, without a graph.
        """
        sr = made if isinstance(made, Tensor) else made.sr
        critic = Once(discriminator, {target: real})
        perceptual = _seen(self._extractors.perceptual, target, self._extractors.autocast)
        terms: dict[str, Tensor] = {}
        if "pixel" in self.weights:
            terms["pixel"] = l1(sr, target)
        if "chroma" in self.weights:
            terms["chroma"] = chroma(sr, target)
        if "perceptual" in self.weights and perceptual is not None:
            with in_precision(sr, self._extractors.autocast):
                terms["perceptual"] = feature_l1(perceptual(sr), perceptual(target))
        with in_precision(sr, self._extractors.autocast):
            terms["adversarial"] = generator_loss(critic(sr), real)
        if "checkerboard" in self.weights:
            terms["checkerboard"] = checkerboard(sr, self._scale)
        if isinstance(made, CriaParts) and "balance" in self.weights:
            terms["balance"] = (made.mask.float().mean() - 0.5).square()
        terms |= self._of_heads(made, target, critic, real, perceptual)
        if isinstance(made, CriaParts) and self.criteria:
            same = self._extractors.bottom is self._extractors.perceptual
            bottom = perceptual if same else _seen(self._extractors.bottom, target, self._extractors.autocast)
            views = Views(
                bottom=_map_of(bottom, 0),
                top=_map_of(perceptual, -1),
                discriminator=critic,
                autocast=self._extractors.autocast,
            )
            terms |= self._compared(made, Wanted(target, views))
        return terms

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Sum of the terms times their weights."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def gradient_norms(self, terms: Mapping[str, Tensor], made: CriaParts | Tensor) -> dict[str, float]:
        """L2 norm, over the whole batch, of each weighted term's gradient at the image it concerns.

        That is the result; for terms of a head its image, for `balance` the mask. The first entry is the norm for the
        pixel and perceptual terms together, as a reference for the others. The terms' graphs are kept.
        """

        def norm(loss: Tensor, at: Tensor) -> float:
            (slope,) = torch.autograd.grad(loss, at, retain_graph=True)
            return float(slope.float().norm())

        sr = made if isinstance(made, Tensor) else made.sr
        pair = {name: terms[name] for name in _PAIR if name in terms}
        found = {" and ".join(pair): norm(self.total(pair), sr)} if len(pair) > 1 else {}
        for name, term in terms.items():
            at = None if isinstance(made, Tensor) else _AT.get(name)
            found[name] = norm(self.weights[name] * term, sr if at is None else getattr(made, at))
        return found

    def _of_heads(
        self,
        made: CriaParts | Tensor,
        target: Tensor,
        judged: View,
        real: Tensor,
        perceptual: Once[list[Tensor]] | None,
    ) -> dict[str, Tensor]:
        """Terms of single heads' images; `judged` and `perceptual` cache their results."""
        align, unif = (made, made) if isinstance(made, Tensor) else (made.align, made.unif)
        terms: dict[str, Tensor] = {}
        if "align_pixel" in self.weights:
            terms["align_pixel"] = l1(align, target)
        if "align_ssim" in self.weights:
            terms["align_ssim"] = ssim_distance_map(align, target).mean()
        with in_precision(unif, self._extractors.autocast):
            if "unif_perceptual" in self.weights and perceptual is not None:
                terms["unif_perceptual"] = feature_l1(perceptual(unif), perceptual(target))
            if "unif_adversarial" in self.weights:
                terms["unif_adversarial"] = generator_loss(judged(unif), real)
        return terms

    def _compared(self, made: CriaParts, wanted: Wanted) -> dict[str, Tensor]:
        """Contrastive terms of the heads."""
        cria, terms = self._cria, {}
        if "align" in self.criteria:
            anchor, *others = self.criteria["align"](made.align, wanted).values()
            terms["align"] = alignment(made.mask, anchor, others, cria.eta, stop_anchor=cria.stop_anchor)
        if "unif" in self.criteria:
            anchor, *others = self.criteria["unif"](made.unif, wanted).values()
            terms["unif"] = uniformity(made.mask, anchor, others, cria.t)
        return terms


class Once(Generic[T]):
    """Function of images with a cache of its results.

    Args:
        of: function.
        known: known results for some images. Images are distinguished by tensor identity.
    """

    def __init__(self, of: Callable[[Tensor], T], known: Mapping[Tensor, T] | None = None) -> None:
        self._of, self._found = of, dict(known or {})

    def __call__(self, images: Tensor) -> T:
        if images not in self._found:
            self._found[images] = self._of(images)
        return self._found[images]


def _seen(
    provider: PerceptualFeatures | None, target: Tensor, autocast: torch.dtype | None
) -> Once[list[Tensor]] | None:
    """Cached features of each image of a step by a provider; those of the target without a graph."""
    if provider is None:
        return None
    features = Once(provider.features)
    with torch.no_grad(), in_precision(target, autocast):
        features(target)
    return features


def _map_of(features: Once[list[Tensor]] | None, index: int) -> View | None:
    return None if features is None else lambda images: features(images)[index]

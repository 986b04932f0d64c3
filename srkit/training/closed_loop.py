"""Loss of self-supervised adaptation: SR that is degraded again, as its LR was, must reproduce LR.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175, Section 3): L_ft = L_rec(R(s E_deg(X), E_img(Y^)), X) + lambda FAR(Y^),
Y^ = M(X). Only M is trained; gradients pass through R, E_img and the encoder of FAR to Y^.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from srkit.archs.reconstructor import Reconstructor
from srkit.data.pairs import Batch
from srkit.losses.reconstruction import Far, ReconstructionLoss, detail_weights
from srkit.ops.layout import in_precision
from srkit.training.controller import Factor, quality_distance


@dataclass(frozen=True)
class ClosedLoop:
    """Frozen networks and weights of the closed loop."""

    network: Reconstructor
    reconstruction: ReconstructionLoss
    far: Far
    factor: Factor
    far_weight: float = 0.0
    """lambda_ft; see `calibrated`."""
    draws: int = 1
    """Factors drawn per image and step, whose losses are averaged; for a controller with much noise."""
    autocast: torch.dtype | None = None
    """Precision of the frozen networks' arithmetic; None: fp32."""

    def terms(
        self, sr: Tensor, lr: Tensor, rng: torch.Generator | None = None, *, weighted: bool = True
    ) -> tuple[Tensor, Tensor]:
        """L_rec, a scalar, and FAR per image (N,).

        Args:
            sr: Y^ (N, 3, s h, s w), float32, not clipped.
            lr: X (N, 3, h, w) in [0, 1]; receives no gradient.
            rng: generator of the controller's noise; None: no noise.
            weighted: weight L_rec by the local detail of X, as in adaptation.
        """
        with torch.no_grad():
            weights = detail_weights(lr) if weighted else None
            seen = quality_distance(self.reconstruction.distance, lr, sr, self.autocast)
            with in_precision(lr, self.autocast):
                estimate = self.network.estimate(lr)
        with in_precision(sr, self.autocast):
            features = self.network.image_features(sr)
        errors = []
        for _ in range(self.draws):
            embedding = estimate.embedding * self.factor(seen, estimate.distance, self.network.embedding, rng)
            with in_precision(sr, self.autocast):
                made = self.network.reconstruct(embedding, features)
            errors.append(self.reconstruction.total(made, lr, weights))
        return torch.stack(errors).mean(), self.far(self.network, sr, features)

    def loss(self, seed: int) -> Callable[[Tensor, Batch], Tensor]:
        """Stateful function of L_ft for `srkit.training.adapt`; the controller's noise is drawn anew in each call."""
        generators: dict[torch.device, torch.Generator] = {}

        def value(sr: Tensor, batch: Batch) -> Tensor:
            device = sr.device
            if device not in generators:
                generators[device] = torch.Generator(device).manual_seed(seed)
            error, regular = self.terms(sr, batch.lr, generators[device])
            return error + self.far_weight * regular.mean() if self.far_weight else error

        return value

    def calibrated(
        self, model: nn.Module, batches: Iterable[Batch], share: float, autocast: torch.dtype | None = None
    ) -> ClosedLoop:
        """Copy with lambda such that the norm of FAR's gradient at Y^ is `share` times that of L_rec.

        Args:
            model: M before adaptation.
            batches: batches over which the norms are averaged.
            share: 0: without FAR.
            autocast: precision of M's arithmetic; None: fp32.
        """
        if share == 0:
            return replace(self, far_weight=0.0)
        lengths = [self._lengths(model, batch, autocast) for batch in batches]
        error, regular = (math.fsum(of) for of in zip(*lengths, strict=True))
        return replace(self, far_weight=share * error / regular if regular > 0 else 0.0)

    def _lengths(self, model: nn.Module, batch: Batch, autocast: torch.dtype | None) -> tuple[float, float]:
        """Norms of both gradients at Y^."""
        with torch.no_grad(), in_precision(batch.lr, autocast):
            made = model(batch.lr, **batch.conditions)
        sr = made.float().requires_grad_(True)
        error, regular = self.terms(sr, batch.lr)
        found = [
            torch.autograd.grad(term, sr, retain_graph=term is error)[0] for term in (error, regular.mean())
        ]
        return float(found[0].norm()), float(found[1].norm())

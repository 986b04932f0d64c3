"""Pairs whose LR images the reconstructor makes: the second way to imitate the degradation of a folder's images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from srkit.conditioning.makers import Conditioning
from srkit.data.batches import Batches
from srkit.data.packed import PackedImages
from srkit.data.pairs import Batch, CropConditions, CropPlan
from srkit.data.unlabelled import UnpairedImage
from srkit.inference.degrader import Degrader
from srkit.ops.layout import RGB, as_rgb, as_tensor
from srkit.progress import Progress
from srkit.tasks.adapt.loop import estimates


class ReconstructedPairs(Batches[Batch]):
    """Crops of clean images, each degraded by the reconstructor as a random image of the folder is.

    The factor of the embeddings is l* (`srkit.training.controller.Controller.neutral`), since the clean images have no
    l of their own.

    Args:
        images: clean images (scale h, scale w, 3).
        plan: plan of the crops.
        lr_images: the folder's images.
        degrader: reconstructor and its controller.
        conditioning: conditioning of the network; conditions of whole images are of one degraded version of each.
    """

    def __init__(
        self,
        images: Sequence[RGB],
        plan: CropPlan,
        lr_images: Sequence[UnpairedImage],
        degrader: Degrader,
        conditioning: Conditioning,
        progress: Progress,
    ) -> None:
        device = next(degrader.network.parameters()).device
        self.plan, self._degrader = plan, degrader
        found = estimates(lr_images, degrader, device)
        self.embeddings = found.embedding
        """(M, D), multiplied by their factors."""
        if degrader.controller is not None:
            dim = found.embedding.shape[1]
            self.embeddings = found.embedding * degrader.controller.neutral(
                found.distance, found.distance, dim
            )
        self.hr = PackedImages(images, device)
        self._sizes = (self.hr.heights // plan.scale, self.hr.widths // plan.scale)
        whole = (self.lr_of(image, number) for number, image in enumerate(images))
        self._conditions = CropConditions(conditioning, whole, len(images), device, progress)

    @torch.no_grad()
    def draw(self, step: int) -> Batch:
        """Batch of one step, with LR in integer levels of 8 bit."""
        plan = self.plan
        crops = plan.draw(self.hr, self._sizes, plan.patch, step, plan.scale)
        hr = self.hr.cut(crops, plan.patch, plan.scale)
        sizes = (self._sizes[0][crops.image], self._sizes[1][crops.image])
        return Batch(self._degraded(hr, step), hr, self._conditions.of(crops, plan.patch, sizes))

    @torch.no_grad()
    def lr_of(self, image: RGB, number: int) -> RGB:
        """LR (h, w, 3) of a whole image (scale h, scale w, 3), a function of the image and the number alone."""
        return as_rgb(self._degraded(as_tensor(image, self.embeddings.device), -1 - number))

    def _degraded(self, hr: Tensor, number: int) -> Tensor:
        draws = np.random.default_rng((self.plan.seed, abs(number), int(number < 0)))
        chosen = torch.from_numpy(draws.integers(len(self.embeddings), size=len(hr)))
        noise = torch.Generator(hr.device).manual_seed(int(draws.integers(2**62)))
        features = self._degrader.image_features(hr)
        lr = self._degrader.reconstruct(self.embeddings[chosen.to(hr.device)], features, noise)
        return ((lr.clamp(0, 1) * 255).round() / 255).contiguous(memory_format=torch.channels_last)

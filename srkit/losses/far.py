"""The feature-alignment regulariser: whether two encoders agree on what an image is made of.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175, Eqs. 9 to 11). T_a and T_m learn to predict the descriptors of a frozen
encoder's maps from those of the image encoder's, on images without flaws; where an image has flaws, or is none, the
prediction fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.archs.reconstructor import Reconstructor
from srkit.encoders.stages import EncoderStage
from srkit.ops.gram import gram_descriptors

AMISS = 1.0
"""By how much descriptors of flawed images are to be predicted too high, in their usual deviations."""


def far(
    predicted: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor], amiss: Tensor | None = None
) -> Tensor:
    """(|T_a S_avg(e_im) - S_avg(e_cl)| + |T_m S_max(e_im) - S_max(e_cl)|) / sqrt(C), of each image.

    Taught on images without flaws alone, as the paper has it, predictions of images with flaws are off only by
    what chance makes of them. They can be trained to be: with `amiss` this is 0 where they are off by that. (To ask for
    a larger FAR of flawed images, whatever way, teaches next to nothing: each is off in another direction.)

    Args:
        predicted: what `Reconstructor.predict` gives, (N, C) twice.
        found: what `Reconstructor.relative` gives, the same.
        amiss: (N,), how much too high predictions should be: 0 of images without flaws, `AMISS` of others. None: 0.

    Returns:
        (N,), float32; some 2 where nothing is predicted but the mean.
    """
    wanted = found if amiss is None else (found[0] + amiss[:, None], found[1] + amiss[:, None])
    apart = [(a - b).float().norm(dim=1) for a, b in zip(predicted, wanted, strict=True)]
    return torch.stack(apart).sum(0) / math.sqrt(predicted[0].shape[1])


@dataclass(frozen=True)
class Far:
    """FAR of images by a reconstructor and the stage of an encoder that it was trained with."""

    stage: EncoderStage
    autocast: torch.dtype | None = None
    """Precision of the encoder's arithmetic, and of E_img's; None: fp32. Descriptors are always taken in fp32."""

    def descriptors(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """S_avg and S_max of the encoder's maps of images (N, 3, H, W) in [0, 1]: (N, C) each, float32."""
        with torch.autocast(pictures.device.type, self.autocast, enabled=self.autocast is not None):
            maps = self.stage.maps(pictures)
        return gram_descriptors(maps)

    def __call__(self, network: Reconstructor, pictures: Tensor, features: Tensor | None = None) -> Tensor:
        """FAR (N,) of images (N, 3, H, W) in [0, 1], with its gradient through both encoders.

        Args:
            features: e_im of the images, where it is known.
        """
        if features is None:
            with torch.autocast(pictures.device.type, self.autocast, enabled=self.autocast is not None):
                features = network.image_features(pictures)
        return far(network.predict(features), network.relative(*self.descriptors(pictures)))

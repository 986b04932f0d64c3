"""CLIP and related models through open_clip: embeddings, and feature maps of CLIP's ResNets."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.encoders.open_clip_weights import load_clip
from srkit.encoders.semantic import OPEN_CLIP, Embedding
from srkit.errors import UsageError
from srkit.ops.layout import in_precision
from srkit.progress import Progress


class OpenClip:
    """`SemanticEncoder` by an open_clip model (Radford et al. 2021, ICML), frozen, fp32.

    Images are preprocessed as in open_clip with resize_mode `squash`, but differentiably and without rounding to 8 bit;
    for square images this equals its default. Tokens are those of the last layer, after its LayerNorm, for
    transformers, and the last stage's map for ResNets.

    Args:
        model: open_clip model name (`ViT-B-32`, `RN50`), with the suffix `-quickgelu` or `-gelu` if a file does not
            determine its activation.
        pretrained: a tag of open_clip for the model (`openai`), else a checkpoint file.
        device: device of the network, which runs in fp32, or in the dtype of a surrounding autocast.
        progress: display of downloads.

    Raises:
        UsageError: no such model, a model without maps, or an undetermined activation.
        ResourceError: the weights are missing, damaged or of another model, or open_clip is not installed.
    """

    def __init__(
        self, model: str, pretrained: str, device: torch.device, progress: Progress | None = None
    ) -> None:
        clip = load_clip(model, pretrained, progress)
        self.name = f"{OPEN_CLIP}:{model}:{pretrained}"
        # The package's version is omitted: the same weights mean the same network in all versions.
        self.version = f"open_clip {clip.label}"
        self._config, self._device = clip.config, device
        self._network: Any = clip.network.to(device)
        self._visual: Any = self._network.visual
        if hasattr(self._visual, "output_tokens"):
            self._visual.output_tokens = True
        side = self._visual.image_size
        self._size: tuple[int, int] = (side, side) if isinstance(side, int) else tuple(side)
        self._interpolation = clip.preprocessing.interpolation
        self._mean, self._std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1)
            for values in (clip.preprocessing.mean, clip.preprocessing.std)
        )
        with torch.no_grad():
            vector, tokens = self._tower(torch.zeros(1, 3, *self._size, device=device))
        self.dim, self.token_channels = vector.shape[1], tokens.shape[1]

    def embed(self, images: Tensor) -> Embedding:
        """Embed images; see `SemanticEncoder`. ViT-B-32: vectors (N, 512) and tokens (N, 768, 7, 7)."""
        with in_precision(self._device, None):
            squares = squash(self._taken(images), self._size, self._interpolation)
        vector, tokens = self._tower((squares - self._mean) / self._std)
        return Embedding(F.normalize(vector.float(), dim=1), tokens.float())

    def stages(self, images: Tensor) -> list[Tensor]:
        """Maps of a ResNet's four stages for images (N, 3, H, W) in [0, 1] at their own size, normalised.

        For RN50: (N, 256, ~H/4, ~W/4), (N, 512, ~H/8, ~W/8), (N, 1024, ~H/16, ~W/16), (N, 2048, ~H/32, ~W/32).

        Raises:
            UsageError: the model's image tower is no ResNet.
        """
        if not hasattr(self._visual, "layer4"):
            raise UsageError(
                f"'{self.name}' has no stages, for its tower is no ResNet; use open_clip:RN50:openai."
            )
        return self._residual_stages((self._taken(images) - self._mean) / self._std)

    def _tower(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (N, D) and a map (N, C, gh, gw) of normalised images of the tower's size."""
        visual = self._visual
        if hasattr(visual, "layer4"):
            tokens = self._residual_stages(x)[-1]
            return visual.attnpool(tokens), tokens
        if not hasattr(visual, "output_tokens"):  # a tower of timm
            out = visual.forward_intermediates(x, indices=1, normalize_intermediates=True, output_fmt="NCHW")
            return out["image_features"], out["image_intermediates"][-1]
        vector, tokens = visual(x)
        if tokens.shape[1] != visual.grid_size[0] * visual.grid_size[1]:
            raise UsageError(
                f"'{self.name}' gives no map of its patches; choose another model, for example ViT-B-32."
            )
        return vector, tokens.transpose(1, 2).unflatten(2, visual.grid_size)

    def _residual_stages(self, x: Tensor) -> list[Tensor]:
        visual = self._visual
        x = visual.stem(x)
        stages = []
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)
            stages.append(x)
        return stages

    def _taken(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise UsageError(
                f"The encoder '{self.name}' was given a tensor of shape {tuple(images.shape)}; it takes "
                "(N, 3, H, W), none of them 0."
            )
        return images.to(self._device, torch.float32)


def squash(x: Tensor, size: tuple[int, int], interpolation: str = "bicubic") -> Tensor:
    """Resize whole images like Pillow, but differentiably and without rounding: first rows, then columns.

    Unlike in `srkit.ops.resize.bicubic`, which follows MATLAB, the kernel is truncated and renormalised at the border
    instead of mirroring the image, and both passes clip overshoot; single pixels of photographs differ by up to 8/255.
    (Pillow 13 starts with the columns of some oblong images, which matters only where a pass clips.)

    Args:
        x: images (N, C, H, W), floating, in [0, 1].
        size: (height, width) of the result.
        interpolation: `bicubic` (a = -0.5) or `bilinear`, antialiased.

    Returns:
        (N, C, height, width) in [0, 1], same dtype.
    """
    # Matrix products, because the backward pass of torch's antialiased resizing is not deterministic on CUDA.
    down, across = (
        _taps(length, wanted, interpolation, x.dtype, x.device)
        for length, wanted in zip(x.shape[2:], size, strict=True)
    )
    return (down @ (x @ across.T).clamp(0, 1)).clamp(0, 1)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # tensors made in inference mode would be unusable in training
def _taps(length: int, wanted: int, interpolation: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix (wanted, length) of one pass: torch's resizing, whose weights are Pillow's, applied to the identity."""
    if wanted == length:
        return torch.eye(length, dtype=dtype, device=device)
    parts = [
        F.interpolate(part[None, None], (wanted, part.shape[1]), mode=interpolation, antialias=True)[0, 0]
        for part in torch.split(torch.eye(length), _COLUMNS, dim=1)
    ]
    return torch.cat(parts, 1).to(device, dtype)


_COLUMNS = 512  # columns of the identity that are resized at a time, to bound memory

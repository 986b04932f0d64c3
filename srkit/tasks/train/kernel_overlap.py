"""Overlap of tiles for the networks of kind `kernels`, for their header."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.diffusion import MAX_STEPS, DiffusionSR
from srkit.archs.dkenet import DKENet
from srkit.archs.info import ArchInfo
from srkit.archs.nbsr import NBSR
from srkit.conditioning.makers import CODES
from srkit.conditioning.values import Condition, Conditions, Noise
from srkit.data.pairs import crop_to_multiple
from srkit.degradation.kernels import covariance_of, gaussian
from srkit.degradation.pca import encode
from srkit.degradation.spatially_variant import blur
from srkit.engine.overlap import measure_overlap
from srkit.ops.layout import as_rgb, as_tensor
from srkit.progress import Progress

# Tiles of 64 LR pixels with this overlap change shipped kernels by 0.1 % on average, and do not change their error.
_KERNELS_SEE = 48  # LR pixels
_SAMPLES = 4
_DIFFUSED = 1  # LR pixels; each window takes many passes
_SIDE = 160  # LR pixels
_WIDTH = 1.0  # eigenvalues of the covariance, in LR pixels times HR pixels


def overlap_of(
    network: nn.Module, info: ArchInfo, images: Sequence[NDArray[Any]], progress: Progress
) -> int | None:
    """Overlap in LR pixels; None for networks that are not tiled.

    For an NBSR and a diffusion model (at its maximal number of steps) it is measured on the largest of the HR `images`
    (H, W, 3) uint8, with uniform blur that is slightly stronger than bicubic.
    """
    if not isinstance(network, (NBSR, DiffusionSR)):
        return min(info.receptive_field, _KERNELS_SEE) if isinstance(network, DKENet) else None
    progress.info("measuring how far tiles must overlap")
    scale, side = info.scale, _SIDE * info.scale
    kernel = gaussian(covariance_of(_WIDTH * scale, _WIDTH * scale, 0.0), scale).float()
    largest = sorted(images, key=lambda image: min(image.shape[:2]), reverse=True)
    samples = []
    for image in largest[:_SAMPLES]:
        hr = as_tensor(crop_to_multiple(image[:side, :side], scale), torch.device("cpu"))
        lr = blur(hr, _everywhere(kernel, hr.shape[2] // scale, hr.shape[3] // scale), scale)
        samples.append(as_rgb(lr))

    basis = network.basis

    def conditioner(image: NDArray[Any]) -> Conditions:
        kernels = _everywhere(kernel, *image.shape[:2])
        codes = Condition(encode(kernels, basis), spatial=True)
        if isinstance(network, NBSR):
            return {CODES: codes}
        depth = Condition(torch.zeros(1, 1, *image.shape[:2]), spatial=True)
        return {CODES: codes, "depth": depth, "noise": Noise(0, scale)}

    if isinstance(network, DiffusionSR):
        network, samples = copy.deepcopy(network), samples[:_DIFFUSED]
        network.steps = MAX_STEPS
        info = network.info
    return measure_overlap(network, info, samples, torch.device("cpu"), conditioner)


def _everywhere(kernel: Tensor, height: int, width: int) -> Tensor:
    """A kernel (21, 21) as a uniform map (1, 441, height, width)."""
    return kernel.reshape(1, -1, 1, 1).expand(-1, -1, height, width)

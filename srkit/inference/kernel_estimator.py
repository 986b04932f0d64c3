"""Per-pixel blur estimation: SVKR (SSR, Lin et al. 2024, Algorithm 1), tiled, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.conditioning.makers import CODES, basis_of
from srkit.conditioning.values import Condition
from srkit.degradation.kernels import SIZE
from srkit.degradation.spatially_variant import blur_codes
from srkit.encoders.depth import DepthProvider, depth_provider, resized
from srkit.engine.device import pick_device
from srkit.engine.runner import Plane
from srkit.errors import UsageError
from srkit.inference.kernel_confidence import confidence
from srkit.inference.kernel_summary import Blur, summary
from srkit.inference.kernel_tiles import KernelTiles
from srkit.inference.runners import Runners, RunSettings
from srkit.io.image import DecodedImage, Pixels
from srkit.io.kernel_map import KernelMap
from srkit.ops.layout import as_tensor
from srkit.progress import Progress, Silent
from srkit.recipes.estimate import DEFAULT_SCALE, EstimateRecipe
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

Watch = Callable[[Tensor, Tensor], None]
TASK = "kernels"
"""Task of weights that estimate kernels."""
LITTLE_CONFIDENCE = 0.05
"""Mean confidence of an image below which a warning is given."""

_DEPTH_SIDE = 1024  # maximum side of a restored image for depth estimation: providers use less
_BAND = 512  # LR rows that are blurred at a time
_POOLED_ROWS = 512  # rows of a restored image that are downscaled at a time


@dataclass(frozen=True)
class Round:
    """Changes by a round of refinement, averaged over the pixels."""

    kernels: float
    """Norm of the codes' change, relative to the norm of the codes before."""
    depth: float
    """Absolute change of the depth map, in [0, 1]."""


@dataclass(frozen=True)
class Estimate:
    """Result of blur estimation for an image."""

    kernels: KernelMap
    blur: Blur
    rounds: tuple[Round, ...]
    """Rounds of refinement, in order."""
    reblur_psnr: float
    """PSNR in dB over all channels of the restored image, blurred with the map and subsampled, against the input."""
    warnings: tuple[str, ...] = ()


class KernelEstimator:
    """Estimator of the kernels of a stream of images; holds the networks on their device.

    Args:
        recipe: settings.
        progress: display of downloads and of the work (see `work`).
        depth: depth provider in place of the recipe's.

    Raises:
        UsageError: an unavailable device, precision, scale or depth provider.
        ResourceError: unavailable weights.
    """

    def __init__(
        self, recipe: EstimateRecipe, progress: Progress | None = None, depth: DepthProvider | None = None
    ) -> None:
        self.recipe, self._progress = recipe, progress or Silent()
        self.device = pick_device(recipe.device)
        self.model, self.restorer = _models(recipe, self._progress)
        self.scale = self.model.info.scale
        self._remarks = _Remarks(self._progress)
        self.depth = depth or depth_provider(recipe.depth, self.device, progress=self._remarks)
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        settings = RunSettings(self.device, recipe.dtype, recipe.tile)
        self._runner = Runners(settings, ("kernels",)).of(self.restorer)
        self._basis = basis_of(self.restorer.network, str(self.restorer.path)).float()
        self._tiles = KernelTiles(self.model, recipe, self.device, self._basis)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the kernel network."""
        return self._tiles.dtype

    @property
    def rounds(self) -> int:
        """Number of refinement rounds; 0 if the depth would be the same in each."""
        return self.recipe.refine if self.depth.sees_images else 0

    @property
    def work(self) -> int:
        """Units of progress per pixel: the passes of both networks."""
        return 2 * (self.rounds + 1)

    @torch.inference_mode()
    def estimate(self, image: DecodedImage, name: str | None = None, watch: Watch | None = None) -> Estimate:
        """Estimate the kernels of an image, and how well they explain it.

        Args:
            image: image; gray is used as three equal channels; alpha is ignored, with a warning.
            name: name of the image, for providers that find depths by name.
            watch: callback with codes (K, h, w) and depth (1, 1, h, w), at the start and after each round.

        Raises:
            SrkitError: no depth of that name, a non-finite result, or insufficient memory.
        """
        rounds: list[Round] = []
        kernels, pixels, warnings = self._kernels(image, name, rounds, watch)
        lr, codes = _tensor(pixels), torch.from_numpy(kernels.codes)
        sr = self._restored(pixels, codes, warnings)
        psnr = _psnr(lr, sr, lambda hr, part: self._blurred(hr, codes[:, part]), self.scale)
        self._progress.advance(image.width * image.height / 1e6)
        return Estimate(kernels, summary(kernels), tuple(rounds), psnr, tuple(dict.fromkeys(warnings)))

    @torch.inference_mode()
    def kernels(self, image: DecodedImage, name: str | None = None) -> KernelMap:
        """Estimate the kernels only, without the restored image and the PSNR.

        Raises:
            SrkitError: as in `estimate`.
        """
        return self._kernels(image, name)[0]

    def _kernels(
        self,
        image: DecodedImage,
        name: str | None,
        rounds: list[Round] | None = None,
        watch: Watch | None = None,
    ) -> tuple[KernelMap, Pixels, list[str]]:
        """Kernels, the image as three channels, and warnings; appends to `rounds`."""
        warnings = self._remarks.messages = [*image.warnings, *_remarks(image, self.scale)]
        colour = image.colour
        pixels = np.repeat(colour, 3, axis=2) if image.is_gray else np.ascontiguousarray(colour)
        size, area = (image.height, image.width), image.width * image.height / 1e6
        lr = _tensor(pixels)
        depth = self._depth_of(lr, size, name)
        found = self._tiles(lr, depth, warnings)
        self._progress.advance(area)
        change: Tensor | None = None
        count = len(self._basis)
        if watch is not None:
            watch(found[:count].clone(), depth)
        for _ in range(self.rounds):
            sr = self._restored(pixels, found[:count], warnings)
            self._progress.advance(area)
            before, depth = depth, self._depth_of(_smaller(sr), size, name)
            new = self._tiles(lr, depth, warnings)
            change = _relative_change(found, new, count)
            found = found.lerp_(new, self.recipe.gamma)  # moments included: they are linear in the kernel
            if rounds is not None:
                moved = self.recipe.gamma * float(change.mean())
                rounds.append(Round(round(moved, 5), round(float((depth - before).abs().mean()), 5)))
            if watch is not None:
                watch(found[:count].clone(), depth)
            self._progress.advance(area)
        known = confidence(lr, change)
        if float(known.mean()) < LITTLE_CONFIDENCE:
            much = "nothing" if not bool(known.any()) else "little"
            warnings.append(
                f"the image is so flat that {much} can be known of its blur; the kernels are guesses"
            )
        kernels = KernelMap(
            codes=found[:count].numpy(),
            basis=self._basis.numpy(),
            covariance=_covariance(found[count:]).numpy(),
            confidence=known.numpy(),
            depth=depth[0, 0].numpy(),
            scale=self.scale,
            model_sha256=self.model.sha256,
        )
        return kernels, pixels, warnings

    def _depth_of(self, image: Tensor, size: tuple[int, int], name: str | None) -> Tensor:
        """Depth (1, 1, h, w) at the LR image's size, in [0, 1], on the CPU."""
        depth = self.depth.estimate(image.to(self.device), name).float().cpu()
        return resized(depth, size).clamp(0, 1)

    def _restored(self, pixels: Pixels, codes: Tensor, warnings: list[str]) -> Pixels:
        """Restore the image by NBSR with codes (K, h, w): (scale h, scale w, 3), of the dtype of `pixels` (h, w, 3)."""
        conditions = {CODES: Condition(codes[None], spatial=True)}
        (plane,) = (p for p in self._runner.run([Plane(pixels, None, conditions)]) if p is not None)
        if plane.error is not None:
            raise plane.error
        warnings.extend(plane.warnings)
        return plane.pixels

    def _blurred(self, hr: Tensor, codes: Tensor) -> Tensor:
        """Blur (1, 3, scale h, scale w) to (1, 3, h, w) with the kernels of codes (K, h, w)."""
        basis = self._basis.to(self.device)
        return blur_codes(hr.to(self.device), codes[None].to(self.device), basis, self.scale).cpu()


class _Remarks:
    """Progress that collects the warnings on the current image, to be reported with it."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self.start, self.advance, self.finish = inner.start, inner.advance, inner.finish
        self.info, self.say = inner.info, inner.say
        self.messages: list[str] | None = None

    def warn(self, message: str) -> None:
        if self.messages is None:
            self._inner.warn(message)
        else:
            self.messages.append(message)


def _models(recipe: EstimateRecipe, progress: Progress) -> tuple[LoadedModel, LoadedModel]:
    """Load DKENet and NBSR of the same scale."""
    known: dict[str, LoadedModel] = {}
    if recipe.model != "auto":
        known["model"] = load_model(recipe.model, task=TASK, progress=progress)
    if recipe.restorer != "auto":
        known["restorer"] = load_model(recipe.restorer, progress=progress)
    scale = recipe.scale or next((m.info.scale for m in known.values()), DEFAULT_SCALE)
    for name, model in known.items():
        if model.info.scale != scale:
            raise UsageError(
                f"`{name}` '{model.name}' is for x{model.info.scale}, and x{scale} was asked for; choose another "
                "or leave `scale` out."
            )
    estimator = known.get("model") or load_model(f"dkenet-x{scale}", task=TASK)
    restorer = known.get("restorer") or load_model(f"nbsr-x{scale}")
    if CODES not in restorer.info.conditioning:
        raise UsageError(
            f"`restorer` '{restorer.name}' is not conditioned on the blur; give an NBSR, or leave it out."
        )
    return estimator, restorer


def _covariance(moments: Tensor) -> Tensor:
    """Covariance (3, h, w) as xx, xy, yy about the centroid, from moments (5, h, w)."""
    x, y, xx, xy, yy = moments
    return torch.stack([xx - x * x, xy - x * y, yy - y * y])


def _relative_change(before: Tensor, after: Tensor, codes: int) -> Tensor:
    """Norm of the codes' change over the norm of the codes, (h, w); nearly that of the kernels."""
    old, new = before[:codes], after[:codes]
    change: Tensor = (new - old).norm(dim=0) / old.norm(dim=0).clamp_min(1e-6)
    return change


def _psnr(lr: Tensor, sr: Pixels, blurred: Callable[[Tensor, slice], Tensor], scale: int) -> float:
    """PSNR of the blurred restored image against the input, computed in bands; infinite if they are equal."""
    height = lr.shape[2]
    margin = math.ceil(SIZE / scale)  # beyond it, a band's own edge has no effect
    error = 0.0
    for top in range(0, height, _BAND):
        bottom = min(height, top + _BAND)
        first, last = max(0, top - margin), min(height, bottom + margin)
        again = blurred(_tensor(sr[first * scale : last * scale]), slice(first, last))
        difference = again[:, :, top - first : bottom - first] - lr[:, :, top:bottom]
        error += float(difference.square().sum(dtype=torch.float64))
    return -10 * math.log10(error / lr.numel()) if error else math.inf


def _smaller(sr: Pixels) -> Tensor:
    """Restored image at the resolution of depth estimation, (1, 3, H', W') in [0, 1]."""
    factor = math.ceil(max(sr.shape[:2]) / _DEPTH_SIDE)
    if factor == 1:
        return _tensor(sr)
    step = factor * max(1, _POOLED_ROWS // factor)
    bands = [_tensor(sr[top : top + step]) for top in range(0, sr.shape[0], step)]
    return torch.cat([F.avg_pool2d(band, factor, ceil_mode=True) for band in bands], dim=2)


def _tensor(pixels: Pixels) -> Tensor:
    """Convert (H, W, 3) to (1, 3, H, W) in [0, 1], contiguous."""
    return as_tensor(pixels, torch.device("cpu")).contiguous()


def _remarks(image: DecodedImage, scale: int) -> list[str]:
    """Warnings on an image before estimation."""
    remarks = []
    if image.has_alpha:
        remarks.append("alpha was ignored")
    if min(image.width, image.height) * scale < SIZE:
        remarks.append(
            f"the image of {image.width} x {image.height} pixels is smaller than a kernel of {SIZE} x {SIZE} at "
            f"x{scale}; its kernels are guesses"
        )
    return remarks

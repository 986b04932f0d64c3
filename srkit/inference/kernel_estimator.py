"""The blur of an image, pixel by pixel: SVKR (SSR, Lin et al. 2024, Algorithm 1), tiled, in bounded memory."""

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
"""Task of the weights that estimate kernels."""
LITTLE_CONFIDENCE = 0.05
"""Mean over the image below which it is said that little is known."""

_DEPTH_SIDE = 1024  # a restored image is looked at no larger than this: providers see less
_BAND = 512  # LR rows that are blurred again at a time
_POOLED_ROWS = 512  # of a restored image, made smaller at a time


@dataclass(frozen=True)
class Round:
    """What a round of refinement changed, mean over the pixels."""

    kernels: float
    """Norm of the difference of the codes, relative to that of the codes before."""
    depth: float
    """Absolute difference of the depth maps, in [0, 1]."""


@dataclass(frozen=True)
class Estimate:
    """What was found out about an image's blur."""

    kernels: KernelMap
    blur: Blur
    rounds: tuple[Round, ...]
    """Rounds of refinement, in their order."""
    reblur_psnr: float
    """In dB, over all channels: the restored image, blurred with the map and subsampled, against the input."""
    warnings: tuple[str, ...] = ()


class KernelEstimator:
    """Everything needed to estimate the kernels of a stream of images; holds the networks on their device.

    Args:
        recipe: what to do.
        progress: shows downloads and the work (see `work`).
        depth: a provider in place of the recipe's.

    Raises:
        UsageError: a device, precision, scale or depth provider that is unavailable.
        ResourceError: weights that are unavailable.
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
        """That the kernels' network runs in."""
        return self._tiles.dtype

    @property
    def rounds(self) -> int:
        """Number of refinement rounds; none where the depth would be the same in each."""
        return self.recipe.refine if self.depth.sees_images else 0

    @property
    def work(self) -> int:
        """Progress that an image's pixel is worth: the passes of both networks."""
        return 2 * (self.rounds + 1)

    @torch.inference_mode()
    def estimate(self, image: DecodedImage, name: str | None = None, watch: Watch | None = None) -> Estimate:
        """The kernels of one image, and how well they explain it.

        Args:
            image: gray is taken as three equal channels; alpha is ignored, which is said.
            name: by which a provider that has depths by name finds this image's.
            watch: called with codes (K, h, w) and depth (1, 1, h, w), at the start and behind each round.

        Raises:
            SrkitError: no depth of that name; a network whose result is not finite; not enough memory.
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
        """The kernels alone: without the restored image that shows how well they explain it.

        Raises:
            SrkitError: as `estimate`.
        """
        return self._kernels(image, name)[0]

    def _kernels(
        self,
        image: DecodedImage,
        name: str | None,
        rounds: list[Round] | None = None,
        watch: Watch | None = None,
    ) -> tuple[KernelMap, Pixels, list[str]]:
        """The kernels, the image as three channels, and warnings; `rounds` is filled."""
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
            found = found.lerp_(new, self.recipe.gamma)  # also of the moments: they are linear in the kernel
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
        """(1, 1, h, w) of the LR image's size, in [0, 1], on the CPU."""
        depth = self.depth.estimate(image.to(self.device), name).float().cpu()
        return resized(depth, size).clamp(0, 1)

    def _restored(self, pixels: Pixels, codes: Tensor, warnings: list[str]) -> Pixels:
        """NBSR's image (scale h, scale w, 3), of the depth of `pixels` (h, w, 3), by codes (K, h, w)."""
        conditions = {CODES: Condition(codes[None], spatial=True)}
        (plane,) = (p for p in self._runner.run([Plane(pixels, None, conditions)]) if p is not None)
        if plane.error is not None:
            raise plane.error
        warnings.extend(plane.warnings)
        return plane.pixels

    def _blurred(self, hr: Tensor, codes: Tensor) -> Tensor:
        """(1, 3, h, w) of (1, 3, scale h, scale w), with the kernels of codes (K, h, w)."""
        basis = self._basis.to(self.device)
        return blur_codes(hr.to(self.device), codes[None].to(self.device), basis, self.scale).cpu()


class _Remarks:
    """Progress whose warnings are those of the image in work, to be reported with it."""

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
    """DKENet and NBSR, of one scale."""
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
    """(3, h, w) xx, xy, yy about the centroid, of moments (5, h, w)."""
    x, y, xx, xy, yy = moments
    return torch.stack([xx - x * x, xy - x * y, yy - y * y])


def _relative_change(before: Tensor, after: Tensor, codes: int) -> Tensor:
    """(h, w): the norm of the codes' difference over that of the codes, which are those of the kernels, nearly."""
    old, new = before[:codes], after[:codes]
    change: Tensor = (new - old).norm(dim=0) / old.norm(dim=0).clamp_min(1e-6)
    return change


def _psnr(lr: Tensor, sr: Pixels, blurred: Callable[[Tensor, slice], Tensor], scale: int) -> float:
    """PSNR of the blurred restored image against the input, band by band; infinite where they are equal."""
    height = lr.shape[2]
    margin = math.ceil(SIZE / scale)  # beyond it, a band's own edge is not seen
    error = 0.0
    for top in range(0, height, _BAND):
        bottom = min(height, top + _BAND)
        first, last = max(0, top - margin), min(height, bottom + margin)
        again = blurred(_tensor(sr[first * scale : last * scale]), slice(first, last))
        difference = again[:, :, top - first : bottom - first] - lr[:, :, top:bottom]
        error += float(difference.square().sum(dtype=torch.float64))
    return -10 * math.log10(error / lr.numel()) if error else math.inf


def _smaller(sr: Pixels) -> Tensor:
    """(1, 3, H', W') in [0, 1]: a restored image at the size that depth is estimated at."""
    factor = math.ceil(max(sr.shape[:2]) / _DEPTH_SIDE)
    if factor == 1:
        return _tensor(sr)
    step = factor * max(1, _POOLED_ROWS // factor)
    bands = [_tensor(sr[top : top + step]) for top in range(0, sr.shape[0], step)]
    return torch.cat([F.avg_pool2d(band, factor, ceil_mode=True) for band in bands], dim=2)


def _tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) to (1, 3, H, W) in [0, 1], contiguous."""
    return as_tensor(pixels, torch.device("cpu")).contiguous()


def _remarks(image: DecodedImage, scale: int) -> list[str]:
    """What a user should know about an image's kernels before they are estimated."""
    remarks = []
    if image.has_alpha:
        remarks.append("alpha was ignored")
    if min(image.width, image.height) * scale < SIZE:
        remarks.append(
            f"the image of {image.width} x {image.height} pixels is smaller than a kernel of {SIZE} x {SIZE} at "
            f"x{scale}; its kernels are guesses"
        )
    return remarks

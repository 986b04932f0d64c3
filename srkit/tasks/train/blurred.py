"""Base of trainings on images with known blur (kinds `kernels`, `diffusion`, `latent`): crops, estimator, noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srkit.archs.dkenet import DKENet
from srkit.archs.info import ArchInfo
from srkit.archs.nbsr import Coded
from srkit.data.batches import Batches
from srkit.data.blurred import BlurPlan, BlurredBatch, BlurredPairs
from srkit.data.pairs import Batch
from srkit.data.photographs import PhotographReader
from srkit.degradation.pca import encode, kernel_basis
from srkit.errors import UsageError
from srkit.ops.layout import RGB, channels_last, in_precision
from srkit.progress import Silent
from srkit.tasks.train.experiment import Experiment, R, check_holdout
from srkit.tasks.train.job import TrainJob, split_files
from srkit.zoo.load import load_model

KERNELS_TASK = "kernels"
VALIDATION_SEED = 1 << 20  # added to the recipe's seed, so that validation draws differ from training
_VALIDATION_SCENES = 24
_NOISE_SEED = 1 << 21  # added to the recipe's seed, for time steps and noise
_CODE_BATCHES = 24  # number of batches for the mean and deviation of the codes


@dataclass(frozen=True)
class Estimator:
    """Frozen network whose estimated kernels replace the true ones, and its entry in the header."""

    network: DKENet
    name: str
    version: str

    @property
    def header(self) -> dict[str, str]:
        return {"kernels": self.name, "kernels version": self.version}


class Source(Batches[Any]):
    """Batches made by a function of the step."""

    def __init__(self, made: Callable[[int], Any]) -> None:
        self._made = made

    def draw(self, step: int) -> Any:
        return self._made(step)


class BlurredExperiment(Experiment[R]):
    """Training on images with known blur, for recipes with `estimator` and `data`."""

    estimator: Estimator | None = None
    validation: list[RGB]

    @property
    def providers(self) -> dict[str, str]:
        """Entry of the providers in the header."""
        return {} if self.estimator is None else self.estimator.header

    @classmethod
    def check_crops(cls, job: TrainJob[R], info: ArchInfo) -> None:
        """Check that the network accepts the crops, and that a plan can be made of the part `data`.

        Raises:
            UsageError: the part `data` is invalid.
        """
        data = job.recipe.data
        check_holdout(data.holdout_every, "data.holdout_every", job)
        blur_plan(job.recipe, info.scale)
        if data.patch % info.multiple_of:
            raise UsageError(
                f"'data.patch' is {data.patch}; it must be a multiple of {info.multiple_of} for this network."
            )
        if data.every > 1:
            raise UsageError(f"'data.every' is {data.every}, and no kernels are compared; leave it out.")

    def noise(self, step: int, shape: Sequence[int], *, spread: bool) -> tuple[Tensor, Tensor]:
        """Time steps in [0, 1) and standard normal noise of a step, functions of the recipe's seed and the step.

        Args:
            shape: shape of the noise, (B, C, h, w).
            spread: evenly spaced times in [0, 1] instead of random ones.

        Returns:
            (B,) and (B, C, h, w), on the CPU.
        """
        seed, count = (self.recipe.seed + _NOISE_SEED, step, self.setting.world.rank), shape[0]
        rng = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
        at = (torch.arange(count) + 0.5) / count if spread else torch.rand(count, generator=rng)
        return at, torch.randn(tuple(shape), generator=rng)

    def load_estimator(self) -> Estimator | None:
        """Load the recipe's estimator on the device; None if the recipe has none.

        Raises:
            UsageError: it is for another scale, or does not estimate kernels.
            ResourceError: its weights cannot be used.
        """
        name = self.recipe.estimator
        if not name:
            return None
        model = load_model(name, task=KERNELS_TASK, progress=self.setting.progress)
        if not isinstance(model.network, DKENet) or model.info.scale != self.info.scale:
            raise UsageError(
                f"The estimator '{name}' is for x{model.info.scale}, and the network for x{self.info.scale}; "
                "choose one for the same scale."
            )
        network = channels_last(model.network, self.setting.device)
        return Estimator(network, model.name, f"sha256 {model.sha256[:12]}")

    def read_images(self, smallest: int) -> tuple[list[RGB], tuple[str, ...]]:
        """Read the training images and set `validation`; return the images and the names of the validation files.

        Raises:
            SrkitError: there are no images.
        """
        setting = self.setting
        reader = PhotographReader(smallest)
        split = split_files(setting.job, self.recipe.data.holdout_every, reader, smallest, setting.progress)
        _, images = reader.read_all(split.rest, setting.progress)
        self.validation = split.images
        return images, tuple(file.name for file in split.files)

    def train_pairs(self, images: list[RGB]) -> BlurredPairs:
        """Training pairs, which differ between processes."""
        setting = self.setting
        plan = blur_plan(self.recipe, self.info.scale, setting.world.rank)
        return BlurredPairs(images, plan, setting.device, setting.progress)

    def validation_pairs(self) -> BlurredPairs:
        """Validation pairs with blur of the same kinds and other draws."""
        plan = blur_plan(self.recipe, self.info.scale)
        seed = (self.recipe.seed + VALIDATION_SEED) % 2**31
        plan = replace(plan, seed=seed, scenes=min(plan.scenes, _VALIDATION_SCENES))
        return BlurredPairs(self.validation, plan, self.setting.device, Silent())

    @torch.no_grad()
    def codes_of(self, batch: BlurredBatch, basis: Tensor) -> Tensor:
        """Codes (B, K, p, p) of the true kernels, or of the estimator's."""
        device = self.setting.device
        if self.estimator is None:
            return encode(batch.kernels, basis.to(batch.kernels.device))
        with in_precision(device, self.autocast):
            return self.estimator.network.codes(batch.lr.to(device), batch.depth.to(device), basis)


def set_codes(network: Coded, pairs: BlurredPairs) -> None:
    """Set a network's PCA basis, and the mean and deviation of the training kernels' codes."""
    count = len(network.basis)
    network.basis.copy_(kernel_basis(network.scale, count))
    drawn = [encode(pairs.draw(step).kernels.cpu(), network.basis) for step in range(_CODE_BATCHES)]
    codes = torch.cat(drawn).transpose(0, 1).reshape(count, -1)
    network.code_mean.copy_(codes.mean(1))
    network.code_deviation.copy_(codes.std(1))


def blur_plan(recipe: Any, scale: int, rank: int = 0) -> BlurPlan:
    """The plan of a recipe with the part `data` of `srkit.recipes.kernels`.

    Raises:
        UsageError: as `BlurPlan`.
    """
    data = recipe.data
    return BlurPlan(scale, data.patch, data.batch, recipe.seed, rank=rank, **vars(data.blur))


def placed(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device, channels_last."""

    def place(x: Tensor) -> Tensor:
        return x.to(device).contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.to(device)

    conditions = {name: place(value) for name, value in batch.conditions.items()}
    return Batch(place(batch.lr), place(batch.hr), conditions)

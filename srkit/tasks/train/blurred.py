"""What trainings on images with known blur share (kinds `kernels`, `diffusion`, `latent`): crops, estimator, noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srkit.archs.dkenet import DKENet
from srkit.archs.info import ArchInfo
from srkit.archs.nbsr import Coded
from srkit.data.blurred import BlurPlan, BlurredBatch, BlurredPairs
from srkit.data.pairs import Batch
from srkit.data.photographs import PhotographReader
from srkit.degradation.pca import encode, kernel_basis
from srkit.errors import UsageError
from srkit.ops.layout import RGB, channels_last
from srkit.progress import Silent
from srkit.tasks.train.experiment import Experiment, R, check_holdout
from srkit.tasks.train.job import TrainJob, split_files
from srkit.zoo.load import load_model

KERNELS_TASK = "kernels"
VALIDATION_SEED = 1 << 20  # beside the recipe's, so that what validates is no draw of the training
_VALIDATION_SCENES = 24
_NOISE_SEED = 1 << 21  # beside the recipe's: of times and noise
_CODE_BATCHES = 24  # that the codes' mean and deviation are measured on


@dataclass(frozen=True)
class Estimator:
    """The frozen network whose kernels take the place of the true ones, and what the header says of it."""

    network: DKENet
    name: str
    version: str

    @property
    def header(self) -> dict[str, str]:
        return {"kernels": self.name, "kernels version": self.version}


@dataclass(frozen=True)
class Source:
    """Draws, as what the trainer takes."""

    draw: Callable[[int], Any]

    def batches(self, first_step: int) -> Iterator[Any]:
        for step in itertools.count(first_step):
            yield self.draw(step)


class BlurredExperiment(Experiment[R]):
    """Training on images with known blur, from the recipe's parts `estimator` and `data`."""

    info: ArchInfo
    estimator: Estimator | None = None
    validation: list[RGB]

    @property
    def autocast(self) -> torch.dtype | None:
        return self.setting.autocast(bf16_ok=self.info.bf16_ok)

    @property
    def providers(self) -> dict[str, str]:
        """What the header says of them."""
        return {} if self.estimator is None else self.estimator.header

    @classmethod
    def check_crops(cls, job: TrainJob[R], info: ArchInfo) -> None:
        """Refuse crops that the network does not take, or that a plan cannot be made of.

        Raises:
            UsageError: what is wrong with the part `data`.
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
        """Times in [0, 1) and standard normal noise of a step, a function of the recipe's seed and the step.

        Args:
            shape: of the noise, (B, C, h, w).
            spread: times that stand side by side in [0, 1], in place of random ones.

        Returns:
            (B,) and (B, C, h, w), on the CPU.
        """
        seed, count = (self.recipe.seed + _NOISE_SEED, step, self.setting.world.rank), shape[0]
        rng = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
        at = (torch.arange(count) + 0.5) / count if spread else torch.rand(count, generator=rng)
        return at, torch.randn(tuple(shape), generator=rng)

    def load_estimator(self) -> Estimator | None:
        """The recipe's, on the device; None where it names none.

        Raises:
            UsageError: it is for another scale, or estimates no kernels.
            ResourceError: weights that cannot be used.
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
        """Images to train on, and the names of those that validate, which `validation` holds.

        Raises:
            SrkitError: none is left.
        """
        setting = self.setting
        reader = PhotographReader(smallest)
        split = split_files(setting.job, self.recipe.data.holdout_every, reader, smallest, setting.progress)
        _, images = reader.read_all(split.rest, setting.progress)
        self.validation = split.images
        return images, tuple(file.name for file in split.files)

    def train_pairs(self, images: list[RGB]) -> BlurredPairs:
        """What is trained on; another for each process."""
        setting = self.setting
        plan = blur_plan(self.recipe, self.info.scale, setting.world.rank)
        return BlurredPairs(images, plan, setting.device, setting.progress)

    def validation_pairs(self) -> BlurredPairs:
        """Blur of the same kinds, other draws."""
        plan = blur_plan(self.recipe, self.info.scale)
        seed = (self.recipe.seed + VALIDATION_SEED) % 2**31
        plan = replace(plan, seed=seed, scenes=min(plan.scenes, _VALIDATION_SCENES))
        return BlurredPairs(self.validation, plan, self.setting.device, Silent())

    @torch.no_grad()
    def codes_of(self, batch: BlurredBatch, basis: Tensor) -> Tensor:
        """Codes (B, K, p, p) of the true kernels, or of those that the estimator finds."""
        device = self.setting.device
        if self.estimator is None:
            return encode(batch.kernels, basis.to(batch.kernels.device))
        with torch.autocast(device.type, self.autocast, enabled=self.autocast is not None):
            return self.estimator.network.codes(batch.lr.to(device), batch.depth.to(device), basis)


def set_codes(network: Coded, pairs: BlurredPairs) -> None:
    """Give a network its basis, and the mean and deviation of the codes of kernels that it will meet."""
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
    """On the device, channels_last."""

    def place(x: Tensor) -> Tensor:
        return x.to(device).contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.to(device)

    conditions = {name: place(value) for name, value in batch.conditions.items()}
    return Batch(place(batch.lr), place(batch.hr), conditions)

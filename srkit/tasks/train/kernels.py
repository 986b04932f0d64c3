"""Training of kernel estimators, kernel-conditioned networks and depth estimators (kind `kernels`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from srkit.archs.depth import CompactDepth
from srkit.archs.dkenet import DKENet
from srkit.archs.info import ArchInfo
from srkit.archs.nbsr import NBSR
from srkit.archs.table import ARCHS, ESTIMATORS, build, info_of
from srkit.data.blurred import BlurredBatch, BlurredPairs
from srkit.data.depth_pairs import DepthPairs, DepthPlan
from srkit.data.pairs import Batch
from srkit.data.scenes import SMALLEST
from srkit.errors import UsageError
from srkit.losses.table import LossContext, build_losses, check_terms, needs_of
from srkit.ops.layout import RGB, channels_last
from srkit.recipes.kernels import KernelsRecipe, Target
from srkit.tasks.train.blurred import (
    KERNELS_TASK,
    VALIDATION_SEED,
    BlurredExperiment,
    Source,
    blur_plan,
    placed,
    set_codes,
)
from srkit.tasks.train.experiment import Experiment, Plan, blank_network, check_holdout
from srkit.tasks.train.job import TrainJob
from srkit.tasks.train.kernel_overlap import overlap_of
from srkit.training.kernels import MEASURES, batch_validator
from srkit.training.state import TrainState, new_state
from srkit.training.trainer import PairStep

NETWORKS: Mapping[Target, type[nn.Module]] = {"kernels": DKENet, "picture": NBSR, "depth": CompactDepth}
"""Class of the network for each target."""
TASKS: Mapping[Target, str] = {"kernels": KERNELS_TASK, "picture": "sr", "depth": "depth"}
"""Task in the header of the weights."""
_SCORES: Mapping[Target, str] = {"kernels": "kernel error", "picture": "psnr", "depth": "depth error"}
_RANK_SEEDS = 1 << 24  # offset between the seeds of a run's processes


class Kernels(BlurredExperiment[KernelsRecipe]):
    """Fit the recipe's target on photographs with known blur, or on layered scenes with known depth."""

    resumes = (*Experiment.resumes, "target")

    @classmethod
    def check(cls, job: TrainJob[KernelsRecipe]) -> None:
        recipe, data = job.recipe, job.recipe.data
        check_holdout(data.holdout_every, "data.holdout_every", job)
        if recipe.target == "depth" and data.patch < SMALLEST:
            raise UsageError(f"'data.patch' is {data.patch}; for depth it must be at least {SMALLEST}.")
        check_terms(recipe.loss, recipe.target)
        if needed := needs_of(recipe.loss):
            raise UsageError(
                f"The recipe's loss needs a {min(needed)} provider, which this training has none of; leave it out."
            )
        info = _checked_network(recipe)
        if recipe.target != "depth":
            blur_plan(recipe, info.scale)

    def plan(self) -> Plan:
        recipe, setting = self.recipe, self.setting
        network = build(recipe.model.arch, recipe.model.arguments)
        self.info = info_of(network)
        started = self.start(network, TASKS[recipe.target])
        if started is not None and isinstance(network, NBSR) and started.info.scale != self.info.scale:
            network.basis.zero_()  # that of another scale; `_train_source` sets the new one
        self.estimator = self.load_estimator()
        blurred = recipe.target != "depth"
        smallest = blur_plan(recipe, self.info.scale).smallest_side if blurred else SMALLEST
        images, held_out = self.read_images(smallest)
        train = self._train_source(network, images)
        channels_last(network, setting.device)
        validation = self._validation_source(network)
        batches = [validation.draw(step) for step in range(recipe.data.judged)]
        score = batch_validator(batches, recipe.target, self.autocast)
        losses = build_losses(recipe.loss, LossContext(setting.device))
        return Plan(
            state=new_state(network, recipe.optim),
            batches=train.batches,
            step=PairStep(losses, recipe.optim.clip_norm, self.autocast),
            validate=MEASURES[recipe.target].of(score),
            optim=recipe.optim,
            run=recipe.run,
            images=len(images),
            held_out=held_out,
        )

    def export(self, state: TrainState) -> None:
        recipe, network = self.recipe, self.trained(state)
        self.save(
            network,
            state,
            scale=self.info.scale,
            task=TASKS[recipe.target],
            overlap=overlap_of(network, self.info, self.validation, self.setting.progress),
            providers=self.providers,
            scores={"held out": {recipe.target: {_SCORES[recipe.target]: self._value(state)}}},
        )

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        """PSNR of crops for the target `picture`; another score for the other targets."""
        value = self._value(state)
        if self.recipe.target == "picture":
            return value, {}
        return None, {_SCORES[self.recipe.target]: value}

    def _value(self, state: TrainState) -> float:
        return round(MEASURES[self.recipe.target].sign * state.best_score, 4)

    def _train_source(self, network: nn.Module, images: list[RGB]) -> Source:
        recipe, setting = self.recipe, self.setting
        if recipe.target == "depth":
            return self._scenes(images, recipe.seed + _RANK_SEEDS * setting.world.rank)
        pairs = self.train_pairs(images)
        if isinstance(network, NBSR) and not bool(network.basis.any()):
            set_codes(network, pairs)
        whole = self._blurred(network, pairs)
        every = recipe.data.every
        return whole if every == 1 else Source(lambda step: _sparse(whole.draw(step), every, step))

    def _validation_source(self, network: nn.Module) -> Source:
        if self.recipe.target == "depth":
            return self._scenes(self.validation, self.recipe.seed + VALIDATION_SEED)
        return self._blurred(network, self.validation_pairs())

    def _scenes(self, images: list[RGB], seed: int) -> Source:
        data, device = self.recipe.data, self.setting.device
        scenes = DepthPairs(images, DepthPlan(data.patch, data.batch, seed % 2**31))
        return Source(lambda step: placed(scenes.draw(step), device))

    def _blurred(self, network: nn.Module, pairs: BlurredPairs) -> Source:
        device = self.setting.device
        return Source(lambda step: placed(self._conditioned(network, pairs.draw(step)), device))

    def _conditioned(self, network: nn.Module, batch: BlurredBatch) -> Batch:
        """Input, target and conditions of the network."""
        if not isinstance(network, NBSR):
            return Batch(batch.lr, batch.kernels, {"depth": batch.depth})
        return Batch(batch.lr, batch.hr, {"codes": self.codes_of(batch, network.basis)})


def _checked_network(recipe: KernelsRecipe) -> ArchInfo:
    """Facts about the recipe's network, checked to be of the class for its target."""
    network = blank_network(recipe.model)
    if not isinstance(network, NETWORKS[recipe.target]):
        suited = next(
            name for name, made in {**ARCHS, **ESTIMATORS}.items() if made is NETWORKS[recipe.target]
        )
        raise UsageError(
            f"The network '{recipe.model.arch}' does not learn the target '{recipe.target}'; set model.arch to "
            f"'{suited}'."
        )
    if recipe.data.every > 1 and recipe.target != "kernels":
        raise UsageError(
            f"'data.every' is {recipe.data.every}, and the target '{recipe.target}' has no kernels to compare; leave "
            "it out."
        )
    if recipe.estimator and recipe.target != "picture":
        raise UsageError(
            f"'estimator' is '{recipe.estimator}', and the target '{recipe.target}' is not conditioned on kernels; "
            "leave it empty."
        )
    return info_of(network)


def _sparse(batch: Batch, every: int, step: int) -> Batch:
    """The batch with the kernels of every n-th pixel, with an offset drawn by the step; see `DKENet.forward`."""
    row, column = np.random.default_rng(step).integers(every, size=2).tolist()
    lattice = torch.tensor([row, column, every])
    return Batch(
        batch.lr, batch.hr[:, :, row::every, column::every], {**batch.conditions, "lattice": lattice}
    )

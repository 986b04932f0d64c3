"""Train kernel estimators, kernel-conditioned networks and depth estimators (kind `kernels`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from srkit.archs.depth import CompactDepth
from srkit.archs.dkenet import DKENet
from srkit.archs.info import ArchInfo
from srkit.archs.nbsr import NBSR
from srkit.archs.table import ARCHS, ESTIMATORS, build, info_of
from srkit.data.blurred import BlurPlan, BlurredBatch, BlurredPairs
from srkit.data.depth_pairs import DepthPairs, DepthPlan
from srkit.data.pairs import Batch
from srkit.data.photographs import PhotographReader
from srkit.data.scenes import SMALLEST
from srkit.degradation.pca import encode, kernel_basis
from srkit.errors import UsageError
from srkit.losses.table import LossContext, build_losses, check_terms, needs_of
from srkit.ops.layout import RGB, channels_last
from srkit.progress import Silent
from srkit.recipes.kernels import KernelsRecipe, Target
from srkit.tasks.train.experiment import Experiment, Plan, check_holdout
from srkit.tasks.train.job import TrainJob, split_files
from srkit.tasks.train.kernel_overlap import overlap_of
from srkit.tasks.train.start import copy_start
from srkit.training.kernels import MEASURES, batch_validator
from srkit.training.state import TrainState, new_state
from srkit.training.trainer import PairStep
from srkit.zoo.load import load_model

NETWORKS: Mapping[Target, type[nn.Module]] = {"kernels": DKENet, "picture": NBSR, "depth": CompactDepth}
"""What learns each target."""
TASKS: Mapping[Target, str] = {"kernels": "kernels", "picture": "sr", "depth": "depth"}
"""The task that the weights' header names."""
_SCORES: Mapping[Target, str] = {"kernels": "kernel error", "picture": "psnr", "depth": "depth error"}
_VALIDATION_SEED = 1 << 20  # beside the recipe's, so that what validates is no draw of the training
_VALIDATION_SCENES = 24
_RANK_SEEDS = 1 << 24  # between the processes of a run
_CODE_BATCHES = 24  # that the codes' mean and deviation are measured on


@dataclass(frozen=True)
class _Estimator:
    """The frozen network whose kernels take the place of the true ones, and what the header says of it."""

    network: DKENet
    name: str
    version: str


@dataclass(frozen=True)
class _Source:
    """Draws, as what the trainer takes."""

    draw: Callable[[int], Batch]

    def batches(self, first_step: int) -> Iterator[Batch]:
        for step in itertools.count(first_step):
            yield self.draw(step)


class Kernels(Experiment[KernelsRecipe]):
    """Fit the recipe's target on photographs with known blur, or on layered scenes with known depth."""

    resumes = (*Experiment.resumes, "target")
    info: ArchInfo
    estimator: _Estimator | None
    validation: list[RGB]

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
            _blur_plan(recipe, info.scale)

    @property
    def autocast(self) -> torch.dtype | None:
        return self.setting.autocast(bf16_ok=self.info.bf16_ok)

    def plan(self) -> Plan:
        recipe, setting = self.recipe, self.setting
        network = build(recipe.model.arch, recipe.model.arguments)
        self.info = info_of(network)
        if recipe.model.start and setting.saved is None:
            started = copy_start(network, recipe.model.start, setting.progress, TASKS[recipe.target])
            if isinstance(network, NBSR) and started.info.scale != self.info.scale:
                network.basis.zero_()  # that of another scale; `_train_source` makes this one's
        self.estimator = self._load_estimator()
        smallest = SMALLEST
        if recipe.target != "depth":
            smallest = _blur_plan(recipe, self.info.scale).smallest_side
        reader = PhotographReader(smallest)
        split = split_files(setting.job, recipe.data.holdout_every, reader, smallest, setting.progress)
        _, images = reader.read_all(split.rest, setting.progress)
        self.validation = split.images
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
            held_out=tuple(file.name for file in split.files),
        )

    def export(self, state: TrainState) -> None:
        recipe, estimator = self.recipe, self.estimator
        network = build(recipe.model.arch, recipe.model.arguments)
        network.load_state_dict(state.best or state.ema.state_dict())
        named = {} if estimator is None else {"kernels": estimator.name, "kernels version": estimator.version}
        self.save(
            network,
            state,
            arch=recipe.model.arch,
            arguments=dict(recipe.model.arguments),
            scale=self.info.scale,
            task=TASKS[recipe.target],
            overlap=overlap_of(network, self.info, self.validation, self.setting.progress),
            providers=named,
            scores={"held out": {recipe.target: {_SCORES[recipe.target]: self._value(state)}}},
        )

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        """The PSNR is that of crops, for the target `picture` alone."""
        value = self._value(state)
        if self.recipe.target == "picture":
            return value, {}
        return None, {_SCORES[self.recipe.target]: value}

    def _value(self, state: TrainState) -> float:
        return round(MEASURES[self.recipe.target].sign * state.best_score, 4)

    def _load_estimator(self) -> _Estimator | None:
        name = self.recipe.estimator
        if not name:
            return None
        model = load_model(name, task=TASKS["kernels"], progress=self.setting.progress)
        if not isinstance(model.network, DKENet) or model.info.scale != self.info.scale:
            raise UsageError(
                f"The estimator '{name}' is for x{model.info.scale}, and the network for x{self.info.scale}; "
                "choose one for the same scale."
            )
        network = channels_last(model.network, self.setting.device)
        return _Estimator(network, model.name, f"sha256 {model.sha256[:12]}")

    def _train_source(self, network: nn.Module, images: list[RGB]) -> _Source:
        recipe, setting = self.recipe, self.setting
        if recipe.target == "depth":
            return self._scenes(images, recipe.seed + _RANK_SEEDS * setting.world.rank)
        plan = _blur_plan(recipe, self.info.scale, setting.world.rank)
        pairs = BlurredPairs(images, plan, setting.device, setting.progress)
        if isinstance(network, NBSR) and not bool(network.basis.any()):
            set_codes(network, pairs)
        whole = self._blurred(network, pairs)
        every = recipe.data.every
        return whole if every == 1 else _Source(lambda step: _sparse(whole.draw(step), every, step))

    def _validation_source(self, network: nn.Module) -> _Source:
        """Blur of the same kinds, other draws."""
        recipe, images = self.recipe, self.validation
        if recipe.target == "depth":
            return self._scenes(images, recipe.seed + _VALIDATION_SEED)
        plan = _blur_plan(recipe, self.info.scale)
        seed = (recipe.seed + _VALIDATION_SEED) % 2**31
        plan = replace(plan, seed=seed, scenes=min(plan.scenes, _VALIDATION_SCENES))
        return self._blurred(network, BlurredPairs(images, plan, self.setting.device, Silent()))

    def _scenes(self, images: list[RGB], seed: int) -> _Source:
        data, device = self.recipe.data, self.setting.device
        scenes = DepthPairs(images, DepthPlan(data.patch, data.batch, seed % 2**31))
        return _Source(lambda step: _placed(scenes.draw(step), device))

    def _blurred(self, network: nn.Module, pairs: BlurredPairs) -> _Source:
        device = self.setting.device
        return _Source(lambda step: _placed(self._conditioned(network, pairs.draw(step)), device))

    def _conditioned(self, network: nn.Module, batch: BlurredBatch) -> Batch:
        """The input, the target, and what the network is conditioned on."""
        if not isinstance(network, NBSR):
            return Batch(batch.lr, batch.kernels, {"depth": batch.depth})
        basis, device = network.basis, self.setting.device
        if self.estimator is None:
            codes = encode(batch.kernels, basis.to(batch.kernels.device))
        else:
            enabled = self.autocast is not None
            with torch.no_grad(), torch.autocast(device.type, self.autocast, enabled=enabled):
                codes = self.estimator.network.codes(batch.lr.to(device), batch.depth.to(device), basis)
        return Batch(batch.lr, batch.hr, {"codes": codes})


def _checked_network(recipe: KernelsRecipe) -> ArchInfo:
    """The facts of the recipe's network, which is of the kind that learns its target."""
    with torch.device("meta"):
        network = build(recipe.model.arch, recipe.model.arguments)
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


def set_codes(network: NBSR, pairs: BlurredPairs) -> None:
    """Give a network its basis, and the mean and deviation of the codes of kernels that it will meet."""
    count = len(network.basis)
    network.basis.copy_(kernel_basis(network.scale, count))
    drawn = [encode(pairs.draw(step).kernels.cpu(), network.basis) for step in range(_CODE_BATCHES)]
    codes = torch.cat(drawn).transpose(0, 1).reshape(count, -1)
    network.code_mean.copy_(codes.mean(1))
    network.code_deviation.copy_(codes.std(1))


def _blur_plan(recipe: KernelsRecipe, scale: int, rank: int = 0) -> BlurPlan:
    data = recipe.data
    return BlurPlan(scale, data.patch, data.batch, recipe.seed, rank=rank, **vars(data.blur))


def _sparse(batch: Batch, every: int, step: int) -> Batch:
    """With the kernels of every n-th pixel alone, from a place that the step draws; see `DKENet.forward`."""
    row, column = np.random.default_rng(step).integers(every, size=2).tolist()
    lattice = torch.tensor([row, column, every])
    return Batch(
        batch.lr, batch.hr[:, :, row::every, column::every], {**batch.conditions, "lattice": lattice}
    )


def _placed(batch: Batch, device: torch.device) -> Batch:
    def place(x: Tensor) -> Tensor:
        return x.to(device).contiguous(memory_format=torch.channels_last)

    conditions = {name: place(value) for name, value in batch.conditions.items()}
    return Batch(place(batch.lr), place(batch.hr), conditions)

"""Training of a diffusion model of NBSR's residual (kind `diffusion`): prior, fusion, and against a discriminator."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srkit.archs.diffusion import DiffusionSR
from srkit.archs.nbsr import NBSR
from srkit.archs.table import build, info_of
from srkit.data.blurred import BlurredPairs
from srkit.data.pairs import Batch
from srkit.errors import UsageError
from srkit.losses.generator import FeatureExtractors, GeneratorLosses
from srkit.ops.layout import channels_last, in_precision
from srkit.recipes.diffusion import DiffusionRecipe
from srkit.recipes.gan import CriaPart, GanWeights
from srkit.tasks.train.blurred import BlurredExperiment, Source, blur_plan, placed, set_codes
from srkit.tasks.train.experiment import Experiment, Plan, blank_network
from srkit.tasks.train.gan import check_discriminator
from srkit.tasks.train.job import TrainJob
from srkit.tasks.train.kernel_overlap import overlap_of
from srkit.training.collapse import CollapseWatch
from srkit.training.diffusion import (
    Denoising,
    DenoisingStep,
    ImagingStep,
    denoising_batch,
    residual_validator,
)
from srkit.training.gan_step import discriminator_optimizer, gan_state
from srkit.training.state import Snapshot, TrainState, new_state
from srkit.training.trainer import Step
from srkit.zoo.load import load_model


@dataclass(frozen=True)
class _Drawn:
    """A batch without noise, in the dtypes in which it is cached."""

    lr: Tensor
    hr: Tensor
    codes: Tensor
    depth: Tensor
    base: Tensor


class Diffusion(BlurredExperiment[DiffusionRecipe]):
    """Fit the U-Net, the fusion of conditions, or both."""

    resumes = (*Experiment.resumes, "learned")

    @classmethod
    def check(cls, job: TrainJob[DiffusionRecipe]) -> None:
        recipe = job.recipe
        network = blank_network(recipe.model)
        if not isinstance(network, DiffusionSR):
            raise UsageError(
                f"The network '{recipe.model.arch}' is no diffusion model; set model.arch to 'diffusion'."
            )
        if recipe.learned == "fusion" and not recipe.model.start:
            raise UsageError(
                "'learned' is 'fusion' and 'model.start' is empty, so that the U-Net would stay untrained; name the "
                "weights of a prior."
            )
        cls.check_crops(job, network.info)
        if recipe.levels[0] >= recipe.levels[1]:
            raise UsageError(f"'levels' is {list(recipe.levels)}; the first must be below the second.")
        _check_loss(recipe, network.scale)

    def plan(self) -> Plan:
        recipe, setting = self.recipe, self.setting
        network = self._network()
        self.estimator = self.load_estimator()
        images, held_out = self.read_images(blur_plan(recipe, self.info.scale).smallest_side)
        pairs = self.train_pairs(images)
        if not bool(network.basis.any()):
            set_codes(network.nbsr, pairs)
        channels_last(network, setting.device)
        frozen = copy.deepcopy(network).eval()  # computes the base with fixed weights, outside of wrappers
        validation = Source(lambda step: self._noised(self._drawn(frozen, held, step), step, spread=True))
        held = self.validation_pairs()
        batches = [validation.draw(step) for step in range(recipe.data.judged)]
        step = self._step()
        adversarial = isinstance(step, ImagingStep)
        state = (
            gan_state(network, recipe.optim, step)
            if isinstance(step, ImagingStep)
            else new_state(network, recipe.optim)
        )
        return Plan(
            state=state,
            batches=self._source(frozen, pairs).batches,
            step=step,
            validate=residual_validator(batches, self.autocast, prior=recipe.learned == "prior"),
            optim=recipe.optim,
            run=recipe.run,
            images=len(images),
            held_out=held_out,
            keeps_best=not adversarial,
            snapshot=Snapshot() if adversarial else None,
        )

    def export(self, state: TrainState) -> None:
        network = self.trained(state)
        self.save(
            network,
            state,
            scale=self.info.scale,
            overlap=overlap_of(network, self.info, self.validation, self.setting.progress),
            providers=self.providers,
            scores={"held out": {"residual": {"rms error": self._error(state)}}},
        )

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        return None, {"residual error": self._error(state)}

    @staticmethod
    def _error(state: TrainState) -> float:
        return round(-state.best_score, 4)

    def _network(self) -> DiffusionSR:
        """The network with its initial weights; parts that are not trained are frozen."""
        recipe, setting = self.recipe, self.setting
        network = build(recipe.model.arch, recipe.model.arguments)
        assert isinstance(network, DiffusionSR)
        self.info = info_of(network)
        if setting.saved is not None:  # the bases of the following batches are made by its NBSR
            network.load_state_dict(setting.saved["network"])
        self.start(network)
        if recipe.nbsr and setting.saved is None:
            _take_nbsr(network.nbsr, recipe.nbsr, self)
        if recipe.learned == "fusion":
            network.unet.requires_grad_(False)
        elif recipe.learned == "prior":
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name.startswith("unet."))
        return network

    def _step(self) -> Step:
        recipe, part, device = self.recipe, self.recipe.discriminator, self.setting.device
        if not recipe.loss.adversarial:
            wrapped = partial(Denoising, prior=recipe.learned == "prior")
            of = (recipe.loss.residual, recipe.loss.features)
            return DenoisingStep(wrapped, "residual", *of, recipe.optim.clip_norm, self.autocast)
        torch.manual_seed(recipe.seed)
        discriminator = channels_last(build(part.arch, part.arguments), device)
        loss = recipe.loss
        weights = GanWeights(
            pixel=loss.pixel,
            perceptual=0.0,
            adversarial=loss.adversarial,
            align=0.0,
            unif=0.0,
            checkerboard=loss.checkerboard,
        )
        extractors = FeatureExtractors(autocast=self.autocast)
        return ImagingStep(
            losses=GeneratorLosses(weights, CriaPart(), extractors, self.info.scale),
            discriminator=discriminator,
            optimizer=discriminator_optimizer(discriminator, part, recipe.optim),
            watch=CollapseWatch(part.patience),
            factor=part.factor,
            clip_norm=recipe.optim.clip_norm,
            autocast=self.autocast,
            world=self.setting.world,
        )

    def _source(self, frozen: DiffusionSR, pairs: BlurredPairs) -> Source:
        """Batches with new noise, of crops that are drawn anew or cached."""
        size = self.recipe.data.cache
        kept: dict[int, _Drawn] = {}

        def draw(step: int) -> Batch:
            if not size:
                return self._noised(self._drawn(frozen, pairs, step), step)
            order = np.random.default_rng((self.recipe.seed, step // size)).permutation(size)
            number = int(order[step % size])
            if number not in kept:
                kept[number] = _packed(self._drawn(frozen, pairs, number))
            return self._noised(_unpacked(kept[number]), step)

        return Source(draw)

    @torch.no_grad()
    def _drawn(self, network: DiffusionSR, pairs: BlurredPairs, step: int) -> _Drawn:
        device = self.setting.device
        batch = pairs.draw(step)
        codes = self.codes_of(batch, network.basis)
        with in_precision(device, self.autocast):
            base = network.base(batch.lr.to(device), codes.to(device)).float()
        return _Drawn(batch.lr, batch.hr, codes, batch.depth, base)

    def _noised(self, drawn: _Drawn, step: int, *, spread: bool = False) -> Batch:
        """The batch with noise, a function of the recipe's seed and the step; `spread`: at evenly spaced levels."""
        at, eps = self.noise(step, drawn.hr.shape, spread=spread)
        low, high = self.recipe.levels
        device = self.setting.device
        lr, hr, codes, depth, base = (value.to(device) for value in vars(drawn).values())
        level = (low + (high - low) * at).to(device)
        return placed(denoising_batch(lr, hr, codes, depth, base, level, eps.to(device)), device)


def _packed(drawn: _Drawn) -> _Drawn:
    """Images as bytes, all other tensors in fp16, on the CPU."""
    images = ((x.cpu() * 255).round().to(torch.uint8) for x in (drawn.lr, drawn.hr))
    return _Drawn(*images, *(x.cpu().half() for x in (drawn.codes, drawn.depth, drawn.base)))


def _unpacked(drawn: _Drawn) -> _Drawn:
    images = (x.float() / 255 for x in (drawn.lr, drawn.hr))
    return _Drawn(*images, *(x.float() for x in (drawn.codes, drawn.depth, drawn.base)))


def _take_nbsr(network: NBSR, name: str, experiment: Diffusion) -> None:
    model = load_model(name, progress=experiment.setting.progress)
    source, target = model.network.state_dict(), network.state_dict()
    same = source.keys() == target.keys() and all(source[n].shape == target[n].shape for n in target)
    if not isinstance(model.network, NBSR) or not same or model.info.scale != network.scale:
        arguments: dict[str, Any] = {} if model.header is None else model.header.arguments
        raise UsageError(
            f"The weights '{name}' are not those of the NBSR that 'model.arguments.nbsr' describes at "
            f"x{network.scale}; it would be {arguments}."
        )
    network.load_state_dict(source)


def _check_loss(recipe: DiffusionRecipe, scale: int) -> None:
    loss = recipe.loss
    if not loss.adversarial:
        if loss.pixel or loss.checkerboard or not loss.residual:
            raise UsageError(
                f"'loss.residual' is {loss.residual:g}, 'loss.pixel' {loss.pixel:g} and 'loss.checkerboard' "
                f"{loss.checkerboard:g} without 'loss.adversarial'; set the first above 0 and the others to 0."
            )
        return
    if recipe.learned == "prior":
        raise UsageError(
            "'loss.adversarial' is of images, and 'learned' is 'prior'; set it to all or fusion."
        )
    check_discriminator(recipe.discriminator, scale, recipe.data.patch)

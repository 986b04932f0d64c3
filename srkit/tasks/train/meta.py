"""Meta-learning of the rates of adaptation (kind `meta`): CDASR's third stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import srkit
from srkit.archs.info import ArchInfo
from srkit.conditioning.makers import SEMANTIC, ModelProviders
from srkit.data.clusters import k_means
from srkit.data.episodes import EpisodePlan, TaskDomain, draw_episode
from srkit.data.examples import Example
from srkit.data.pairs import CropPlan, crop_to_multiple, make_lr
from srkit.data.photographs import PhotographReader
from srkit.data.support import SupportPairs
from srkit.encoders.semantic import SemanticEncoder, semantic_encoder
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.losses.table import LossContext, build_losses, check_terms, needs_of
from srkit.ops.layout import as_tensor, channels_last
from srkit.progress import Progress
from srkit.recipes.meta import MetaRecipe
from srkit.recipes.train import OptimPart, RunPart
from srkit.rendered import render
from srkit.tasks.train.experiment import Experiment, Plan, check_domains, check_holdout
from srkit.tasks.train.job import WEIGHTS, TrainJob, split_files
from srkit.training.inner import InnerRule
from srkit.training.meta import Inner, MetaLearner, sweep
from srkit.training.meta_step import (
    MetaStep,
    episodes,
    gain_validator,
    gains_of,
    learner_of,
    new_meta_state,
)
from srkit.training.state import TrainState
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import save_weights

_PHOTOGRAPHS = "photographs"
_SWEEP_EPISODES = 8


class Meta(Experiment[MetaRecipe]):
    """Fit the rates of adaptation on episodes from many domains; the score is their gain on held-out domains."""

    resumes = ("inner.granularity",)
    base: LoadedModel
    inner: Inner
    tasks: _Tasks

    @classmethod
    def check(cls, job: TrainJob[MetaRecipe]) -> None:
        recipe, tasks = job.recipe, job.recipe.tasks
        if not recipe.start:
            raise UsageError("The recipe names no weights whose rates are to be learned; set start=FILE.")
        check_terms(recipe.loss, "picture")
        check_holdout(tasks.holdout_every, "tasks.holdout_every", job)
        check_domains(tasks.domains, "tasks.domains")
        check_domains(tasks.held_out, "tasks.held_out")
        if both := set(tasks.domains) & set(tasks.held_out):
            raise UsageError(
                f"The domain '{min(both)}' is both trained on and held out; name it in one of the two."
            )
        if tasks.rendered <= tasks.shots:
            raise UsageError(
                f"'tasks.rendered' is {tasks.rendered}; it must be at least {tasks.shots + 1}, above tasks.shots."
            )

    def plan(self) -> Plan:
        recipe, setting = self.recipe, self.setting
        self.base = load_model(recipe.start, progress=setting.progress)
        if self.base.header is None:
            raise ResourceError(
                f"'{self.base.path}' is a foreign checkpoint, which cannot hold learned rates; expected weights of "
                "srkit."
            )
        network = channels_last(self.base.network, setting.device)
        self.tasks = tasks = _Tasks.of(setting.job, self.base, setting.device, setting.progress)
        self.inner = self._inner(network)
        begun = setting.saved is not None
        rate = recipe.inner.rate or (1.0 if begun else self._best_rate(tasks.train))
        learner = MetaLearner(network, rate, recipe.inner.granularity).to(setting.device)
        outer, run = recipe.outer, recipe.run
        return Plan(
            state=new_meta_state(learner, recipe),
            batches=partial(episodes, recipe, tasks.train),
            step=MetaStep(recipe, self.inner),
            validate=gain_validator(recipe, self.inner, tasks.validation),
            # A moving average of decay 0, so that validation uses the rates themselves.
            optim=OptimPart(lr=outer.lr, lr_final=outer.lr_final, warmup_steps=0, steps=outer.steps, ema=0.0),
            run=RunPart(outer.validate_every, run.checkpoint_minutes, precision=run.precision, compile="off"),
            images=tasks.images,
            held_out=tasks.held_out,
            log_every=1,
            rate_key="outer.lr",
        )

    def resume(self, state: TrainState) -> None:
        try:
            super().resume(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise UsageError(
                f"'{self.setting.job.output}' holds a run of other weights; choose another `output`."
            ) from error

    def export(self, state: TrainState) -> None:
        """Write the weights with their rates."""
        recipe, base, job = self.recipe, self.base, self.setting.job
        if base.header is None:
            raise ResourceError(f"'{base.path}' has no header to hand on.")
        learner = learner_of(state.network)
        rates = {
            "rule": recipe.inner.rule,
            "loss": dict(recipe.loss),
            "granularity": recipe.inner.granularity,
            "inner_steps": recipe.inner.steps,
            "sha256": base.sha256,
            "gains": {name: round(gain, 4) for name, gain in self._gains(state).items()},
        }
        header = replace(
            base.header,
            recipe=recipe.name,
            recipe_sha256=recipe.sha256,
            steps=(base.header.steps or 0) + state.step,
            scores={} if recipe.outer.weights_lr > 0 else base.header.scores,
            training_data=job.training_data or base.header.training_data or job.data_words,
            licence=job.licence or base.header.licence,
            rates=rates,
            srkit_version=srkit.__version__,
        )
        log_rates = {name: log.detach().cpu() for name, log in learner.rates.items()}
        save_weights(job.output / WEIGHTS, learner.network, header, rates=log_rates)

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        return None, {f"gain on {name}, dB": gain for name, gain in self._gains(state).items()}

    def _gains(self, state: TrainState) -> dict[str, float]:
        """Gains of the best rates, which are loaded into the learner."""
        learner = learner_of(state.network)
        learner.load_state_dict(state.best or learner.state_dict())
        return gains_of(self.recipe, self.inner, self.tasks.validation, learner)

    def _inner(self, network: nn.Module) -> Inner:
        recipe, setting = self.recipe, self.setting
        encoder = None
        if "semantic" in needs_of(recipe.loss):
            encoder = ModelProviders(setting.device, setting.progress).of(self.base)
        autocast = setting.autocast(bf16_ok=self.base.info.bf16_ok)
        context = LossContext(setting.device, semantic=encoder, autocast=autocast)
        losses = build_losses(recipe.loss, context)
        return Inner(
            network,
            lambda sr, hr: losses(sr, hr)[0],
            InnerRule(recipe.inner.rule),
            recipe.inner.second_order,
            autocast,
        )

    def _best_rate(self, domains: Sequence[TaskDomain]) -> float:
        """Initial uniform rate: the one with the largest drop of the query loss after one step."""
        plan = EpisodePlan(self.recipe.tasks.shots, 1, self.recipe.seed)
        drawn = [draw_episode(domains, plan, number) for number in range(_SWEEP_EPISODES)]
        found = dict(sweep(self.inner, drawn))
        words = ", ".join(f"{rate:g} {drop:+.2e}" for rate, drop in found.items())
        best = max(found, key=lambda rate: found[rate])
        self.setting.progress.info(
            f"drop of the query loss after one step, by rate: {words}; starting from {best:g}"
        )
        return best


@dataclass(frozen=True)
class _Tasks:
    """Training and held-out domains."""

    train: tuple[TaskDomain, ...]
    validation: tuple[TaskDomain, ...]
    images: int
    held_out: tuple[str, ...]

    @classmethod
    def of(
        cls, job: TrainJob[MetaRecipe], base: LoadedModel, device: torch.device, progress: Progress
    ) -> _Tasks:
        recipe, info = job.recipe, base.info
        min_side = recipe.inner.patch * info.scale
        reader = PhotographReader(min_side)
        split = split_files(job, recipe.tasks.holdout_every, reader, min_side, progress)
        kept, photographs = reader.read_all(split.rest, progress)
        made = _Maker(recipe, base, device, progress)
        groups = made.clustered(photographs)
        rendered = {name: made.rendered(name) for name in recipe.tasks.domains}
        train = made.domains({**groups, **rendered})
        unseen = {name: made.rendered(name) for name in recipe.tasks.held_out}
        validation = made.domains({**unseen, _PHOTOGRAPHS: split.images})
        if not train or not validation:
            raise SrkitError(
                f"No domain has more than the {recipe.tasks.shots} images of tasks.shots to "
                f"{'validate on' if train else 'learn from'}; name rendered domains, or give more photographs."
            )
        names = tuple(domain.name for domain in validation)
        progress.info(
            f"learning from {', '.join(f'{d.name} ({d.count})' for d in train)}; validating on {', '.join(names)}"
        )
        return cls(train, validation, len(kept), names)


class _Maker:
    """Factory of domains from images."""

    def __init__(
        self, recipe: MetaRecipe, base: LoadedModel, device: torch.device, progress: Progress
    ) -> None:
        self._recipe, self._base, self._device, self._progress = recipe, base, device, progress
        info: ArchInfo = base.info
        self._scale = info.scale
        self._plan = CropPlan(info.scale, recipe.inner.patch, recipe.inner.batch, recipe.seed)
        self._conditioning = ModelProviders(device, progress).conditioning(base)

    def rendered(self, name: str) -> list[NDArray[np.uint8]]:
        tasks = self._recipe.tasks
        side = max(tasks.rendered_side, self._plan.patch * self._scale)
        return [render(name, side, side, seed) for seed in range(tasks.rendered)]

    def clustered(self, images: Sequence[NDArray[np.uint8]]) -> dict[str, list[NDArray[np.uint8]]]:
        """Photographs by cluster of their embeddings."""
        tasks = self._recipe.tasks
        count = min(tasks.clusters, len(images) // (2 * tasks.shots))
        encoder = self._encoder() if count > 1 else None
        if encoder is None:
            return {_PHOTOGRAPHS: list(images)}
        with torch.no_grad():
            vectors = [encoder.embed(as_tensor(image, self._device)).vector.cpu() for image in images]
        groups = k_means(torch.cat(vectors).double().numpy(), count, seed=self._recipe.seed)
        found: dict[str, list[NDArray[np.uint8]]] = {}
        for image, group in zip(images, groups.tolist(), strict=True):
            found.setdefault(f"{_PHOTOGRAPHS} {group}", []).append(image)
        return found

    def domains(self, images: dict[str, list[NDArray[np.uint8]]]) -> tuple[TaskDomain, ...]:
        """Domains that have more images than a support set."""
        shots = self._recipe.tasks.shots
        return tuple(
            TaskDomain(
                name, SupportPairs(self._examples(name, some), self._plan, self._device, self._conditioning)
            )
            for name, some in images.items()
            if len(some) > shots
        )

    def _encoder(self) -> SemanticEncoder | None:
        name = self._recipe.tasks.encoder
        if name:
            return semantic_encoder(name, self._device, progress=self._progress)
        return self._conditioning.sources.providers.get(SEMANTIC)

    def _examples(self, name: str, images: Sequence[NDArray[np.uint8]]) -> list[Example]:
        cropped = [crop_to_multiple(image, self._scale) for image in images]
        return [Example(f"{name} {i}", hr, make_lr(hr, self._scale)) for i, hr in enumerate(cropped)]

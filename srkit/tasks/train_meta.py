"""Learn the rates that a model adapts with (kind `meta`): CDASR's third stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import srkit
from srkit.archs.info import ArchInfo
from srkit.data.clusters import k_means
from srkit.data.episodes import EpisodePlan, TaskDomain, draw_episode
from srkit.data.examples import Example
from srkit.data.pairs import CropPlan, as_tensor, crop_to_multiple, make_lr, read_training_pictures
from srkit.data.rendered import DOMAINS, render
from srkit.data.support import SupportPairs
from srkit.encoders.semantic import SemanticEncoder, semantic_encoder
from srkit.engine.device import has_fast_bf16, pick_device
from srkit.errors import ResourceError, SrkitError, UsageError, nearest
from srkit.losses.table import LossContext, build_losses, check_terms, needs_of
from srkit.ops.layout import channels_last
from srkit.progress import Progress, Silent
from srkit.recipes.meta import MetaRecipe
from srkit.tasks.conditions import Encoders
from srkit.tasks.providers import is_embedded, telling_for
from srkit.tasks.train_job import WEIGHTS, TrainJob, TrainResult, check_job, prepare_output, split_files
from srkit.training.distributed import local_device, process_group
from srkit.training.inner import InnerRule
from srkit.training.loop import Limits
from srkit.training.meta import Inner, MetaLearner, sweep
from srkit.training.meta_loop import MetaTrainer, new_meta_state
from srkit.training.state import TrainState, read_checkpoint, restore
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import save_weights

_PHOTOGRAPHS = "photographs"
_SWEEP_EPISODES = 8


def check(job: TrainJob[MetaRecipe]) -> None:
    """See `srkit.tasks.train.Task`."""
    check_job(job)
    recipe = job.recipe
    tasks, inner, outer = recipe.tasks, recipe.inner, recipe.outer
    if not recipe.start:
        raise UsageError("The recipe names no weights whose rates are to be learned; give --set start=FILE.")
    check_terms(recipe.loss, "picture")
    for name in (*tasks.domains, *tasks.held_out):
        if name not in DOMAINS:
            raise UsageError(
                f"There is no rendered domain '{name}'; known are {', '.join(DOMAINS)}.{nearest(name, DOMAINS)}"
            )
    if both := set(tasks.domains) & set(tasks.held_out):
        raise UsageError(f"The domain '{min(both)}' both teaches and judges; name it in one of the two.")
    for key, value, least in (
        ("tasks.clusters", tasks.clusters, 0),
        ("tasks.shots", tasks.shots, 1),
        ("tasks.rendered", tasks.rendered, tasks.shots + 1),
        ("inner.steps", inner.steps, 1),
        ("inner.batch", inner.batch, 1),
        ("inner.patch", inner.patch, 1),
        ("outer.steps", outer.steps, 1),
        ("outer.tasks", outer.tasks, 1),
        ("outer.validate_every", outer.validate_every, 1),
        ("outer.judged", outer.judged, 1),
        ("seed", recipe.seed, 0),
    ):
        if value < least:
            raise UsageError(f"'{key}' is {value}; it must be at least {least}.")
    if not 0 < outer.lr < math.inf or not 0 <= outer.weights_lr < math.inf or not 0 <= inner.rate < math.inf:
        raise UsageError(
            f"'outer.lr' is {outer.lr}, 'outer.weights_lr' {outer.weights_lr} and 'inner.rate' {inner.rate}; the first "
            "must be above 0, the others at least 0."
        )


def run(job: TrainJob[MetaRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`."""
    check(job)
    recipe = job.recipe
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    torch.manual_seed(recipe.seed)
    base = load_model(recipe.start, progress=progress)
    if base.header is None:
        raise ResourceError(
            f"'{base.path}' is a foreign checkpoint, which cannot hold learned rates; expected weights of srkit."
        )
    device = local_device(pick_device(job.device))
    network = channels_last(base.network, device)
    saved = read_checkpoint(job.output, device) if job.resume else None
    prepare_output(job)
    with process_group(device) as world:
        tasks = _Tasks.of(job, base, device, progress)
        inner = _inner(recipe, base, network, device, progress)
        rate = recipe.inner.rate or (1.0 if saved else _best_rate(recipe, inner, tasks.teach, progress))
        learner = MetaLearner(network, rate, recipe.inner.granularity).to(device)
        state = new_meta_state(learner, recipe)
        if saved is not None:
            _resume(state, saved, job)
        limits = Limits(recipe.outer.steps, job.minutes)
        trainer = MetaTrainer(
            recipe, inner, tasks.teach, tasks.judge, job.output, limits, device, world, progress
        )
        trainer.run(state)
        learner.load_state_dict(state.best or learner.state_dict())
        gains = trainer.gains(learner)
        if world.is_main:
            _export(job, base, learner, state, gains)
    return TrainResult(
        weights=job.output / WEIGHTS,
        steps=state.step,
        seconds=state.seconds,
        validation_psnr=None,
        pictures=tasks.pictures,
        held_out=tasks.held_out,
        scores={f"gain on {name}, dB": gain for name, gain in gains.items()},
    )


def _resume(state: TrainState, saved: dict[str, object], job: TrainJob[MetaRecipe]) -> None:
    try:
        restore(state, saved)
    except (RuntimeError, ValueError, KeyError) as error:
        raise UsageError(
            f"'{job.output}' holds a run of other weights or of another granularity; choose another -o."
        ) from error


def _inner(
    recipe: MetaRecipe, base: LoadedModel, network: nn.Module, device: torch.device, progress: Progress
) -> Inner:
    encoder = Encoders(device, progress).of(base) if "semantic" in needs_of(recipe.loss) else None
    precision, info = recipe.run.precision, base.info
    fast = precision == "bf16" or (precision == "auto" and has_fast_bf16(device))
    autocast = torch.bfloat16 if fast and info.bf16_ok else None
    losses = build_losses(recipe.loss, LossContext(device, semantic=encoder, autocast=autocast))
    return Inner(
        network,
        lambda sr, hr: losses(sr, hr)[0],
        InnerRule(recipe.inner.rule),
        recipe.inner.second_order,
        autocast,
    )


def _best_rate(recipe: MetaRecipe, inner: Inner, domains: Sequence[TaskDomain], progress: Progress) -> float:
    """The uniform rate to start from: the one with the largest drop of the query loss after one step."""
    plan = EpisodePlan(recipe.tasks.shots, 1, recipe.seed)
    episodes = [draw_episode(domains, plan, number) for number in range(_SWEEP_EPISODES)]
    found = dict(sweep(inner, episodes))
    words = ", ".join(f"{rate:g} {drop:+.2e}" for rate, drop in found.items())
    best = max(found, key=lambda rate: found[rate])
    progress.info(f"drop of the query loss after one step, by rate: {words}; starting from {best:g}")
    return best


@dataclass(frozen=True)
class _Tasks:
    """Domains that teach and that judge."""

    teach: tuple[TaskDomain, ...]
    judge: tuple[TaskDomain, ...]
    pictures: int
    held_out: tuple[str, ...]

    @classmethod
    def of(
        cls, job: TrainJob[MetaRecipe], base: LoadedModel, device: torch.device, progress: Progress
    ) -> _Tasks:
        recipe, info = job.recipe, base.info
        files, others = split_files(job, recipe.tasks.holdout_every)
        least = recipe.inner.patch * info.scale
        kept, photographs = read_training_pictures(files, least, progress)
        made = _Maker(recipe, base, device, progress)
        groups = made.clustered(photographs)
        rendered = {name: made.rendered(name) for name in recipe.tasks.domains}
        teach = made.domains({**groups, **rendered})
        judging = {name: made.rendered(name) for name in recipe.tasks.held_out}
        _, held_out = read_training_pictures(others, least, Silent()) if others else ([], [])
        judge = made.domains({**judging, _PHOTOGRAPHS: held_out})
        if not teach or not judge:
            raise SrkitError(
                f"No domain has more than the {recipe.tasks.shots} pictures of tasks.shots to "
                f"{'judge by' if teach else 'learn from'}; name rendered domains, or give more photographs."
            )
        names = tuple(domain.name for domain in judge)
        progress.info(
            f"learning from {', '.join(f'{d.name} ({d.count})' for d in teach)}; judging by {', '.join(names)}"
        )
        return cls(teach, judge, len(kept), names)


class _Maker:
    """Makes domains of pictures."""

    def __init__(
        self, recipe: MetaRecipe, base: LoadedModel, device: torch.device, progress: Progress
    ) -> None:
        self._recipe, self._base, self._device, self._progress = recipe, base, device, progress
        info: ArchInfo = base.info
        self._scale = info.scale
        self._plan = CropPlan(info.scale, recipe.inner.patch, recipe.inner.batch, recipe.seed)
        self._own = Encoders(device, progress).of(base) if is_embedded(info) else None
        self._telling = telling_for(info, self._own)

    def rendered(self, name: str) -> list[NDArray[np.uint8]]:
        tasks = self._recipe.tasks
        side = max(tasks.rendered_side, self._plan.patch * self._scale)
        return [render(name, side, side, seed) for seed in range(tasks.rendered)]

    def clustered(self, pictures: Sequence[NDArray[np.uint8]]) -> dict[str, list[NDArray[np.uint8]]]:
        """Photographs by the groups that the encoder puts them into."""
        tasks = self._recipe.tasks
        count = min(tasks.clusters, len(pictures) // (2 * tasks.shots))
        encoder = self._encoder() if count > 1 else None
        if encoder is None:
            return {_PHOTOGRAPHS: list(pictures)}
        with torch.no_grad():
            vectors = [encoder.embed(as_tensor(picture, self._device)).vector.cpu() for picture in pictures]
        groups = k_means(torch.cat(vectors).double().numpy(), count, seed=self._recipe.seed)
        found: dict[str, list[NDArray[np.uint8]]] = {}
        for picture, group in zip(pictures, groups.tolist(), strict=True):
            found.setdefault(f"{_PHOTOGRAPHS} {group}", []).append(picture)
        return found

    def domains(self, pictures: dict[str, list[NDArray[np.uint8]]]) -> tuple[TaskDomain, ...]:
        """Those with more pictures than an episode adapts on."""
        shots = self._recipe.tasks.shots
        return tuple(
            TaskDomain(
                name, SupportPairs(self._examples(name, some), self._plan, self._device, self._telling)
            )
            for name, some in pictures.items()
            if len(some) > shots
        )

    def _encoder(self) -> SemanticEncoder | None:
        name = self._recipe.tasks.encoder
        return semantic_encoder(name, self._device, progress=self._progress) if name else self._own

    def _examples(self, name: str, pictures: Sequence[NDArray[np.uint8]]) -> list[Example]:
        cropped = [crop_to_multiple(picture, self._scale) for picture in pictures]
        return [Example(f"{name} {i}", hr, make_lr(hr, self._scale)) for i, hr in enumerate(cropped)]


def _export(
    job: TrainJob[MetaRecipe],
    base: LoadedModel,
    learner: MetaLearner,
    state: TrainState,
    gains: dict[str, float],
) -> Path:
    """The weights with their rates beside them."""
    recipe = job.recipe
    if base.header is None:
        raise ResourceError(f"'{base.path}' has no header to hand on.")
    rates = {
        "rule": recipe.inner.rule,
        "loss": dict(recipe.loss),
        "granularity": recipe.inner.granularity,
        "inner_steps": recipe.inner.steps,
        "sha256": base.sha256,
        "gains": {name: round(gain, 4) for name, gain in gains.items()},
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
    path = job.output / WEIGHTS
    log_rates = {name: log.detach().cpu() for name, log in learner.rates.items()}
    save_weights(path, learner.network, header, rates=log_rates)
    return path

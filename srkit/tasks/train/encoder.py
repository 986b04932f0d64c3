"""Training of a feature network without labels, on photographs and rendered domains (kind `encoder`)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from srkit.archs.table import build
from srkit.data.batches import Batches
from srkit.data.photographs import PhotographReader
from srkit.data.views import SMALLEST, ViewPlan, ViewSource
from srkit.errors import UsageError
from srkit.ops.layout import RGB, channels_last
from srkit.progress import Progress
from srkit.recipes.diagnose import DiagnoseDataPart
from srkit.recipes.encoder import EncoderDataPart, EncoderRecipe
from srkit.recipes.load import to_mapping
from srkit.recipes.train import RunPart
from srkit.rendered import render
from srkit.tasks.train.experiment import Experiment, Plan, Setting, check_domains, check_untrained
from srkit.tasks.train.job import TrainJob, split_files
from srkit.training.encoder import LOSS, EncoderStep, loss_validator, measure_scales
from srkit.training.learners import TASKS, make_learner
from srkit.training.state import TrainState, new_state


@dataclass(frozen=True)
class _Images:
    """Training and validation images of a run; rendered images by domain."""

    photographs: list[RGB]
    rendered: list[list[RGB]]
    validation: list[RGB]
    validation_rendered: list[list[RGB]]
    held_out: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.photographs) + sum(map(len, self.rendered))


def learner_plan(
    setting: Setting[Any],
    learner: nn.Module,
    source: Batches[Any],
    held_out: Batches[Any],
    images: int,
    names: tuple[str, ...],
) -> Plan:
    """Plan of a training whose learner computes the loss itself; the score is the negative loss on held-out batches.

    Args:
        learner: on the run's device; maps a batch to its terms, `loss` among them.
        images: number of training images.
        names: names of the validation images.
    """
    recipe, run, autocast = setting.recipe, setting.recipe.run, setting.autocast()

    def batches(first_step: int) -> Iterator[Any]:
        return (batch.to(setting.device) for batch in source.batches(first_step))

    return Plan(
        state=new_state(learner, recipe.optim),
        batches=batches,
        step=EncoderStep(recipe.optim.clip_norm, autocast),
        validate=LOSS.of(loss_validator(held_out, setting.device, autocast)),
        optim=recipe.optim,
        run=RunPart(run.validate_every, run.checkpoint_minutes, precision=run.precision, compile="off"),
        images=images,
        held_out=names,
    )


class Encoder(Experiment[EncoderRecipe]):
    """Fit a feature network by the recipe's objective; the score is the negative loss on held-out images."""

    resumes = (*Experiment.resumes, "objective")
    images: _Images

    @classmethod
    def check(cls, job: TrainJob[EncoderRecipe]) -> None:
        recipe = job.recipe
        check_untrained(job)
        if not recipe.data.sides:
            raise UsageError("'data.sides' is []; it must name at least one side, none below 32.")
        check_domains(recipe.data.domains, "data.domains")

    def plan(self) -> Plan:
        recipe, data, setting = self.recipe, self.recipe.data, self.setting
        network = build(recipe.model.arch, recipe.model.arguments)
        self.images = images = self._load_images()
        learner = channels_last(make_learner(network, recipe, images.count), setting.device)
        plan = ViewPlan(data.pictures, data.degraded, data.sides, recipe.seed, setting.world.rank)
        views = ViewSource(images.photographs, images.rendered, plan)
        fixed = ViewPlan(data.pictures, data.degraded, data.sides, recipe.seed)
        held_out = ViewSource(images.validation, images.validation_rendered, fixed)
        return learner_plan(setting, learner, views, held_out, images.count, images.held_out)

    def resume(self, state: TrainState) -> None:
        super().resume(state)
        if self.setting.saved is not None:
            before, now = self.setting.saved["recipe"], to_mapping(self.recipe)
            if any(before.get(key) != now[key] for key in ("temperature", "quality", "data")):
                state.best, state.best_score = (
                    None,
                    -math.inf,
                )  # its loss was another sum, or over other views

    def export(self, state: TrainState) -> None:
        """Write the network without the learner's heads."""
        recipe, learner = self.recipe, state.ema
        learner.load_state_dict(state.best or learner.state_dict())
        network = cast(nn.Module, learner.network).cpu()
        measure_scales(network, self.images.validation)
        self.save(
            network,
            state,
            scale=1,
            task=TASKS[recipe.objective],
            normalisation="x * 4 - 2",
            scores={"held out": {"views": {"loss": round(-state.best_score, 4)}}},
        )

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        return None, {"loss": -state.best_score}

    def _load_images(self) -> _Images:
        data, progress = self.recipe.data, self.setting.progress
        reader = PhotographReader(SMALLEST)
        split = split_files(self.setting.job, data.holdout_every, reader, SMALLEST, progress)
        _, photographs = reader.read_all(split.rest, progress)
        rendered, held_out = rendered_split(data, progress)
        names = tuple(file.name for file in split.files)
        return _Images(photographs, rendered, split.images, held_out, names)


def rendered_split(
    data: EncoderDataPart | DiagnoseDataPart, progress: Progress
) -> tuple[list[list[RGB]], list[list[RGB]]]:
    """Images of the rendered domains of a recipe's part `data`, by domain: for training, and for validation."""
    held_out = max(1, data.rendered // data.holdout_every)
    seeds, side = range(data.rendered + held_out), data.rendered_side
    progress.start("rendering", len(data.domains) * len(seeds))
    images: list[list[RGB]] = []
    for domain in data.domains:
        images.append([])
        for seed in seeds:
            images[-1].append(render(domain, side, side, seed))
            progress.advance()
    progress.finish()
    return [some[held_out:] for some in images], [some[:held_out] for some in images]

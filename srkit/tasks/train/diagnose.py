"""Training of a network that classifies images as damaged or clean (kind `diagnose`)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, cast

from srkit.archs.diagnose import DiagnoseNetwork
from srkit.archs.table import build
from srkit.data.damaged import SPARE, DamagePlan, DamagePool
from srkit.data.photographs import PhotographReader
from srkit.errors import UsageError
from srkit.ops.layout import RGB, channels_last
from srkit.recipes.degradation import second_order_settings
from srkit.recipes.diagnose import DiagnoseRecipe
from srkit.tasks.train.encoder import learner_plan, rendered_split
from srkit.tasks.train.experiment import Experiment, Plan, check_domains, check_untrained
from srkit.tasks.train.job import TrainJob, split_files
from srkit.training.diagnose import DiagnoseLearner, calibrate, standardise
from srkit.training.state import TrainState

_VALIDATED = 256
"""Crops per validation batch."""


class Diagnose(Experiment[DiagnoseRecipe]):
    """Fit the network on clean and damaged crops; the score is the negative loss on crops of held-out images."""

    _clean: list[RGB]

    @classmethod
    def check(cls, job: TrainJob[DiagnoseRecipe]) -> None:
        recipe = job.recipe
        if recipe.model.arch != "diagnose":
            raise UsageError(
                f"'model.arch' is '{recipe.model.arch}'; the kind diagnose trains the network 'diagnose': name it."
            )
        check_untrained(job)
        second_order_settings(recipe.data.degradation)
        check_domains(recipe.data.domains, "data.domains")

    def plan(self) -> Plan:
        recipe, data, setting = self.recipe, self.recipe.data, self.setting
        progress = setting.progress
        smallest = data.side + SPARE
        reader = PhotographReader(smallest)
        split = split_files(setting.job, data.holdout_every, reader, smallest, progress)
        _, photographs = reader.read_all(split.rest, progress)
        by_domain, held_by_domain = rendered_split(data, progress)
        rendered, held_rendered = (list(itertools.chain(*some)) for some in (by_domain, held_by_domain))
        judged = itertools.compress(held_by_domain, (domain in data.judged for domain in data.domains))
        self._clean = [*split.images, *itertools.chain(*judged)]
        settings = second_order_settings(data.degradation)
        plan = DamagePlan(
            data.side,
            data.sizes,
            settings,
            data.mildest,
            data.strong,
            data.batch,
            recipe.seed,
            setting.world.rank,
        )
        pool = DamagePool(photographs, rendered, data.crops, plan, progress)
        fixed = replace(plan, batch=_VALIDATED, rank=0)
        held_out = DamagePool(
            split.images, held_rendered, max(16, data.crops // data.holdout_every), fixed, progress
        )
        network = cast(DiagnoseNetwork, build(recipe.model.arch, self.arguments))
        standardise(network, pool.damaged)
        learner = channels_last(DiagnoseLearner(network), setting.device)
        images = len(photographs) + len(rendered)
        names = tuple(file.name for file in split.files)
        return learner_plan(setting, learner, pool, held_out, images, names)

    def export(self, state: TrainState) -> None:
        """Write the network, with its threshold at a logit of 0."""
        learner: Any = state.ema
        learner.load_state_dict(state.best or learner.state_dict())
        network: DiagnoseNetwork = learner.network.cpu()
        calibrate(network, self._clean, self.recipe.data.false_alarms)
        self.save(
            network,
            state,
            scale=1,
            task="diagnose",
            normalisation="levels of 8 bit in luma and colour",
            scores={"held out": {"crops": {"loss": round(-state.best_score, 4)}}},
        )

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        return None, {"loss": -state.best_score}

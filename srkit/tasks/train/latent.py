"""Train what fuses conditions into a frozen latent diffusion model (kind `latent`)."""

from __future__ import annotations

import torch

from srkit.archs.info import PRIOR
from srkit.archs.latent_fusion import LatentFusion
from srkit.archs.table import build, info_of
from srkit.conditioning.makers import PROVIDERS
from srkit.data.blurred import BlurredPairs
from srkit.data.pairs import Batch
from srkit.ops.layout import channels_last
from srkit.recipes.latent import LatentRecipe
from srkit.tasks.train.blurred import BlurredExperiment, Source, checked_network, placed, set_codes
from srkit.tasks.train.experiment import Experiment, Plan
from srkit.tasks.train.job import TrainJob
from srkit.training.latent import NOISE_ERROR, noise_step, noise_validator
from srkit.training.state import TrainState, new_state

_TIMES = 1000  # of the prior's training


class Latent(BlurredExperiment[LatentRecipe]):
    """Fit encoders and AMFs around a prior, which stays as it is and out of the weights."""

    resumes = (*Experiment.resumes, "prior")

    @classmethod
    def check(cls, job: TrainJob[LatentRecipe]) -> None:
        checked_network(job, LatentFusion, "latent_fusion")

    def plan(self) -> Plan:
        recipe, setting = self.recipe, self.setting
        network = build(recipe.model.arch, recipe.model.arguments)
        assert isinstance(network, LatentFusion)
        self.info = info_of(network)
        self.start(network)
        self.prior = PROVIDERS[PRIOR](recipe.prior, setting.device, setting.progress)
        network.attach(self.prior)  # type: ignore[arg-type]
        self.estimator = self.load_estimator()
        images, held_out = self.read_images()
        pairs = self.train_pairs(images)
        if not bool(network.basis.any()):
            set_codes(network, pairs)
        channels_last(network, setting.device)
        held = self.validation_pairs()
        batches = [self._noised(network, held, step, spread=True) for step in range(recipe.data.judged)]
        return Plan(
            state=new_state(network, recipe.optim),
            batches=Source(lambda step: self._noised(network, pairs, step)).batches,
            step=noise_step(recipe.features, recipe.optim.clip_norm, self.autocast),
            validate=NOISE_ERROR.of(noise_validator(batches, self.autocast)),
            optim=recipe.optim,
            run=recipe.run,
            images=len(images),
            held_out=held_out,
        )

    def export(self, state: TrainState) -> None:
        named = {PRIOR: self.prior.name, f"{PRIOR} version": self.prior.version}
        self.save(
            self.result(state),
            state,
            providers=named | ({} if self.estimator is None else self.estimator.header),
            scores={"held out": {"noise": {"mean square error": self._error(state)}}},
        )

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        return None, {"noise error": self._error(state)}

    @staticmethod
    def _error(state: TrainState) -> float:
        return round(-state.best_score, 4)

    @torch.no_grad()
    def _noised(
        self, network: LatentFusion, pairs: BlurredPairs, step: int, *, spread: bool = False
    ) -> Batch:
        """A batch with the step's times and noise; see `noise`."""
        device, batch = self.setting.device, pairs.draw(step)
        codes = self.codes_of(batch, network.basis).to(device)
        latent = network.prior.encode(batch.hr.to(device))
        at, eps = self.noise(latent.shape, step, spread=spread)
        conditions = {
            "codes": codes,
            "depth": batch.depth,
            "latent": latent,
            "time": (at * _TIMES).long(),
            "eps": eps,
        }
        return placed(Batch(batch.lr, batch.hr, conditions), device)

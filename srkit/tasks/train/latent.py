"""Training of the fusion of conditions into a frozen latent diffusion model (kind `latent`)."""

from __future__ import annotations

import torch

from srkit.archs.info import PRIOR
from srkit.archs.latent_fusion import LatentFusion
from srkit.archs.table import build, info_of
from srkit.conditioning.makers import PROVIDERS
from srkit.data.blurred import BlurredPairs
from srkit.data.pairs import Batch
from srkit.errors import UsageError
from srkit.ops.layout import channels_last
from srkit.recipes.latent import LatentRecipe
from srkit.tasks.train.blurred import BlurredExperiment, Source, blur_plan, placed, set_codes
from srkit.tasks.train.experiment import Experiment, Plan, blank_network
from srkit.tasks.train.job import TrainJob
from srkit.training.diffusion import DenoisingStep
from srkit.training.latent import NOISE_ERROR, NoiseEstimate, noise_validator
from srkit.training.state import TrainState, new_state

_TIMES = 1000  # number of time steps in the prior's training


class Latent(BlurredExperiment[LatentRecipe]):
    """Fit encoders and AMFs around a frozen prior, which is not part of the weights."""

    resumes = (*Experiment.resumes, "prior")

    @classmethod
    def check(cls, job: TrainJob[LatentRecipe]) -> None:
        recipe = job.recipe
        network = blank_network(recipe.model)
        if not isinstance(network, LatentFusion):
            raise UsageError(
                f"The network '{recipe.model.arch}' is no latent fusion; set model.arch to 'latent_fusion'."
            )
        cls.check_crops(job, network.info)

    def plan(self) -> Plan:
        recipe, setting = self.recipe, self.setting
        network = build(recipe.model.arch, recipe.model.arguments)
        assert isinstance(network, LatentFusion)
        self.info = info_of(network)
        self.start(network)
        self.prior = PROVIDERS[PRIOR](recipe.prior, setting.device, setting.progress)
        network.attach(self.prior)  # type: ignore[arg-type]
        self.estimator = self.load_estimator()
        images, held_out = self.read_images(blur_plan(recipe, network.scale).smallest_side)
        pairs = self.train_pairs(images)
        if not bool(network.basis.any()):
            set_codes(network, pairs)
        channels_last(network, setting.device)
        held = self.validation_pairs()
        batches = [self._noised(network, held, step, spread=True) for step in range(recipe.data.judged)]
        return Plan(
            state=new_state(network, recipe.optim),
            batches=Source(lambda step: self._noised(network, pairs, step)).batches,
            step=DenoisingStep(
                NoiseEstimate, "noise", 1.0, recipe.features, recipe.optim.clip_norm, self.autocast
            ),
            validate=NOISE_ERROR.of(noise_validator(batches, self.autocast)),
            optim=recipe.optim,
            run=recipe.run,
            images=len(images),
            held_out=held_out,
        )

    def export(self, state: TrainState) -> None:
        network = self.trained(state)
        named = {PRIOR: self.prior.name, f"{PRIOR} version": self.prior.version}
        self.save(
            network,
            state,
            scale=self.info.scale,
            providers=named | self.providers,
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
        """A batch with times and noise, a function of the recipe's seed and the step; `spread`: evenly spaced times."""
        device, batch = self.setting.device, pairs.draw(step)
        codes = self.codes_of(batch, network.basis).to(device)
        latent = network.prior.encode(batch.hr.to(device))
        at, eps = self.noise(step, latent.shape, spread=spread)
        conditions = {
            "codes": codes,
            "depth": batch.depth,
            "latent": latent,
            "time": (at * _TIMES).long(),
            "eps": eps,
        }
        return placed(Batch(batch.lr, batch.hr, conditions), device)

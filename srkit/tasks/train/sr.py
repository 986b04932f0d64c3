"""Train a network for super-resolution (kind `sr`)."""

from __future__ import annotations

from srkit.losses.table import LossContext, build_losses, check_every, check_terms, needs_of
from srkit.recipes.train import TrainRecipe
from srkit.tasks.train.experiment import Plan
from srkit.tasks.train.images import ImageExperiment, load_images
from srkit.tasks.train.job import TrainJob
from srkit.training.state import new_state
from srkit.training.trainer import PairStep


class SuperResolution(ImageExperiment[TrainRecipe]):
    """Minimise losses between a network's result and HR."""

    @classmethod
    def check(cls, job: TrainJob[TrainRecipe]) -> None:
        check_terms(job.recipe.loss, "picture")
        check_every(job.recipe.loss, job.recipe.loss_every)
        super().check(job)

    @classmethod
    def needed_providers(cls, recipe: TrainRecipe) -> frozenset[str]:
        return needs_of(recipe.loss) | super().needed_providers(recipe)

    def plan(self) -> Plan:
        recipe, network = self.recipe, self.network()
        state = new_state(network, recipe.optim)
        self.images = load_images(self.setting, self.info, self.conditioning)
        providers = self.providers
        context = LossContext(self.setting.device, providers.semantic, providers.perceptual, self.autocast)
        losses = build_losses(recipe.loss, context, recipe.loss_every)
        return Plan(
            state=state,
            batches=self.taught_by(recipe.teacher).batches,
            step=PairStep(losses, recipe.optim.clip_norm, self.autocast, recipe.teacher.weight),
            validate=self.validation(),
            optim=recipe.optim,
            run=recipe.run,
            images=self.images.count,
            held_out=self.images.held_out,
            keeps_best=self.teacher
            is None,  # validation is against HR, which is not what a distilled network aims at
        )

"""A step of a network and its discriminator: adversarial training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srkit.archs.cria import Cria, CriaParts
from srkit.data.pairs import Batch
from srkit.losses.contrast import mask_facts
from srkit.losses.gan import discriminator_loss
from srkit.losses.generator import GeneratorLosses
from srkit.losses.images import l1
from srkit.ops.layout import in_precision
from srkit.recipes.clipsr import TextDiscriminatorPart
from srkit.recipes.gan import DiscriminatorPart
from srkit.recipes.train import OptimPart
from srkit.training.collapse import LOOKED_EVERY, CollapseWatch
from srkit.training.distributed import World, average_gradients, mean_over
from srkit.training.optim import set_rate
from srkit.training.state import Stateful, TrainState, new_state
from srkit.training.trainer import DivergedError, StepResult, descend


@dataclass(frozen=True)
class GanStep:
    """Update the generator against the discriminator, then the discriminator on the images generated before.

    Pixel and perceptual losses use the batch's target; the discriminator's real images are the unmodified HR.
    """

    losses: GeneratorLosses
    discriminator: nn.Module
    optimizer: torch.optim.Optimizer
    """Optimiser of the discriminator."""
    watch: CollapseWatch
    factor: float
    """The discriminator's learning rate, as a factor on the generator's."""
    clip_norm: float
    """Maximal norm of the generator's gradient (0: no clipping)."""
    autocast: torch.dtype | None
    world: World
    teaching: float = 0.0
    """Weight of the L1 to the teacher's SR of batches that have one."""

    @property
    def is_sound(self) -> bool:
        return self.watch.is_sound

    @property
    def others(self) -> dict[str, Stateful]:
        """Parts of the run's state other than the generator and its optimiser."""
        return {
            "discriminator": self.discriminator,
            "discriminator's optimizer": self.optimizer,
            "watch on the discriminator": self.watch,
            **{f"criteria of {head}": criteria for head, criteria in self.losses.criteria.items()},
        }

    def module(self, network: nn.Module) -> nn.Module:
        return Whole(network) if isinstance(network, Cria) and network.heads == 2 else network

    def __call__(
        self,
        state: TrainState,
        forward: Callable[..., CriaParts | Tensor],
        batch: Batch,
        rate: float,
        look: bool,
    ) -> StepResult:
        with in_precision(batch.lr, self.autocast):
            made = forward(batch.lr, **batch.conditions)
            # The discriminator does not change before its own step, so its logits of the real images serve both steps.
            real = self.discriminator(batch.hr)
        with held(self.discriminator):
            terms = self.losses(made, batch.target, self.discriminator, real.detach())
            norms = self.losses.gradient_norms(terms, made) if look else {}
            loss = self.losses.total(terms)
            if batch.distilled is not None:
                sr = made if isinstance(made, Tensor) else made.sr
                terms["teacher"] = l1(sr.float(), batch.distilled)
                loss = loss + self.teaching * terms["teacher"]
            descend(state, loss, self.clip_norm)
        for criteria in self.losses.criteria.values():
            criteria.means.copy_(mean_over(criteria.means, self.world))
        logged = {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}
        logged |= self._discriminate(made if isinstance(made, Tensor) else made.sr, real, rate)
        if (state.step + 1) % LOOKED_EVERY == 0:
            self._look_out(logged, state.step + 1)
        if isinstance(made, CriaParts):
            facts = mask_facts(made.mask.detach())
            logged |= {f"mask {name}": fact for name, fact in facts._asdict().items()}
        return StepResult(logged, norms)

    def _discriminate(self, sr: Tensor, real: Tensor, rate: float) -> dict[str, Tensor]:
        """Update the discriminator; `real` are its logits of the real images, with their graph."""
        set_rate(self.optimizer, rate * self.factor)
        with in_precision(sr, self.autocast):
            fake = self.discriminator(sr.detach())
        loss = discriminator_loss(fake, real)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        average_gradients(self.discriminator, self.world)
        self.optimizer.step()
        means = (logits.detach().float().mean() for logits in (real, fake))
        return {"discriminator": loss.detach(), **dict(zip(("logit real", "logit fake"), means, strict=True))}

    def _look_out(self, logged: dict[str, Tensor], step: int) -> None:
        """Raise if the discriminator has collapsed."""
        names = ("discriminator", "logit real", "logit fake")
        loss, real, fake = (float(mean_over(logged[name], self.world)) for name in names)
        if (wrong := self.watch.see(loss, real, fake)) is not None:
            advice = "start again with a smaller discriminator.factor or loss.adversarial"
            raise DivergedError(f"The discriminator {wrong} at step {step}", advice)


class Whole(nn.Module):
    """A network with two heads, as a module that returns all its outputs."""

    def __init__(self, network: Cria) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> CriaParts:
        return self.network.parts(x)


@contextmanager
def held(discriminator: nn.Module) -> Iterator[None]:
    """Freeze the discriminator inside the context: its weights get no gradient, and its buffers do not change.

    It still works as in training: batch normalisation uses the batch's own mean and deviation.
    """
    modules = [(module, module.training) for module in discriminator.modules()]
    norms = [module for module, _ in modules if isinstance(module, nn.BatchNorm2d)]
    wanted = [(parameter, parameter.requires_grad) for parameter in discriminator.parameters()]
    tracked = [norm.track_running_stats for norm in norms]
    try:
        discriminator.requires_grad_(False)
        discriminator.eval()  # spectral normalisation updates its estimates in training mode
        for norm in norms:
            norm.training, norm.track_running_stats = True, False
        yield
    finally:
        for module, training in modules:
            module.training = training
        for norm, tracks in zip(norms, tracked, strict=True):
            norm.track_running_stats = tracks
        for parameter, asked in wanted:
            parameter.requires_grad_(asked)


def gan_state(network: nn.Module, optim: OptimPart, step: GanStep) -> TrainState:
    """Initial state of a run.

    Raises:
        UsageError: as `srkit.training.state.new_state`.
    """
    state = new_state(network, optim)
    state.others |= step.others
    return state


def discriminator_optimizer(
    discriminator: nn.Module, part: DiscriminatorPart | TextDiscriminatorPart, optim: OptimPart
) -> torch.optim.Optimizer:
    """Adam on the discriminator's parameters."""
    rate, betas = optim.lr * part.factor, (part.betas[0], part.betas[1])
    return torch.optim.Adam(discriminator.parameters(), lr=rate, betas=betas, fused=True)

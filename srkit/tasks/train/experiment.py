"""Flow from a recipe to weights, and the base class of the kinds of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

import srkit
from srkit.archs.info import ArchInfo
from srkit.archs.table import build
from srkit.engine.device import pick_device, training_dtype
from srkit.errors import UsageError, unknown
from srkit.progress import Progress
from srkit.recipes.load import to_mapping
from srkit.recipes.train import ModelPart, OptimPart, RunPart
from srkit.rendered import DOMAINS
from srkit.tasks.train.job import (
    WEIGHTS,
    TrainJob,
    TrainResult,
    check_job,
    check_output,
    prepare_output,
)
from srkit.tasks.train.start import copy_start
from srkit.training.distributed import World, local_device, process_group
from srkit.training.state import Snapshot, TrainState, read_checkpoint, restore
from srkit.training.trainer import Limits, Step, Trainer, Validation
from srkit.zoo.header import Header
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import save_weights

R = TypeVar("R", bound=Any)
"""Recipe class of one kind."""


@dataclass(frozen=True)
class Setting(Generic[R]):
    """Constant state of a run, from the first step to the weights."""

    job: TrainJob[R]
    device: torch.device
    world: World
    progress: Progress
    saved: Mapping[str, Any] | None = None
    """Checkpoint to resume from; None: a new run."""

    @property
    def recipe(self) -> R:
        return self.job.recipe

    def autocast(self, *, bf16_ok: bool = True) -> torch.dtype | None:
        """Precision of the network's arithmetic in training; None: fp32."""
        return training_dtype(self.recipe.run.precision, self.device, bf16_ok=bf16_ok)


@dataclass(frozen=True)
class Plan:
    """Inputs of the trainer from an experiment."""

    state: TrainState
    batches: Callable[[int], Iterator[Any]]
    step: Step
    validate: Callable[[nn.Module], Validation]
    optim: OptimPart
    run: RunPart
    images: int
    """Number of training images."""
    held_out: tuple[str, ...]
    """Names of the validation images."""
    keeps_best: bool = True
    snapshot: Snapshot | None = None
    log_every: int | None = None
    rate_key: str = "optim.lr"


class Experiment(ABC, Generic[R]):
    """A kind of training.

    Args:
        setting: setting of a job that `check` accepted.
    """

    resumes: ClassVar[tuple[str, ...]] = ("model.arch", "model.arguments")
    """Settings that must equal those of the checkpoint when a run is resumed."""
    info: ArchInfo
    """Facts about the network, set by `plan`."""

    def __init__(self, setting: Setting[R]) -> None:
        self.setting = setting

    @property
    def recipe(self) -> R:
        return self.setting.recipe

    @classmethod
    def check(cls, job: TrainJob[R]) -> None:
        """Check a job before any work, beyond the bounds of single values.

        Raises:
            UsageError: settings are inconsistent.
        """

    @property
    def autocast(self) -> torch.dtype | None:
        """Precision of the network's arithmetic in training; None: fp32."""
        return self.setting.autocast(bf16_ok=self.info.bf16_ok)

    @abstractmethod
    def plan(self) -> Plan:
        """Build the network, with the recipe's initial weights, and the data."""

    @abstractmethod
    def export(self, state: TrainState) -> None:
        """Write the final weights of the run (`save`)."""

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        """PSNR of the validation (None without SR images), and other scores by name."""
        return state.best_score, {}

    def resume(self, state: TrainState) -> None:
        """Restore the checkpoint, if any."""
        if self.setting.saved is not None:
            restore(state, dict(self.setting.saved))

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments of the recipe's network."""
        return dict(self.recipe.model.arguments)

    def start(self, network: nn.Module, task: str = "sr") -> LoadedModel | None:
        """Load the recipe's initial weights for `task` into the network; a resumed run keeps its own.

        Returns:
            The model of these weights, if any.

        Raises:
            UsageError, ResourceError: as in `copy_start`.
        """
        start = self.recipe.model.start
        if not start or self.setting.saved is not None:
            return None
        return copy_start(network, start, self.setting.progress, task)

    def trained(self, state: TrainState) -> nn.Module:
        """The recipe's network with the final weights of the run."""
        network: nn.Module = build(self.recipe.model.arch, self.arguments)
        network.load_state_dict(state.best or state.ema.state_dict())
        return network

    def save(self, network: nn.Module, state: TrainState, **facts: Any) -> None:
        """Write a network as fp16 safetensors.

        Args:
            facts: fields of its header beside those that follow from the job; `arch` and `arguments` if they differ
            from
                the recipe's part `model`.
        """
        job = self.setting.job
        if "arch" not in facts:
            facts |= {"arch": job.recipe.model.arch, "arguments": self.arguments}
        header = Header(
            **{
                "recipe": job.recipe.name,
                "recipe_sha256": job.recipe.sha256,
                "licence": job.licence,
                "training_data": job.data_words,
                "steps": state.step,
                "srkit_version": srkit.__version__,
                **facts,
            }
        )
        save_weights(job.output / WEIGHTS, network, header)


_EXPERIMENTS = {
    "sr": "sr.SuperResolution",
    "clipsr": "clipsr.TextGuided",
    "diagnose": "diagnose.Diagnose",
    "diffusion": "diffusion.Diffusion",
    "encoder": "encoder.Encoder",
    "gan": "gan.Adversarial",
    "kernels": "kernels.Kernels",
    "latent": "latent.Latent",
    "meta": "meta.Meta",
    "reconstructor": "reconstructor.Reconstruction",
    "text": "text.Text",
}
"""Module and class of each kind's experiment, imported on demand, so that one kind's dependencies do not affect the
others. A new kind adds a line here and in `srkit.recipes.kinds`."""


def experiment_of(kind: str) -> type[Experiment[Any]]:
    """Experiment class of a kind.

    Raises:
        UsageError: the kind does not exist.
    """
    if kind not in _EXPERIMENTS:
        raise UsageError(f"There is no training for recipes of the kind '{kind}'.")
    module, name = _EXPERIMENTS[kind].split(".")
    found: type[Experiment[Any]] = getattr(import_module(f"srkit.tasks.train.{module}"), name)
    return found


def blank_network(model: ModelPart) -> nn.Module:
    """A recipe's network without allocated tensors, to check it.

    Raises:
        UsageError: the network does not exist, or its arguments are invalid.
    """
    with torch.device("meta"):
        network: nn.Module = build(model.arch, model.arguments)
    return network


def check_domains(domains: Iterable[str], key: str) -> None:
    """Check that the rendered domains of a recipe's `key` exist.

    Raises:
        UsageError: a domain does not exist.
    """
    for domain in domains:
        if domain not in DOMAINS:
            raise unknown(f"'{key}' names '{domain}'", domain, DOMAINS)


def check_untrained(job: TrainJob[Any]) -> None:
    """Check that a recipe of a kind that starts from nothing names no initial weights.

    Raises:
        UsageError: it does.
    """
    if start := job.recipe.model.start:
        raise UsageError(
            f"'model.start' is '{start}'; networks of the kind '{job.recipe.kind}' start from nothing: leave it empty."
        )


def check_experiment(job: TrainJob[Any]) -> None:
    """Check a job before any work.

    Raises:
        UsageError: the job is invalid.
    """
    check_job(job)
    experiment_of(job.recipe.kind).check(job)


def run_experiment(job: TrainJob[Any], progress: Progress) -> TrainResult:
    """Run a job of any kind except `stages`; see `srkit.tasks.train.run`."""
    check_experiment(job)
    check_output(job)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    device = local_device(pick_device(job.device))
    saved = read_checkpoint(job.output, device) if job.resume else None
    with process_group(device) as world:
        torch.manual_seed(job.recipe.seed)
        experiment = experiment_of(job.recipe.kind)(Setting(job, device, world, progress, saved))
        if saved is not None:
            check_resumed(job, saved["recipe"], experiment.resumes)
        plan = experiment.plan()
        experiment.resume(plan.state)
        prepare_output(experiment.setting.job)
        trainer_of(experiment.setting, plan).fit(plan.state)
        if world.is_main:
            experiment.export(plan.state)
    psnr, scores = experiment.scores(plan.state)
    state = plan.state
    return TrainResult(
        job.output / WEIGHTS, state.step, state.seconds, psnr, plan.images, plan.held_out, scores
    )


def trainer_of(setting: Setting[Any], plan: Plan) -> Trainer:
    """Trainer for an experiment's plan."""
    return Trainer(
        batches=plan.batches,
        step=plan.step,
        validate=plan.validate,
        optim=plan.optim,
        run=plan.run,
        limits=Limits(plan.optim.steps, setting.job.minutes, plan.run.clock),
        folder=setting.job.output,
        device=setting.device,
        world=setting.world,
        progress=setting.progress,
        recipe=to_mapping(setting.recipe),
        keeps_best=plan.keeps_best,
        snapshot=plan.snapshot,
        log_every=plan.log_every,
        rate_key=plan.rate_key,
    )


def check_resumed(job: TrainJob[Any], before: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Check that a checkpoint to resume from was written with the same recipe.

    Args:
        before: plain values of the checkpoint's recipe.
        keys: settings that must be equal.

    Raises:
        UsageError: a setting differs.
    """
    now = to_mapping(job.recipe)
    pairs = ((key, _value(before, key), _value(now, key)) for key in ("kind", *keys))
    changed = [f"'{key}' {_shown(old)}, now {_shown(new)}" for key, old, new in pairs if old != new]
    if changed:
        raise UsageError(
            f"'{job.output}' holds a run of another recipe ({'; '.join(changed)}); set it as it was, or choose another "
            "-o."
        )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return repr(value)


def _value(table: Mapping[str, Any], key: str) -> Any:
    for name in key.split("."):
        table = table.get(name, {})
    return table


def check_holdout(every: int, key: str, job: TrainJob[Any]) -> None:
    """Check that not all images are held out.

    Raises:
        UsageError: `every` is 1, and the job has no validation folder.
    """
    if every < 2 and not job.validation:
        raise UsageError(
            f"'{key}' is {every}; it must be at least 2, or give images to validate on with `val`."
        )

"""What `srkit train` needs to know: network, data, optimiser, length."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from srkit.errors import UsageError
from srkit.recipes.bounds import bounded
from srkit.recipes.degradation import SecondOrderPart, second_order_settings
from srkit.recipes.load import Recipe, from_mapping, merge, to_mapping


@dataclass(frozen=True)
class ModelPart:
    arch: str
    """A name of `srkit.archs.table`."""
    arguments: dict[str, Any]
    """The network's constructor arguments."""
    start: str = ""
    """Weights to start from (a model's name or file): every tensor of the same name and shape is copied."""


@dataclass(frozen=True)
class DataPart:
    patch: int = bounded(32, min=1)
    """Side of a training crop in LR pixels."""
    batch: int = bounded(16, min=1)
    """Crops in a step, for each process."""
    augment: bool = True
    """Flips and quarter turns."""
    best_of: int = bounded(1, min=1)
    """Random crops that each crop is chosen from: the one with the most detail (`srkit.data.packed.choose_crops`)."""
    sizes: tuple[float, ...] = bounded((1.0,), above=0, max=1)
    """Factors (at most 1) at which every image is used. Smaller copies are sharper, as benchmark images are."""
    rendered: dict[str, int] = bounded(factory=dict, min=1)
    """Rendered images beside the photographs, by domain (`srkit.rendered.DOMAINS`), of the seeds from 0."""
    rendered_sides: tuple[int, ...] = bounded((128,), min=64)
    """Sides of the rendered images, in turn."""
    rendered_batch: int = bounded(0, min=0)
    """Crops of a step that are of rendered images; the others are of photographs."""
    holdout_every: int = bounded(20, min=1)
    """Every n-th image, by sorted name, is held out of training to validate on."""
    residency: Literal["auto", "memory", "stream"] = "auto"
    """memory: decoded once and kept; stream: decoded by worker processes; auto: memory where it fits."""
    workers: int = bounded(4, min=0)
    degradation: str = ""
    """What low-resolution images are made with: settings by name (`srkit.recipes.degradation.SETTINGS`), drawn anew
    for every crop; empty: antialiased bicubic. See `degradation_of`."""
    ranges: dict[str, Any] = field(default_factory=dict)
    """Shares and ranges laid over those settings, in the tables of `srkit.recipes.degradation.SecondOrderPart`:
    `first.sigma = [0.2, 1.0]`."""


def degradation_of(data: DataPart) -> SecondOrderPart | None:
    """What the low-resolution images are made with; None: antialiased bicubic.

    Raises:
        UsageError: unknown settings, an unknown key among the ranges, a value that makes no sense, or ranges of no
            degradation.
    """
    if not data.degradation:
        if data.ranges:
            raise UsageError(
                f"'data.ranges' sets {', '.join(data.ranges)} of a degradation, and 'data.degradation' is empty; name "
                "settings to lay it over, for example data.degradation=mild."
            )
        return None
    table = to_mapping(second_order_settings(data.degradation))
    merge(table, data.ranges)
    return from_mapping(SecondOrderPart, table, "data.ranges.")


@dataclass(frozen=True)
class OptimPart:
    optimizer: Literal["adam", "muon"] = "adam"
    """muon: Muon for the weight matrices of `muon_parts`, Adam for the rest (`srkit.training.optim`)."""
    lr: float = bounded(2e-4, above=0)
    lr_final: float = bounded(1e-7, min=0)
    betas: tuple[float, ...] = bounded((0.9, 0.999), min=0, below=1, length=2)
    """Of Adam."""
    muon_parts: tuple[str, ...] = ("trunk",)
    """Parts of the network whose matrices Muon fits, except those that read an image."""
    momentum: float = bounded(0.95, min=0, below=1)
    """Of Muon."""
    adam_factor: float = bounded(0.5, min=0)
    """Adam's learning rate beside Muon's, as a factor on `lr`."""
    warmup_steps: int = bounded(100, min=0)
    steps: int = bounded(100_000, min=1)
    """Length of the cosine; `--minutes` replaces it by time."""
    ema: float = bounded(0.999, min=0, below=1)
    clip_norm: float = bounded(1.0, min=0)
    """Largest gradient norm (0: no clipping)."""
    rates: dict[str, float] = bounded(factory=dict, min=0)
    """Factors on `lr` by part of the network, as `{ trunk = 0.1 }`; 0 leaves a part as it is."""


@dataclass(frozen=True)
class RunPart:
    validate_every: int = bounded(2000, min=1)
    """Steps between validations."""
    checkpoint_minutes: float = bounded(3.0, min=0)
    gradients_every: int = bounded(500, min=0)
    """Steps between looks at which loss term leads, in hundreds: the norms of their gradients (0: none). A lone term
    costs none."""
    clock: Literal["wall", "cpu"] = "wall"
    """What `--minutes` and the logged seconds count; cpu: the time that the process computes, which other programs on
    the machine change little."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto: on CUDA only (on a CPU it gains some 10 % and costs a minute at the start)."""


@dataclass(frozen=True)
class ProvidersPart:
    """Frozen networks by what they serve; one that serves nothing in a run is not loaded."""

    semantic: str = ""
    """The network's conditions on whole images, and the loss `semantic` (`srkit.encoders.semantic`)."""
    perceptual: str = ""
    """The loss `perceptual` (`srkit.encoders.features`)."""
    text: str = ""
    """What a network is conditioned on of captions (`srkit.encoders.text`)."""


@dataclass(frozen=True)
class TeacherPart:
    """A trained network whose result on the same LR is one more target, by L1."""

    model: str = ""
    """A model's name or file, of the network's scale; empty: none."""
    weight: float = bounded(0.1, min=0)
    """Of the term; 0: no teacher."""
    licence: str = ""
    """Of the teacher, where neither its file nor the list of models says it."""


@dataclass(frozen=True)
class TrainRecipe(Recipe):
    name: str
    model: ModelPart
    kind: Literal["sr"] = "sr"
    data: DataPart = field(default_factory=DataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: RunPart = field(default_factory=RunPart)
    loss: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Weights of the loss terms, by name (`srkit.losses.table`)."""
    loss_every: dict[str, int] = field(default_factory=dict)
    """Terms that are taken every n-th step alone, with n times their weight: their n. For costly ones."""
    teacher: TeacherPart = field(default_factory=TeacherPart)
    providers: ProvidersPart = field(default_factory=ProvidersPart)
    seed: int = bounded(0, min=0)

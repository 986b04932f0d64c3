"""Recipe of training a super-resolution network: network, data, optimiser, length."""

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
    """Name of a network of `srkit.archs.table`."""
    arguments: dict[str, Any]
    """Constructor arguments of the network."""
    start: str = ""
    """Weights to start from (a model's name or file); tensors of equal name and shape are copied."""


@dataclass(frozen=True)
class DataPart:
    patch: int = bounded(32, min=1)
    """Side of a training crop in LR pixels."""
    batch: int = bounded(16, min=1)
    """Crops per step and process."""
    augment: bool = True
    """Augment crops with flips and quarter turns."""
    best_of: int = bounded(1, min=1)
    """Number of random candidates per crop, of which the most detailed is used (`srkit.data.packed.choose_crops`)."""
    sizes: tuple[float, ...] = bounded((1.0,), above=0, max=1)
    """Factors (at most 1) by which every image is resized. Smaller copies are sharper, like benchmark images."""
    rendered: dict[str, int] = bounded(factory=dict, min=1)
    """Number of rendered images beside the photographs, by domain (`srkit.rendered.DOMAINS`); seeds from 0."""
    rendered_sides: tuple[int, ...] = bounded((128,), min=64)
    """Sides of the rendered images, used in turn."""
    rendered_batch: int = bounded(0, min=0)
    """Crops per step of rendered images; the other crops are of photographs."""
    holdout_every: int = bounded(20, min=1)
    """Every n-th image, by sorted name, is held out of training to validate on."""
    residency: Literal["auto", "memory", "stream"] = "auto"
    """memory: images are decoded once and kept; stream: worker processes decode them; auto: memory if they fit."""
    workers: int = bounded(4, min=0)
    degradation: str = ""
    """Name of the settings of the degradation of HR to LR (`srkit.recipes.degradation.SETTINGS`), which is drawn anew
    for every crop; empty: antialiased bicubic. See `degradation_of`."""
    ranges: dict[str, Any] = field(default_factory=dict)
    """Shares and ranges laid over those settings, in the tables of `srkit.recipes.degradation.SecondOrderPart`:
    `first.sigma = [0.2, 1.0]`."""


def degradation_of(data: DataPart) -> SecondOrderPart | None:
    """Settings of the degradation of HR to LR; None: antialiased bicubic.

    Raises:
        UsageError: unknown settings, an unknown key among the ranges, an invalid value, or ranges without a
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
    """Betas of Adam."""
    muon_parts: tuple[str, ...] = ("trunk",)
    """Parts of the network whose matrices use Muon, except layers that read an image."""
    momentum: float = bounded(0.95, min=0, below=1)
    """Momentum of Muon."""
    adam_factor: float = bounded(0.5, min=0)
    """Adam's learning rate when Muon is used, as a factor on `lr`."""
    warmup_steps: int = bounded(100, min=0)
    steps: int = bounded(100_000, min=1)
    """Number of steps, the length of the cosine schedule; `--minutes` replaces it."""
    ema: float = bounded(0.999, min=0, below=1)
    clip_norm: float = bounded(1.0, min=0)
    """Maximal gradient norm (0: no clipping)."""
    rates: dict[str, float] = bounded(factory=dict, min=0)
    """Factors on `lr` by part of the network, as in `{ trunk = 0.1 }`; 0 freezes a part."""


@dataclass(frozen=True)
class RunPart:
    validate_every: int = bounded(2000, min=1)
    """Steps between validations."""
    checkpoint_minutes: float = bounded(3.0, min=0)
    gradients_every: int = bounded(500, min=0)
    """Steps between measurements of the norms of the loss terms' gradients, in multiples of 100 (0: none). A single
    term is not measured."""
    clock: Literal["wall", "cpu"] = "wall"
    """Clock of `--minutes` and of the logged seconds; cpu: the process's CPU time, which other programs on the machine
    hardly affect."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; auto: on CUDA only (on a CPU it gains 10 % and costs a minute at the start)."""


@dataclass(frozen=True)
class ProvidersPart:
    """Frozen networks by purpose; those that a run does not need are not loaded."""

    semantic: str = ""
    """Encoder of whole images, for conditions and the loss `semantic` (`srkit.encoders.semantic`)."""
    perceptual: str = ""
    """Feature extractor of the loss `perceptual` (`srkit.encoders.features`)."""
    text: str = ""
    """Encoder of captions that a network is conditioned on (`srkit.encoders.text`)."""


@dataclass(frozen=True)
class TeacherPart:
    """Trained network whose result on the same LR is an additional L1 target."""

    model: str = ""
    """Name or file of the teacher, of the network's scale or a multiple of it; empty: none."""
    weight: float = bounded(0.1, min=0)
    """Weight of the teacher's loss term; 0: no teacher."""
    reuse: int = bounded(1, min=1)
    """Number of steps per new batch; the steps between take one of those kept. For teachers that are much slower than
    the trained network."""
    kept: int = bounded(2000, min=1)
    """Number of the latest batches that are kept in memory if `reuse` is above 1 (0.8 MB each at x4 with 8 crops of
    32)."""
    licence: str = ""
    """Licence of the teacher, if neither its file nor the list of models has one."""


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
    """Intervals n of terms that are computed only at every n-th step, with n times their weight; for costly terms."""
    teacher: TeacherPart = field(default_factory=TeacherPart)
    providers: ProvidersPart = field(default_factory=ProvidersPart)
    seed: int = bounded(0, min=0)

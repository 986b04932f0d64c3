"""What `srkit train` needs to know to learn the rates that a model adapts with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe


@dataclass(frozen=True)
class TasksPart:
    """The domains that episodes are drawn from."""

    clusters: int = bounded(6, min=0)
    """Groups that the photographs are put into by what the encoder says of them; 0: all are one domain."""
    encoder: str = ""
    """Of the grouping (`srkit.encoders.semantic`); empty: the model's own."""
    domains: tuple[str, ...] = ("street", "drawing", "halftone", "textile", "texture", "night")
    """Rendered domains (`srkit.rendered`) that are learned from."""
    held_out: tuple[str, ...] = ("screen", "manga")
    """Rendered domains that only validate: the rates are kept that help most on what they were not learned from."""
    rendered: int = bounded(12, min=2)
    """Images of each rendered domain, seeds from 0."""
    rendered_side: int = 320
    """Pixels of a side of a rendered image."""
    shots: int = bounded(5, min=1)
    """Images that an episode adapts on; as many others, or what the domain has, are its query."""
    holdout_every: int = bounded(20, min=1)
    """Every n-th photograph, by sorted name, is held out; together they are one more domain that validates."""


@dataclass(frozen=True)
class InnerPart:
    """Adapting within an episode (Eq. 10)."""

    rule: Literal["sgd", "adam"] = "sgd"
    """sgd: along the gradient, as in the paper; adam: along Adam's direction, of which rates are lengths."""
    granularity: Literal["tensor", "element"] = "tensor"
    """A rate for every tensor (MAML++), or for every number (Meta-SGD, as the paper prints it)."""
    steps: int = bounded(5, min=1)
    patch: int = bounded(32, min=1)
    """Side of a crop in LR pixels."""
    batch: int = bounded(16, min=1)
    """Crops in a step."""
    second_order: bool = False
    """Let the gradient through all inner steps: exact for several, at three times the cost."""
    rate: float = bounded(0.0, min=0)
    """Uniform rate to start from; 0: the one of the sweep after which one step lowers the query loss most."""


@dataclass(frozen=True)
class OuterPart:
    """Learning of the rates (Eq. 11)."""

    steps: int = bounded(200, min=1)
    tasks: int = bounded(4, min=1)
    """Episodes in a step."""
    lr: float = bounded(0.05, above=0)
    """Of Adam on the logarithms of the rates."""
    lr_final: float = 1e-3
    weights_lr: float = bounded(0.0, min=0)
    """Of Adam on the weights that adapting starts from; 0: they stay as they are."""
    validate_every: int = bounded(25, min=1)
    """Steps between validations on the domains held out."""
    judged: int = bounded(4, min=1)
    """Episodes of each domain that validates."""


@dataclass(frozen=True)
class MetaRunPart:
    checkpoint_minutes: float = bounded(3.0, min=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"


@dataclass(frozen=True)
class MetaRecipe(Recipe):
    name: str
    kind: Literal["meta"] = "meta"
    start: str = ""
    """Weights whose rates are learned: a model's name or file."""
    tasks: TasksPart = field(default_factory=TasksPart)
    inner: InnerPart = field(default_factory=InnerPart)
    outer: OuterPart = field(default_factory=OuterPart)
    run: MetaRunPart = field(default_factory=MetaRunPart)
    loss: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Weights of the loss terms, by name (`srkit.losses.table`), within episodes and of their query."""
    seed: int = bounded(0, min=0)

"""Recipe of meta-learning the rates of adaptation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe


@dataclass(frozen=True)
class TasksPart:
    """Domains that episodes are drawn from."""

    clusters: int = bounded(6, min=0)
    """Number of clusters of the photographs, by their embeddings; 0: all photographs are one domain."""
    encoder: str = ""
    """Encoder of the clustering (`srkit.encoders.semantic`); empty: the model's own."""
    domains: tuple[str, ...] = ("street", "drawing", "halftone", "textile", "texture", "night")
    """Rendered domains (`srkit.rendered`) to train on."""
    held_out: tuple[str, ...] = ("screen", "manga")
    """Rendered domains for validation only: the rates that help most on these unseen domains are kept."""
    rendered: int = bounded(12, min=2)
    """Images per rendered domain, seeds from 0."""
    rendered_side: int = 320
    """Side of a rendered image in pixels."""
    shots: int = bounded(5, min=1)
    """Images of an episode's support set; its query set has as many other images, or all that the domain has left."""
    holdout_every: int = bounded(20, min=1)
    """Every n-th photograph, by sorted name, is held out; together these are another validation domain."""


@dataclass(frozen=True)
class InnerPart:
    """Adaptation within an episode (Eq. 10)."""

    rule: Literal["sgd", "adam"] = "sgd"
    """sgd: steps along the gradient, as in the paper; adam: along Adam's direction, with rates as step lengths."""
    granularity: Literal["tensor", "element"] = "tensor"
    """One rate per tensor (MAML++), or per element (Meta-SGD, as printed in the paper)."""
    steps: int = bounded(5, min=1)
    patch: int = bounded(32, min=1)
    """Side of a crop in LR pixels."""
    batch: int = bounded(16, min=1)
    """Crops per step."""
    second_order: bool = False
    """Backpropagate through all inner steps: exact for several steps, at three times the cost."""
    rate: float = bounded(0.0, min=0)
    """Initial rate of all parameters; 0: the rate of a sweep after which one step lowers the query loss most."""


@dataclass(frozen=True)
class OuterPart:
    """Training of the rates (Eq. 11)."""

    steps: int = bounded(200, min=1)
    tasks: int = bounded(4, min=1)
    """Episodes per step."""
    lr: float = bounded(0.05, above=0)
    """Learning rate of Adam on the logarithms of the rates."""
    lr_final: float = 1e-3
    weights_lr: float = bounded(0.0, min=0)
    """Learning rate of Adam on the initial weights of adaptation; 0: they stay fixed."""
    validate_every: int = bounded(25, min=1)
    """Steps between validations on the held-out domains."""
    judged: int = bounded(4, min=1)
    """Validation episodes per held-out domain."""


@dataclass(frozen=True)
class MetaRunPart:
    checkpoint_minutes: float = bounded(3.0, min=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"


@dataclass(frozen=True)
class MetaRecipe(Recipe):
    name: str
    kind: Literal["meta"] = "meta"
    start: str = ""
    """Name or file of the model whose rates are learned."""
    tasks: TasksPart = field(default_factory=TasksPart)
    inner: InnerPart = field(default_factory=InnerPart)
    outer: OuterPart = field(default_factory=OuterPart)
    run: MetaRunPart = field(default_factory=MetaRunPart)
    loss: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Weights of the loss terms, by name (`srkit.losses.table`), for inner steps and the query set."""
    seed: int = bounded(0, min=0)

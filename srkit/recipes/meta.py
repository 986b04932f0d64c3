"""What `srkit train` needs to know to learn the rates that a model adapts with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.load import to_toml


@dataclass(frozen=True)
class TasksPart:
    """The domains that episodes are drawn from."""

    clusters: int = 6
    """Groups that the photographs are put into by what the encoder says of them; 0: all are one domain."""
    encoder: str = ""
    """Of the grouping (`srkit.encoders.semantic`); empty: the model's own."""
    domains: tuple[str, ...] = ("street", "drawing", "halftone", "textile", "texture", "night")
    """Rendered domains (`srkit.rendered`) that are learned from."""
    held_out: tuple[str, ...] = ("screen", "manga")
    """Rendered domains that only judge: the rates are kept that help most on what they were not learned from."""
    rendered: int = 12
    """Pictures of each rendered domain, seeds from 0."""
    rendered_side: int = 320
    """Pixels of a side of a rendered picture."""
    shots: int = 5
    """Pictures that an episode adapts on; as many others, or what the domain has, are its query."""
    holdout_every: int = 20
    """Every n-th photograph, by sorted name, is kept out; together they are one more domain that judges."""


@dataclass(frozen=True)
class InnerPart:
    """Adapting within an episode (Eq. 10)."""

    rule: Literal["sgd", "adam"] = "sgd"
    """sgd: along the gradient, as in the paper; adam: along Adam's direction, of which rates are lengths."""
    granularity: Literal["tensor", "element"] = "tensor"
    """A rate for every tensor (MAML++), or for every number (Meta-SGD, as the paper prints it)."""
    steps: int = 5
    patch: int = 32
    """Side of a crop in LR pixels."""
    batch: int = 16
    """Crops in a step."""
    second_order: bool = False
    """Let the gradient through all inner steps: exact for several, at three times the cost."""
    rate: float = 0.0
    """Uniform rate to start from; 0: the one of the sweep after which one step lowers the query loss most."""


@dataclass(frozen=True)
class OuterPart:
    """Learning of the rates (Eq. 11)."""

    steps: int = 200
    tasks: int = 4
    """Episodes in a step."""
    lr: float = 0.05
    """Of Adam on the logarithms of the rates."""
    lr_final: float = 1e-3
    weights_lr: float = 0.0
    """Of Adam on the weights that adapting starts from; 0: they stay as they are."""
    validate_every: int = 25
    """Steps between validations on the domains held out."""
    judged: int = 4
    """Episodes of each domain that judges."""


@dataclass(frozen=True)
class MetaRunPart:
    checkpoint_minutes: float = 3.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"


@dataclass(frozen=True)
class MetaRecipe:
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
    seed: int = 0

    @property
    def sha256(self) -> str:
        """Hash of the resolved recipe, recorded in the weights' header."""
        return hashlib.sha256(to_toml(self).encode()).hexdigest()

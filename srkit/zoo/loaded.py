"""A network that is ready to run, with what is known of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.zoo.header import Header

Source = Literal["srkit", "published", "spandrel"]
"""Our own files; published ones of networks that are built here; any other that spandrel knows."""


@dataclass(frozen=True)
class LoadedModel:
    """Weights in their network: fp32, on the CPU, in evaluation mode, no gradients."""

    name: str
    """The manifest's name, else the file's without its extension."""
    network: nn.Module
    info: ArchInfo
    overlap: int
    """Overlap of tiles per side in LR pixels: the header's, a measured one, else the receptive field."""
    sha256: str
    """Checksum of the file, in lower-case hexadecimal."""
    header: Header | None
    """None for a checkpoint that came through spandrel."""
    path: Path
    source: Source
    task: str = "sr"
    """`sr`, or `restoration` for foreign networks that keep the size."""
    architecture: str = ""
    """Name of the network's architecture."""
    tags: tuple[str, ...] = ()
    """What spandrel says of a foreign network, as `64nf`."""
    rates: Mapping[str, Tensor] = field(default_factory=dict)
    """Learned rates of adaptation, natural logarithms: a scalar for a parameter, or a value for each of its elements,
    by the parameter's name; empty where none were learned."""

"""A network that is ready to run, with the facts about its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.zoo.header import Header

Source = Literal["srkit", "published", "spandrel"]
"""Kind of the file: with a header of this project, published for a network of this project, or loaded by spandrel."""


@dataclass(frozen=True)
class LoadedModel:
    """A network with its weights: fp32, on the CPU, in evaluation mode, without gradients."""

    name: str
    """Name in the manifest, else the file's name without its extension."""
    network: nn.Module
    info: ArchInfo
    overlap: int
    """Overlap of tiles per side in LR pixels: the header's, else a measured one, else the receptive field."""
    sha256: str
    """Checksum of the file, in lower-case hexadecimal."""
    header: Header | None
    """Header of the file; None for a checkpoint loaded through spandrel."""
    path: Path
    source: Source
    task: str = "sr"
    """Task: `sr`, `restoration` for foreign networks that keep the size, or that of the header."""
    architecture: str = ""
    """Name of the network's architecture."""
    tags: tuple[str, ...] = ()
    """Spandrel's description of a foreign network, such as `64nf`."""
    rates: Mapping[str, Tensor] = field(default_factory=dict)
    """Learned rates of adaptation by parameter name, as natural logarithms: a scalar per parameter, or a value per
    element; empty without learned rates."""

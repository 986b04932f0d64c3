"""Networks that can show, as images, what their result is made of."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn

from srkit.archs.info import ArchInfo


class View(nn.Module):
    """A network that gives one part of another's result in place of it, and runs wherever that one does."""

    info: ArchInfo
    gray: bool = False
    """Whether its images are gray whatever the input is (a mask)."""


@runtime_checkable
class Viewable(Protocol):
    """A network that has views."""

    def views(self) -> dict[str, View]:
        """By the parts' names."""
        ...


def views_of(network: nn.Module) -> dict[str, View]:
    """The views of a network by their names; empty where it has none."""
    return network.views() if isinstance(network, Viewable) else {}

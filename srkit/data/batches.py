"""Base class of the sources of training batches."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

B = TypeVar("B")


class Batches(ABC, Generic[B]):
    """Endless source of batches, each a function of seed, rank and step alone."""

    @abstractmethod
    def draw(self, step: int) -> B:
        """Batch of one step."""

    def batches(self, first_step: int) -> Iterator[B]:
        """Yield the batches of steps first_step, first_step + 1, ..."""
        return map(self.draw, itertools.count(first_step))

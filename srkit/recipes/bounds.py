"""Bounds on the numbers of a recipe, declared with the field: `steps: int = bounded(1000, min=1)`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from srkit.errors import UsageError

_BOUNDS = "bounds"
_MAX_INT = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Bounds of a number; None: unbounded. Numbers must be finite."""

    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    length: int | None = None
    """Required length of a sequence, whose elements must satisfy the other bounds."""

    def hold(self, value: float) -> bool:
        """True if a number is within the bounds."""
        return (
            math.isfinite(value)
            and (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and not (isinstance(value, int) and value > _MAX_INT)
        )

    @property
    def words(self) -> str:
        """Bounds in words: `at least 1`, `above 0`, `at least 0 and below 1`."""
        named = (("at least", self.min), ("above", self.above), ("at most", self.max), ("below", self.below))
        return " and ".join(f"{word} {bound:g}" for word, bound in named if bound is not None) or "finite"


def bounded(
    default: Any = dataclasses.MISSING, *, factory: Callable[[], Any] | None = None, **bounds: float
) -> Any:
    """Dataclass field whose value, or each of its elements or values, must be within bounds (the fields of `Bounds`).

    None is exempt: it stands for a value that is determined elsewhere.
    """
    given = {"default_factory": factory} if factory is not None else {"default": default}
    return dataclasses.field(**given, metadata={_BOUNDS: Bounds(**bounds)})  # type: ignore[arg-type]


def check_bounds(recipe: Any, where: str = "") -> None:
    """Check the numbers of a recipe and its nested parts against their bounds.

    Raises:
        UsageError: a number is out of bounds; its key is named.
    """
    for field in dataclasses.fields(recipe):
        key, value = f"{where}{field.name}", getattr(recipe, field.name)
        parts = value if isinstance(value, Mapping) else {"": value}
        for name, part in parts.items():
            if dataclasses.is_dataclass(part):
                check_bounds(part, f"{key}.{name}." if name else f"{key}.")
        bounds = field.metadata.get(_BOUNDS)
        if bounds is not None:
            _check(key, value, bounds)


def _check(key: str, value: Any, bounds: Bounds) -> None:
    if bounds.length is not None and len(value) != bounds.length:
        raise UsageError(f"'{key}' is {list(value)}; it must have {bounds.length:g} numbers.")
    for name, number in _numbers(key, value):
        if not bounds.hold(number):
            shown = f"'{name}' is {list(value)}" if isinstance(value, tuple) else f"'{name}' is {number}"
            each = "each must be" if isinstance(value, tuple) else "it must be"
            raise UsageError(f"{shown}; {each} {bounds.words}.")


def _numbers(key: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        yield from ((f"{key}.{name}", number) for name, number in value.items())
    elif isinstance(value, tuple):
        yield from ((key, number) for number in value)
    elif value is not None:
        yield key, value

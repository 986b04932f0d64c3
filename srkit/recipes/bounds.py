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
    ascending: bool = False
    """Require that no element of a sequence is below the one before."""
    flag: bool = False
    """The command line sets it by a flag of its name, so that messages name it without its table."""
    instead: str = ""
    """Words that may stand in place of a number: `auto`."""

    def hold(self, value: float) -> bool:
        """True if a number is within the bounds."""
        return (
            (isinstance(value, int) or math.isfinite(value))
            and (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and not (self.max is None and isinstance(value, int) and value > _MAX_INT)
        )

    @property
    def words(self) -> str:
        """Bounds in words: `at least 1`, `from 0 to 1`, `at least 0 and below 1`."""
        named = (("at least", self.min), ("above", self.above), ("at most", self.max), ("below", self.below))
        words = (
            " and ".join(f"{word} {_plain(bound)}" for word, bound in named if bound is not None) or "finite"
        )
        if self.min is not None and self.max is not None:
            words = f"from {_plain(self.min)} to {_plain(self.max)}"
        return (f"{self.instead} or " if self.instead else "") + words


def bounded(
    default: Any = dataclasses.MISSING, *, factory: Callable[[], Any] | None = None, **bounds: float | str
) -> Any:
    """Dataclass field whose value, or each of its elements or values, must be within bounds (the fields of `Bounds`).

    None and words are exempt: they stand for a value that is determined elsewhere.
    """
    given = {"default_factory": factory} if factory is not None else {"default": default}
    return dataclasses.field(**given, metadata={_BOUNDS: Bounds(**bounds)})  # type: ignore[arg-type]


class Bounded:
    """Base class of frozen dataclasses whose numbers are checked against their bounds.

    Raises:
        UsageError: a number is out of bounds; its key is named.
    """

    def __post_init__(self) -> None:
        check_bounds(self)


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
        raise UsageError(f"'{key}' is {list(value)}; it must have {bounds.length} numbers.")
    if bounds.ascending and list(value) != sorted(value):
        raise UsageError(f"'{key}' is {list(value)}; the smaller number comes first.")
    for name, number in _numbers(key, value):
        if not bounds.hold(number):
            quoted = f"`{name.rpartition('.')[2]}`" if bounds.flag else f"'{name}'"
            found, each = (_plain(number) if bounds.flag else str(number)), "it"
            if isinstance(value, tuple):
                found, each = str(list(value)), "each"
            raise UsageError(f"{quoted} is {found}; {each} must be {bounds.words}.")


def _numbers(key: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        yield from ((f"{key}.{name}", number) for name, number in value.items())
    elif isinstance(value, tuple):
        yield from ((key, number) for number in value)
    elif value is not None and not isinstance(value, str):
        yield key, value


def _plain(number: float) -> str:
    return str(number).removesuffix(".0")

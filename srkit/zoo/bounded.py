"""Construction of a network from a file's description, with limits derived from the file.

A file of a kilobyte can describe a network of a terabyte, or one with so many layers that construction never ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from srkit.errors import ResourceError

_LARGEST = 8192
"""Maximal whole number among a constructor's arguments: channels, blocks, scales and sides."""
_LONGEST = 256  # list, or text
_DEEPEST = 4
_TIMES, _SLACK, _FOREIGN_SLACK = 2, 1 << 20, 1 << 28
"""Maximal number of allocated values: a multiple of the file's, plus slack for buffers that no file holds, and for the
attention masks of foreign networks."""
_CALLS, _SPARE_CALLS, _FOREIGN_SPARE_CALLS = 50, 5_000, 500_000
"""Maximal number of torch calls: a multiple of the number of tensors, plus slack. Shipped networks need 7 to 13 per
tensor and no slack."""

_SIZED = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}
_COUNTED = {torch.arange, torch.linspace, torch.eye}


class BoundedBuild(TorchFunctionMode):
    """Context in which allocations are limited by the file's `elements`, and torch calls by its number of `tensors`.

    Raises:
        ResourceError: a limit is exceeded; raised before the allocation.
    """

    def __init__(self, where: str, elements: int, tensors: int, *, foreign: bool = False) -> None:
        super().__init__()
        self._where = where
        self._elements = _TIMES * elements + (_FOREIGN_SLACK if foreign else _SLACK)
        self._calls = _CALLS * tensors + (_FOREIGN_SPARE_CALLS if foreign else _SPARE_CALLS)

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        self._calls -= 1
        if func in _SIZED:
            self._elements -= _product(options.get("size", args))
        elif func in _COUNTED:
            self._elements -= _largest(args)
        if self._elements < 0 or self._calls < 0:
            what = "more values" if self._elements < 0 else "more layers"
            raise ResourceError(
                f"The network that '{self._where}' describes has {what} than the file has weights for; it is damaged "
                "or made to harm: fetch it from where it was published."
            )
        return func(*args, **options)


def check_arguments(arguments: Mapping[str, Any], where: str) -> None:
    """Check that constructor arguments from a file are of plausible size.

    Raises:
        ResourceError: an argument is not; the message names it.
    """
    if len(arguments) > _LONGEST:
        raise ResourceError(f"The header of '{where}' holds {len(arguments)} arguments; fetch the file anew.")
    for name, value in arguments.items():
        if not _is_sane(value, 0):
            raise ResourceError(
                f"The header of '{where}' gives the network's argument '{name[:40]}' as {_short(value)}; expected "
                f"numbers up to {_LARGEST}, short texts and lists: it is damaged or made to harm, so fetch it from "
                "where it was published."
            )


def _is_sane(value: Any, depth: int) -> bool:
    if isinstance(value, (bool, type(None))):
        return True
    if isinstance(value, int):
        return abs(value) <= _LARGEST
    if isinstance(value, float):
        return math.isfinite(value) and abs(value) <= 1e6
    if isinstance(value, str):
        return len(value) <= _LONGEST
    if isinstance(value, (list, dict)) and depth < _DEEPEST and len(value) <= _LONGEST:
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return all(_is_sane(part, depth + 1) for part in parts)
    return False


def _short(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return "a whole number of hundreds of digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _product(size: Any) -> int:
    """Number of elements of `torch.empty(2, 3)` or `torch.empty((2, 3))`; of `torch.full`, only the size counts."""
    if size and isinstance(size[0], (tuple, list)):
        size = size[0]
    return math.prod(int(n) for n in size if isinstance(n, int))


def _largest(args: Iterable[Any]) -> int:
    return max((int(abs(n)) for n in args if isinstance(n, (int, float)) and math.isfinite(n)), default=0)

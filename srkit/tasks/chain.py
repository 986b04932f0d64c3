"""Which networks, one after another, give a factor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

_MAX_PASSES = 4


def choose_chain(factor: float, scales: Sequence[int], later: Sequence[int] | None = None) -> tuple[int, ...]:
    """Scales to apply in order, the smallest product that reaches `factor`; the rest is resampled down.

    Fewest passes first, then the smallest product, then the least work (the small factor first). A factor of 1
    or less needs none.

    Args:
        factor: at most 16.
        scales: what is at hand, each above 1; may be used more than once.
        later: where it is given, what is at hand for all but the first pass; `scales` are for the first alone, and
            of equal products it is the one with the largest first factor.

    >>> choose_chain(4, [2, 4, 8]), choose_chain(3, [2, 4, 8]), choose_chain(16, [2, 4, 8]), choose_chain(6, [4])
    ((4,), (4,), (2, 8), (4, 4))
    >>> choose_chain(8, [4], later=[2, 4, 8])
    (4, 2)
    """
    if factor <= 1:
        return ()
    for passes in range(1, _MAX_PASSES + 1):
        chains = [chain for chain in _chains(scales, later, passes) if math.prod(chain) >= factor - 1e-9]
        if chains:
            return min(chains, key=lambda chain: (math.prod(chain), -chain[0] if later else 0, _work(chain)))
    raise ValueError(f"no chain of {scales} reaches {factor}")


def _chains(scales: Sequence[int], later: Sequence[int] | None, passes: int) -> Iterator[tuple[int, ...]]:
    if later is None:
        yield from itertools.combinations_with_replacement(sorted(scales), passes)
        return
    for rest in itertools.combinations_with_replacement(sorted(later), passes - 1):
        for first in scales:
            yield (first, *rest)


def _work(chain: tuple[int, ...]) -> int:
    """Pixels that networks read in all, for each input pixel."""
    return sum(area * area for area in itertools.accumulate((1, *chain[:-1]), lambda a, b: a * b))

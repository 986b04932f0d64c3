"""Shards: every image is in one, extensions do not matter, and names that are added move no other."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from srkit.errors import UsageError
from srkit.recipes.shard import Shard
from tests.helpers import refused

NAMES = [PurePath(f"folder {n % 7}/photo {n}.png") for n in range(1000)]


@pytest.mark.parametrize("count", [1, 2, 8, 13])
def test_shards_never_overlap_and_their_union_is_all(count: int) -> None:
    shards = [Shard(index, count) for index in range(1, count + 1)]
    parts = [[name for name in NAMES if shard.holds(name)] for shard in shards]
    assert sorted(name for part in parts for name in part) == sorted(NAMES)
    assert all(0.7 < len(part) * count / len(NAMES) < 1.3 for part in parts)


def test_a_shard_does_not_depend_on_extension_or_run() -> None:
    assert all(Shard(2, 8).holds(name) == Shard(2, 8).holds(name.with_suffix(".jpg")) for name in NAMES)
    held = [name.name for name in NAMES[:40] if Shard(3, 4).holds(name)]
    assert held == [name.name for name in NAMES[:40] if Shard.parse("3/4").holds(name)]
    # Pinned: shards of jobs that run on several versions at once must agree.
    assert [n for n in range(12) if Shard(1, 3).holds(PurePath(f"{n}.png"))] == [0, 6, 8, 9, 10]


def test_names_that_are_no_unicode_are_held_once() -> None:
    name = PurePath("caf\udce9.png")
    assert sum(Shard(index, 5).holds(name) for index in range(1, 6)) == 1


@pytest.mark.parametrize(
    "text", ["", "1", "0/3", "4/3", "-1/3", "1/0", "1/2/3", "one/two", "1 / 2", "\u0661/\u0662", "9" * 99]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with refused(UsageError, "shard"):
        Shard.parse(text)

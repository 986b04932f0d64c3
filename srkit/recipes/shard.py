"""Shards of a job's images, for several machines."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath

from srkit.errors import UsageError

_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """One of `count` parts, numbered from 1.

    Images are assigned by the SHA-256 of their name, so shards do not overlap, their union is complete, and added
    images do not move others. The extension is ignored: images whose outputs could share a name are in the same
    shard, which resolves the conflict.

    Raises:
        UsageError: the number is not within 1 to count.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(f"`shard` is {self}; it takes I/N with I from 1 to N, such as 2/8.")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Shard of a text such as `2/8`.

        Raises:
            UsageError: the text is not of this form.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise UsageError(f"`shard` is '{text[:40]}'; it takes I/N with I from 1 to N, such as 2/8.")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, name: PurePath) -> bool:
        """True if an image belongs to this shard; `name` is relative to the job's folder."""
        key = sha256(os.fsencode(name.with_suffix("").as_posix())).digest()
        return int.from_bytes(key[:8], "big") % self.count == self.index - 1

"""Errors a user can act on.

Each is one sentence: what, what was found, what was expected, what to do next. The command line prints the
sentence and ends with `exit_code`; see `Exit` for what each code promises to scripts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit codes of the command line."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    GATE = 4
    RESOURCE = 5
    INTERRUPTED = 130


class SrkitError(Exception):
    """Nothing usable came out of what was asked for."""

    exit_code: ClassVar[Exit] = Exit.FAILED


class UsageError(SrkitError):
    """A value, path or combination that was asked for makes no sense."""

    exit_code = Exit.USAGE


class ImageError(SrkitError):
    """One image could not be read or written; the others go on."""


class ResourceError(SrkitError):
    """A model, data set or its checksum is missing, unreadable or wrong."""

    exit_code = Exit.RESOURCE


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the closest known word, else an empty string (to append to a sentence)."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def first_line(error: Exception) -> str:
    """What another library's error says in its first line, without the full stop; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")

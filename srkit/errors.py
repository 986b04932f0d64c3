"""Errors a user can act on.

Each is one sentence: what, what was found, what was expected, what to do next. The command line prints the
sentence and ends with `exit_code`; see `Exit` for what each code promises to scripts.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
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
    """No usable output could be produced."""

    exit_code: ClassVar[Exit] = Exit.FAILED


class UsageError(SrkitError):
    """A value, path or combination of options is invalid."""

    exit_code = Exit.USAGE


class ImageError(SrkitError):
    """An image could not be read or written; the other images are still processed."""


class ResourceError(SrkitError):
    """A model, data set or its checksum is missing, unreadable or wrong."""

    exit_code = Exit.RESOURCE


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggestion ` Did you mean 'x'?` of the closest known word, to append to a sentence; empty if none is close."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def unknown(found: str, name: object, known: Iterable[str]) -> UsageError:
    """Error for a name that is none of the known ones: `FOUND; known are A, B. Did you mean 'A'?`"""
    known = list(known)
    return UsageError(f"{found}; known are {', '.join(known)}.{nearest(str(name), known)}")


def check_known(what: str, name: object, known: Collection[str]) -> None:
    """Check that a name, which comes from a recipe, a header or the command line, is known.

    Raises:
        UsageError: `There is no WHAT 'NAME'`; the message names the known ones and the nearest.
    """
    if name not in known:
        raise unknown(f"There is no {what} '{name}'", name, known)


def first_line(error: Exception) -> str:
    """First line of an error's message without the full stop; the name of its class if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")

"""Texts as numbers: for each character its own, its neighbours' and its word's, hashed, so that any alphabet will do.

Spaces are no tokens: each character's place in its word shows where words begin and end.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from zlib import crc32

import torch
from torch import Tensor

CODES = 4096
"""Different hashes; 0 is what stands behind a text's end."""
PLACES = 16
"""Different places in a word, counted from its start and from its end; longer words share the last."""
_OWN = 128  # codes that are the printable ASCII characters' own


def cleaned(text: str) -> str:
    """The text in compatibility form (NFKC), with one space for each run of white space and control characters."""
    text = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())


def characters(text: str) -> int:
    """How many tokens a text has before it is cut."""
    return len(cleaned(text).replace(" ", ""))


def encode(texts: Sequence[str], length: int) -> Tensor:
    """Codes (N, length, 5) int64 of N texts: character, trigram, word, place from the start, place from the end.

    Characters count with their case, trigrams and words without. A text with more characters is cut, one with fewer
    is followed by zeros.
    """
    codes = torch.zeros(len(texts), length, 5, dtype=torch.int64)
    for row, text in enumerate(texts):
        found = [code for word in cleaned(text).split() for code in _word(word)][:length]
        if found:
            codes[row, : len(found)] = torch.tensor(found)
    return codes


def _word(word: str) -> list[tuple[int, int, int, int, int]]:
    low = word.casefold()
    # What folding makes longer ("ß") has no trigrams of its own: the letters' places must stay.
    low = low if len(low) == len(word) else word
    padded, whole = f" {low} ", _hashed("word", low.strip(".,;:!?\"'()"))
    return [
        (
            _character(letter),
            _hashed("trigram", padded[i : i + 3]),
            whole,
            min(i, PLACES - 1),
            min(len(word) - 1 - i, PLACES - 1),
        )
        for i, letter in enumerate(word)
    ]


def _character(letter: str) -> int:
    return ord(letter) if ord(letter) < _OWN else _hashed("character", letter)


def _hashed(kind: str, text: str) -> int:
    return _OWN + crc32(f"{kind} {text}".encode("utf-8", "replace")) % (CODES - _OWN)

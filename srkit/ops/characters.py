"""Encoding of texts as numbers for any alphabet: hashes of each character, its neighbours and its word.

Spaces are not tokens; the position of each character in its word marks word boundaries.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from zlib import crc32

import torch
from torch import Tensor

CODES = 4096
"""Number of different hashes; 0 is padding after the end of a text."""
PLACES = 16
"""Number of different positions in a word, from its start and from its end; characters further on share the last."""
_OWN = 128  # codes reserved for the printable ASCII characters


def cleaned(text: str) -> str:
    """Text in compatibility form (NFKC); each run of white space and control characters becomes one space."""
    text = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())


def characters(text: str) -> int:
    """Number of tokens of a text before truncation."""
    return len(cleaned(text).replace(" ", ""))


def encode(texts: Sequence[str], length: int) -> Tensor:
    """Codes (N, length, 5) int64 of N texts: character, trigram, word, place from the start, place from the end.

    Characters are case-sensitive, trigrams and words are not. Longer texts are truncated, shorter ones are padded
    with zeros.
    """
    codes = torch.zeros(len(texts), length, 5, dtype=torch.int64)
    for row, text in enumerate(texts):
        found = [code for word in cleaned(text).split() for code in _word(word)][:length]
        if found:
            codes[row, : len(found)] = torch.tensor(found)
    return codes


def _word(word: str) -> list[tuple[int, int, int, int, int]]:
    low = word.casefold()
    # A word that case folding lengthens ("ß") keeps its case, so that positions of letters stay.
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

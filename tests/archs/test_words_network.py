"""Texts as numbers, and the small encoder of them."""

from __future__ import annotations

import math

import pytest
import torch

from srkit.archs.words import WordsNetwork
from srkit.errors import UsageError
from srkit.ops.characters import CODES, PLACES, characters, cleaned, encode
from tests.helpers import refused

ODD = ["", "   ", "\x00\x1b[31m\n", "😀👩‍👩‍👧", "看板 パン屋", "مخبز", "ß" * 30, "\ud800", "a" * 5000]


def network() -> WordsNetwork:
    torch.manual_seed(0)
    return WordsNetwork(width=16, layers=2, heads=2, embedding=8, dim=12, length=20).eval()


def test_codes_of_a_word_by_hand() -> None:
    codes = encode(["No  no"], 8)[0]
    assert codes.shape == (8, 5)
    assert codes[:, 0].tolist() == [78, 111, 110, 111, 0, 0, 0, 0]  # ASCII's own, in order, spaces gone
    assert codes[:4, 3].tolist() == [0, 1, 0, 1]
    assert codes[:4, 4].tolist() == [1, 0, 1, 0]
    assert torch.equal(codes[0, 1:3], codes[2, 1:3])  # trigram and word: without case
    assert not codes[4:].any()


@pytest.mark.parametrize("odd", ODD)
def test_any_text_is_taken(odd: str) -> None:
    codes = encode([odd], 20)
    assert 0 <= int(codes.min()) <= int(codes.max()) < CODES
    assert int(codes[:, :, 3:].max()) < PLACES
    assert int((codes[0, :, 0] > 0).sum()) == min(20, characters(odd))
    sentence, words = network()(codes)
    assert bool(sentence.isfinite().all() & words.isfinite().all())
    assert bool(sentence.any()) == bool(cleaned(odd))


def test_control_characters_are_spaces() -> None:
    assert cleaned("a\x1b[1m\nb\t ") == "a [1m b"


@torch.inference_mode()
def test_words_are_in_order_and_know_their_letters() -> None:
    sentence, words = network()(encode(["ab", "ba", "ab cd"], 20))
    assert sentence.shape == (3, 12)
    assert words.shape == (3, 20, network().channels)
    assert [(row != 0).any(1).sum().item() for row in words] == [2, 2, 4]
    assert not torch.allclose(words[0, 0], words[1, 0], atol=1e-3)
    assert not torch.allclose(sentence[0], sentence[1], atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("text", ["OPEN", 'a sign "OPEN",', "(OPEN)", "it's OPEN!"])
def test_words_know_where_in_their_word_they_stand(text: str) -> None:
    """The first sine and cosine are of half a period over the word, whose quotes and stops do not count."""
    codes = encode([text], 20)
    _, words = network()(codes)
    letters = [int((codes[0, :, 0] == ord(letter)).nonzero()[0, 0]) for letter in "OPEN"]
    sine, cosine = words[0, letters, 32], words[0, letters, 36]
    fractions = torch.atan2(sine, cosine) / math.pi
    assert torch.allclose(fractions, torch.tensor([0.125, 0.375, 0.625, 0.875]), atol=1e-5)


@torch.inference_mode()
def test_texts_of_a_batch_do_not_touch_each_other() -> None:
    texts, made = ["a sign", "", "a longer text"], network()
    together = made(encode(texts, 20))
    for i, one in enumerate(texts):
        alone = made(encode([one], 20))
        for a, b in zip(together, alone, strict=True):
            assert torch.allclose(a[i], b[0], atol=1e-5)


def test_prompts_go_beside_the_tokens_and_count() -> None:
    made = network()
    maps, prompts = torch.randn(2, 16, 3, 3), torch.randn(2, 4, 16, requires_grad=True)
    out = made.prompted(maps, prompts)
    assert out.shape == maps.shape
    torch.autograd.backward(out.square().sum())
    assert prompts.grad is not None
    assert bool((prompts.grad.abs().sum((0, 2)) > 0).all())
    with torch.no_grad():
        assert not torch.allclose(made.prompted(maps, prompts[:, :0]), out, atol=1e-3)


def test_refusals() -> None:
    with refused(UsageError, "15"):
        WordsNetwork(width=15, heads=2)
    with refused(UsageError, "length 0"):
        WordsNetwork(length=0)

"""What tests of all folders share: assertions about errors, and a progress that keeps what was said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from srkit.conditioning.makers import CONDITIONS, Conditioning, Kind, Subject
from srkit.conditioning.values import Condition
from srkit.errors import SrkitError
from srkit.ops.layout import as_tensor
from srkit.progress import Silent


def missing(text: str, named: tuple[object, ...]) -> list[str]:
    """Those of `named` that the text does not contain as whole words: '1' is not in '16', nor 'lr' in 'lr_final'.

    Floats may be written with or without their last zeros.
    """

    # The library quotes the names of settings, which the command line writes as flags.
    text += "\n" + re.sub(r"`(\w+)`", lambda found: f"--{found[1].replace('_', '-')}", text)

    def is_in(word: str) -> bool:
        return re.search(rf"(?<![\w.]){re.escape(word)}(?!\w|\.\d)", text) is not None

    return [
        str(item)
        for item in named
        if not is_in(str(item)) and not (isinstance(item, float) and is_in(f"{item:g}"))
    ]


def assert_message(text: str, *named: object) -> None:
    """A message is one sentence in one line, and names all of `named`: keys, values, files, what is known instead.

    Nothing else of its wording is fixed; see tests/cli/test_golden_sentences.py for examples of whole ones.
    """
    absent = missing(text, named)
    assert not absent, f"{absent} not named in: {text}"
    assert "\n" not in text
    assert text.endswith((".", "?")), text


@contextmanager
def refused(error: type[Exception], *named: object) -> Iterator[pytest.ExceptionInfo[Any]]:
    """The block raises `error`, with the exit code of that class, and its message names all of `named`."""
    with pytest.raises(error) as caught:
        yield caught
    text, code = str(caught.value), getattr(caught.value, "exit_code", None)
    del caught  # its traceback would keep files open
    if issubclass(error, SrkitError):
        assert code is error.exit_code
        assert_message(text, *named)
    else:
        assert not missing(text, named), text


class Listening(Silent):
    """Progress that keeps what was said, and how much was done."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.done = 0.0

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount

    def info(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)

    def about(self, *named: object) -> list[str]:
        """The messages and warnings that name all of these."""
        return [message for message in (*self.said, *self.warned) if not missing(message, named)]


def conditioned_on(
    patch: pytest.MonkeyPatch, *, position: bool = False, **makers: Callable[[Tensor], Tensor]
) -> Conditioning:
    """A conditioning on functions of whole LR images (1, 3, h, w) in [0, 1], entered in the table for one test."""

    def kind(make: Callable[[Tensor], Tensor]) -> Kind:
        def made(subject: Subject) -> Condition:
            assert not torch.is_grad_enabled()
            return Condition(make(as_tensor(subject.image, torch.device("cpu"))))

        return Kind(made)

    for name, make in makers.items():
        patch.setitem(CONDITIONS, name, kind(make))
    return Conditioning((*makers, *(["position"] if position else [])))

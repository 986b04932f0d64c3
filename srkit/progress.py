"""How tasks report their progress, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receiver of progress. Implementations must accept calls from several threads."""

    def start(self, label: str, total: float | None) -> None:
        """Begin a stage of `total` units of work (None: unknown)."""

    def advance(self, amount: float = 1.0) -> None:
        """`amount` more units of the stage are done."""

    def finish(self) -> None:
        """The stage has ended."""

    def info(self, message: str) -> None:
        """Something a user may like to know."""

    def say(self, message: str) -> None:
        """Something that a user sees without asking for it, such as what is being fetched and under which licence."""

    def warn(self, message: str) -> None:
        """Something a user should know: a result differs from what was asked for."""


class Silent:
    """Progress that nobody watches."""

    def start(self, label: str, total: float | None) -> None: ...

    def advance(self, amount: float = 1.0) -> None: ...

    def finish(self) -> None: ...

    def info(self, message: str) -> None: ...

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

"""Interface by which tasks report progress; tasks do not know the receiver."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receiver of progress. Implementations must accept calls from several threads."""

    def start(self, label: str, total: float | None) -> None:
        """Begin a stage of `total` units of work (None: unknown)."""

    def advance(self, amount: float = 1.0) -> None:
        """Report `amount` more units of the stage as done."""

    def finish(self) -> None:
        """End the stage."""

    def info(self, message: str) -> None:
        """Report details that are shown on request only."""

    def say(self, message: str) -> None:
        """Report a message that is shown by default, such as a download and its licence."""

    def warn(self, message: str) -> None:
        """Report a deviation of the result from the request."""


class Silent:
    """Progress that is discarded."""

    def start(self, label: str, total: float | None) -> None: ...

    def advance(self, amount: float = 1.0) -> None: ...

    def finish(self) -> None: ...

    def info(self, message: str) -> None: ...

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

"""Where the work is done: in this process, or in many by Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from srkit.errors import UsageError

ALL_GPUS = "cuda:all"
"""The device that means every GPU of the machine, by Ray."""


@dataclass(frozen=True)
class EngineRecipe:
    """The engine, and how many of which workers it has.

    Raises:
        UsageError: values that make no sense, or that are Ray's without it.
    """

    name: Literal["local", "ray"] = "local"
    workers: int | None = None
    """None: one for each GPU, or for each `threads` CPU cores."""
    address: str | None = None
    """Of a Ray cluster: `auto`, `HOST:PORT` or `ray://HOST:PORT`; None: $RAY_ADDRESS, else this machine alone."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"`workers` is {self.workers}; it must be at least 1.")
        if self.name == "local" and (self.workers is not None or self.address is not None):
            raise UsageError("`workers` and `address` are for `engine` ray; add it, or leave them out.")

    @classmethod
    def of(
        cls, name: Literal["local", "ray"], workers: int | None, address: str | None, device: str
    ) -> EngineRecipe:
        """With Ray, too, where the device is all GPUs.

        Raises:
            UsageError: as the class; a GPU of one machine's for many workers.
        """
        engine = cls("ray" if device == ALL_GPUS else name, workers, address)
        if engine.name == "ray" and device.startswith("cuda:") and device != ALL_GPUS:
            raise UsageError(
                f"`device` is '{device}', and with `engine` ray each worker gets a GPU of its own; give cuda."
            )
        return engine

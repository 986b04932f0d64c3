"""Recipe of the engine: this process, or workers of Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from srkit.errors import UsageError
from srkit.recipes.bounds import Bounded, bounded

ALL_GPUS = "cuda:all"
"""Device name for all GPUs of the machine, through Ray."""


@dataclass(frozen=True)
class EngineRecipe(Bounded):
    """The engine, and the number and address of its workers.

    Raises:
        UsageError: invalid values, or Ray's settings without Ray.
    """

    name: Literal["local", "ray"] = "local"
    workers: int | None = bounded(None, min=1, flag=True)
    """Number of workers; None: one per GPU, or one per `threads` CPU cores."""
    address: str | None = None
    """Address of a Ray cluster: `auto`, `HOST:PORT` or `ray://HOST:PORT`; None: $RAY_ADDRESS, else this machine
    alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "local" and (self.workers is not None or self.address is not None):
            raise UsageError("`workers` and `address` are for `engine` ray; add it, or leave them out.")

    @classmethod
    def of(
        cls, name: Literal["local", "ray"], workers: int | None, address: str | None, device: str
    ) -> EngineRecipe:
        """The engine of these options; `device` "cuda:all" implies Ray.

        Raises:
            UsageError: as the class; or a numbered GPU for several workers.
        """
        engine = cls("ray" if device == ALL_GPUS else name, workers, address)
        if engine.name == "ray" and device.startswith("cuda:") and device != ALL_GPUS:
            raise UsageError(
                f"`device` is '{device}', and with `engine` ray each worker gets a GPU of its own; give cuda."
            )
        return engine

"""The engine's settings: what makes no sense is refused, and all GPUs mean Ray."""

from __future__ import annotations

import pytest

from srkit.errors import UsageError
from srkit.recipes.engine import EngineRecipe
from tests.helpers import refused


def test_all_gpus_are_rays() -> None:
    assert EngineRecipe.of("local", None, None, "cuda:all").name == "ray"
    assert EngineRecipe.of("local", None, None, "cuda:1").name == "local"


@pytest.mark.parametrize(
    ("name", "workers", "address", "device", "named"),
    [
        ("ray", 0, None, "auto", ("workers", 0)),
        ("local", 2, None, "auto", ("workers", "engine")),
        ("local", None, "auto", "auto", ("address", "engine")),
        ("ray", None, None, "cuda:1", ("device", "cuda:1")),
    ],
)
def test_what_makes_no_sense(name, workers, address, device, named) -> None:  # type: ignore[no-untyped-def]
    with refused(UsageError, *named):
        EngineRecipe.of(name, workers, address, device)

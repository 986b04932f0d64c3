"""Images to train on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def images(rendered: Callable[..., NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    return [rendered(64, 50), rendered(48, 80, seed=1)]

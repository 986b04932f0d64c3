"""What the tests of training share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    """A folder of seven images, 0.png to 6.png; every third is held out: 0, 3 and 6."""
    root = tmp_path_factory.mktemp("data") / "photographs"
    root.mkdir()
    for i in range(7):
        cv2.imwrite(str(root / f"{i}.png"), rendered(72, 72 + i, seed=i % 2)[:, :, ::-1])
    return root

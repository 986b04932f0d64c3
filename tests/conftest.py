"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of benchmark data; tests that need it carry the mark `data`."""
    root = os.environ.get("SRKIT_DATA")
    if not root:
        pytest.skip("SRKIT_DATA is not set")
    return Path(root)

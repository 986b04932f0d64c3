"""What the tests of training and of adapting share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from srkit.data.pairs import make_lr
from srkit.recipes.adapt import AdaptRecipe
from srkit.recipes.self_supervised import SelfAdaptRecipe
from srkit.rendered import draw, spec
from srkit.tasks.adapt.run import AdaptJob, AdaptResult, run
from tests.tasks.adapt.adapting import LOOP, TUNE, Kind, change_l2, change_loop, compressed, write


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    """A folder of seven images, 0.png to 6.png; every third is held out: 0, 3 and 6."""
    root = tmp_path_factory.mktemp("data") / "photographs"
    root.mkdir()
    for i in range(7):
        cv2.imwrite(str(root / f"{i}.png"), rendered(72, 72 + i, seed=i % 2)[:, :, ::-1])
    return root


@pytest.fixture(scope="session")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small screens of one kind."""
    folder = tmp_path_factory.mktemp("data") / "screens"
    for i in range(5):
        screen = replace(spec("screen", i), content="article", theme="light")  # type: ignore[call-arg]
        write(folder / f"{'abcde'[i]}.png", draw(screen, 72, 64).pixels)
    return folder


@pytest.fixture(scope="session")
def phone(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    """Five small images, all compressed."""
    folder = tmp_path_factory.mktemp("data") / "phone"
    for i in range(5):
        write(folder / f"{'abcde'[i]}.png", compressed(make_lr(rendered(96, 112, i), 2)))
    return folder


@pytest.fixture
def adapt(edsr_weights: Path, tmp_path: Path) -> Callable[..., AdaptResult]:
    """Adapts the tiny EDSR x2 to labelled examples and writes to tmp_path/out.safetensors."""

    def go(
        domain: Path, progress: Any = None, output: str = "out.safetensors", **changes: Any
    ) -> AdaptResult:
        usual = {"model": str(edsr_weights), "shots": 3, "tune": TUNE, "device": "cpu", "dtype": "fp32"}
        job = AdaptJob(AdaptRecipe(**(usual | changes)), domain, tmp_path / output, with_gallery=True)
        return run(job, progress)

    return go


@pytest.fixture
def self_adapt(edsr_weights: Path, reconstructor_weights: Path, tmp_path: Path) -> Callable[..., AdaptResult]:
    """Adapts it to low-resolution images alone."""

    def go(
        domain: Path, progress: Any = None, output: str = "out.safetensors", **changes: Any
    ) -> AdaptResult:
        usual = {"model": str(edsr_weights), "loop": LOOP, "device": "cpu", "dtype": "fp32"}
        recipe = SelfAdaptRecipe(**(usual | {"reconstructor": str(reconstructor_weights)} | changes))
        return run(AdaptJob(recipe, domain, tmp_path / output, with_gallery=True), progress)

    return go


@pytest.fixture(params=["labelled", "self-supervised"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Both kinds of adaptation."""
    if request.param == "labelled":
        adapt, domain = request.getfixturevalue("adapt"), request.getfixturevalue("screens")
        return Kind(adapt, domain, TUNE.steps or 0, AdaptRecipe, "tune", change_l2)
    adapt, domain = request.getfixturevalue("self_adapt"), request.getfixturevalue("phone")
    return Kind(adapt, domain, LOOP.steps or 0, SelfAdaptRecipe, "loop", change_loop)

"""One set through one model: order, failures, and threads."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.errors import SrkitError
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.results import ImageResult
from srkit.metrics.table import METRICS, Sample, Scorer, Setup
from srkit.ops.layout import compute_alone
from srkit.progress import Silent
from srkit.tasks.evaluate.plan import Entry, SetPlan
from srkit.tasks.evaluate.sets import Bicubic, Finished, FromFiles, Loaded, Model, SetRun
from tests.helpers import refused

CPU = torch.device("cpu")


@pytest.fixture
def plan(tmp_path: Path) -> SetPlan:
    entries = []
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (40 + 2 * i, 60, 3), dtype=np.uint8)
        path = tmp_path / f"{i}.png"
        write_image(DecodedImage(pixels), path, format="png")
        entries.append(Entry(str(i), hr=path, size=(40 + 2 * i, 60)))
    return SetPlan("set", 2, "made: bicubic uint8", tuple(entries))


def run(plan: SetPlan, model: Model, scorer: Scorer, save_to: Path | None = None) -> SetRun:
    return SetRun(plan, model, "m", PROTOCOLS["rgb"], {"psnr": scorer}, CPU, 10**9, save_to)


class Failing(Bicubic):
    """A network that fails on one image."""

    def run(self, stream: Iterator[Loaded | None]) -> Iterator[Finished]:
        for finished in super().run(stream):
            if finished.loaded.entry.name == "3":
                yield Finished(finished.loaded, None, RuntimeError("cuDNN said no"))
            else:
                yield finished


def test_order_and_a_failure(plan: SetPlan) -> None:
    images, failed = run(plan, Failing(), METRICS["psnr"].make(Setup(CPU))).run(Silent())
    assert [image.name for image in images] == ["0", "1", "2", "4", "5"]
    assert [(f.name, "cuDNN said no" in f.error) for f in failed] == [("3", True)]


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_what_is_not_a_number_stays_so(plan: SetPlan, value: float) -> None:
    images, failed = run(plan, Bicubic(), Scorer(lambda sample: value)).run(Silent())
    assert not failed
    assert all(math.isnan(image.values["psnr"]) for image in images)


def test_a_full_disk_ends_the_run(plan: SetPlan, tmp_path: Path) -> None:
    with refused(SrkitError, tmp_path / "gone"):
        run(plan, Bicubic(), METRICS["psnr"].make(Setup(CPU)), tmp_path / "gone").run(Silent())


def test_sr_and_reference_are_cut_alike(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (41, 51, 3), dtype=np.uint8)
    for name in ("hr", "sr"):
        write_image(DecodedImage(pixels), tmp_path / f"{name}.png", format="png")
    entry = Entry("a", hr=tmp_path / "hr.png", sr=tmp_path / "sr.png", size=(40, 50))
    plan = SetPlan("set", 2, "made: bicubic uint8", (entry,))
    seen: list[Sample] = []

    def keep(sample: Sample) -> float:
        seen.append(sample)
        return 1.0

    images, _ = run(plan, FromFiles(), Scorer(keep)).run(Silent())
    assert images == [ImageResult("a", {"psnr": 1.0})]
    [sample] = seen
    assert sample.hr is not None and sample.lr is not None
    assert torch.equal(sample.sr, sample.hr)
    assert sample.sr.shape == (1, 3, 40, 50) and sample.lr.shape == (1, 3, 20, 25)


def test_stages_beside_the_network_compute_alone() -> None:
    usual = torch.get_num_threads()
    found: dict[str, int] = {}

    def beside(name: str) -> None:
        if name == "alone":
            compute_alone()
        found[name] = torch.get_num_threads()

    torch.set_num_threads(3)
    try:
        for name in ("alone", "later"):
            thread = threading.Thread(target=beside, args=(name,))
            thread.start()
            thread.join()
        assert found == {"alone": 1, "later": 3}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(usual)

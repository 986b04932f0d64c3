"""Conditions of crops: made once for each whole image, inherited, and in the right place."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.conditioning.makers import CONDITIONS, Conditioning, Kind
from srkit.conditioning.values import Condition
from srkit.data.packed import Crops, crop_positions
from srkit.data.pairs import CropPlan, MemoryPairs, PairSource, crop_to_multiple, make_lr, shrunk
from srkit.data.streamed import StreamedPairs
from srkit.errors import UsageError
from srkit.ops.geometry import TURNS, position_grid, turn
from srkit.ops.layout import RGB
from srkit.progress import Silent
from tests.helpers import conditioned_on, refused

CPU = torch.device("cpu")
SIDE = 40


class Whole:
    """Conditions on the whole LR image itself, laid into a square, and on its size."""

    def __init__(self) -> None:
        self.calls = 0

    def image(self, lr: Tensor) -> Tensor:
        assert lr.shape[:2] == (1, 3)
        self.calls += 1
        height, width = lr.shape[2:]
        return F.pad(lr, (0, SIDE - width, 0, SIDE - height))

    def conditioning(self, patch: pytest.MonkeyPatch, *, position: bool = False) -> Conditioning:
        return conditioned_on(
            patch, position=position, whole=self.image, size=lambda lr: torch.tensor([lr.shape[2:]])
        )


class Counting(Silent):
    def __init__(self) -> None:
        self.labels: list[tuple[str, float | None]] = []
        self.done = 0.0

    def start(self, label: str, total: float | None) -> None:
        self.labels.append((label, total))

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount


@pytest.fixture
def images(rendered: Callable[..., RGB]) -> list[RGB]:
    return [rendered(61, 50), rendered(45, 77, seed=1)]


Make = Callable[..., PairSource]


@pytest.fixture(params=["memory", "stream", "stream by workers"])
def make(request: pytest.FixtureRequest, images: list[RGB], tmp_path: Path) -> Make:
    """Makes either source from the same images; streamed, there is a broken file among them."""
    if request.param == "memory":
        return lambda plan, conditioning, progress: MemoryPairs(images, plan, CPU, conditioning, progress)
    files = [tmp_path / f"{name}.png" for name in ("0", "broken", "1")]
    for file, image in zip(files[::2], images, strict=True):
        cv2.imwrite(str(file), image[:, :, ::-1])
    files[1].write_bytes(files[0].read_bytes()[:100])
    workers = 1 if request.param.endswith("workers") else 0
    return lambda plan, conditioning, progress: StreamedPairs(
        files, plan, CPU, workers, conditioning, progress
    )


@pytest.mark.parametrize("kind", range(TURNS))
def test_positions_are_the_grid_cut_and_turned(kind: int) -> None:
    sizes = [(30, 11), (9, 14), (8, 8)]
    places = [(0, 22, 3), (0, 0, 0), (1, 1, 6), (2, 0, 0)]
    image, top, left = (torch.tensor(column) for column in zip(*places, strict=True))
    crops = Crops(image, top, left, torch.full((len(places),), kind))
    heights, widths = (torch.tensor(column)[image] for column in zip(*sizes, strict=True))
    found = crop_positions(crops, 8, (heights, widths), CPU)
    for one, (p, y, x) in zip(found, places, strict=True):
        whole = position_grid(*sizes[p], CPU)
        assert torch.equal(one, turn(whole[:, :, y : y + 8, x : x + 8], kind)[0])


@pytest.mark.parametrize("sizes", [(1.0,), (1.0, 0.5)])
def test_crops_are_conditioned_on_their_own_image_and_place(
    sizes: tuple[float, ...], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its position, the whole image of a crop shows the crop's pixel."""
    plan = CropPlan(2, patch=8, batch=24, seed=0, sizes=sizes)
    source = make(plan, Whole().conditioning(monkeypatch, position=True), Silent())
    seen = set()
    for batch in itertools.islice(source.batches(0), 2):
        assert set(batch.conditions) == {"whole", "size", "position"}
        position, size = batch.conditions["position"], batch.conditions["size"]
        assert (position.shape, position.dtype) == ((24, 2, 8, 8), torch.float32)
        for lr, where, whole, extent in zip(batch.lr, position, batch.conditions["whole"], size, strict=True):
            x, y = ((where[i] + 1) / 2 * extent[1 - i] - 0.5 for i in (0, 1))
            torch.testing.assert_close(x, x.round(), atol=1e-4, rtol=0)
            assert torch.equal(whole[:, y.round().long(), x.round().long()], lr)
            seen.add(tuple(extent.tolist()))
    assert len(seen) == 2 * len(sizes)


def test_conditions_of_a_whole_image_are_made_once(
    make: Make, images: list[RGB], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = CropPlan(2, patch=8, batch=8, seed=0, sizes=(1.0, 0.5))
    whole_images, progress = Whole(), Counting()
    source = make(plan, whole_images.conditioning(monkeypatch), progress)
    assert whole_images.calls == 4
    assert len(progress.labels) == 1
    assert progress.labels[0][1] == progress.done
    lows = [make_lr(crop_to_multiple(shrunk(p, f), 2), 2) for p in images for f in (1.0, 0.5)]
    known = {low.shape[:2]: torch.from_numpy(low).permute(2, 0, 1).float() / 255 for low in lows}
    for batch in itertools.islice(source.batches(0), 4):
        assert set(batch.conditions) == {"whole", "size"}
        for whole, extent in zip(batch.conditions["whole"], batch.conditions["size"], strict=True):
            height, width = extent.tolist()
            assert torch.equal(whole[:, :height, :width], known[height, width])
    assert whole_images.calls == 4


def test_pairs_do_not_depend_on_conditions(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = CropPlan(2, patch=8, batch=4, seed=3)
    conditioned, plain = (
        list(itertools.islice(make(plan, conditioning, Silent()).batches(0), 3))
        for conditioning in (Whole().conditioning(monkeypatch, position=True), Conditioning())
    )
    for a, b in zip(conditioned, plain, strict=True):
        assert torch.equal(a.lr, b.lr)
        assert torch.equal(a.hr, b.hr)
        assert b.conditions == {}


def test_crops_cannot_be_given_spatial_conditions(images: list[RGB], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONDITIONS, "map", Kind(lambda subject: Condition(torch.zeros(1, 1, 4, 4), True)))
    with refused(UsageError, "map"):
        MemoryPairs(images, CropPlan(2, patch=8, batch=4, seed=3), CPU, Conditioning(["map"]))

"""`srkit upscale -m auto` looks at each image: which networks it takes, and what plans and records say of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from srkit.inference.diagnosis import Look
from srkit.io.codecs import through_jpeg
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.ops.layout import RGB
from srkit.recipes.engine import EngineRecipe
from srkit.recipes.upscale import Target, UpscaleRecipe
from srkit.tasks.upscale.plan import plan_upscale
from srkit.tasks.upscale.run import FileRecord, UpscaleJob, run
from srkit.tasks.upscale.streamed import run_streamed
from srkit.zoo import load as load_module
from srkit.zoo.loaded import LoadedModel

RECIPE = UpscaleRecipe(device="cpu", dtype="fp32")


def _damaged(image: RGB) -> RGB:
    noise = np.random.default_rng(3).normal(0, 18, image.shape)
    return through_jpeg(np.clip(image + noise, 0, 255).astype(np.uint8), 50)


@pytest.fixture
def folder(rendered: Callable[..., RGB], tmp_path: Path) -> Path:
    """Clean, damaged and constant images, in turn."""
    images = {
        "a-clean": rendered(64, 72),
        "b-damaged": _damaged(rendered(64, 64, 1)),
        "c-constant": np.full((40, 40, 3), 128, np.uint8),
        "d-damaged": _damaged(rendered(64, 80, 2)),
        "e-clean": rendered(80, 64, 3),
        "f-tiny": rendered(1, 1),
    }
    (tmp_path / "in").mkdir()
    for name, pixels in images.items():
        write_image(DecodedImage(pixels), tmp_path / "in" / f"{name}.png", format="png")
    return tmp_path / "in"


def _checked(records: list[FileRecord]) -> None:
    assert [record.status for record in records] == ["done"] * 6, records
    found = {Path(record.input).stem[2:]: record for record in records}
    for name, verdict, model in (
        ("clean", "clean", "srvgg-x4"),
        ("damaged", "damaged", "real-x4"),
        ("constant", "undetermined", "srvgg-x4"),
        ("tiny", "undetermined", "srvgg-x4"),
    ):
        diagnosis = found[name].diagnosis
        assert diagnosis is not None
        assert (diagnosis.verdict, found[name].models) == (verdict, (model,))


def test_each_image_has_the_networks_that_suit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    read = load_module._read

    def counted(path: Path, name: str, sha256: str) -> LoadedModel:
        loaded.append(name)
        return read(path, name, sha256)

    monkeypatch.setattr(load_module, "_read", counted)
    job = UpscaleJob(RECIPE, str(folder), tmp_path / "out", save_recipe=True)
    records = list(run(job))
    _checked(records)
    assert sorted(loaded) == ["diagnose", "real-x4", "srvgg-x4"]
    saved = json.loads((tmp_path / "out" / "b-damaged.png.srkit.json").read_text())
    assert saved["models"][0]["name"] == "real-x4"
    assert records[1].diagnosis is not None and saved["diagnosis"] == asdict(records[1].diagnosis)


def test_the_result_is_that_of_the_chosen_model_named(folder: Path, tmp_path: Path) -> None:
    list(run(UpscaleJob(RECIPE, str(folder), tmp_path / "auto")))
    for name, model in (("a-clean", "srvgg-x4"), ("b-damaged", "real")):
        named = UpscaleJob(
            replace(RECIPE, model=model), str(folder / f"{name}.png"), tmp_path / f"{name}.png"
        )
        (record,) = run(named)
        assert record.diagnosis is None
        auto = read_image(tmp_path / "auto" / f"{name}.png").pixels
        assert np.array_equal(auto, read_image(tmp_path / f"{name}.png").pixels)


def test_a_model_that_is_named_stays(folder: Path, tmp_path: Path) -> None:
    job = UpscaleJob(replace(RECIPE, model="srvgg-x4"), str(folder), tmp_path / "out")
    assert {(record.models, record.diagnosis) for record in run(job)} == {(("srvgg-x4",), None)}


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_damaged_images_at_other_factors_go_as_with_real(folder: Path, tmp_path: Path, scale: int) -> None:
    chains = [
        plan_upscale(
            UpscaleJob(
                replace(RECIPE, model=model, target=Target(scale=scale)),
                str(folder / "b-damaged.png"),
                tmp_path / "x.png",
            )
        )
        .pictures[0]
        .models
        for model in ("auto", "real")
    ]
    assert chains[0] == chains[1] and chains[0][0] == "real-x4"


def test_a_plan_says_what_a_run_does(folder: Path, tmp_path: Path) -> None:
    job = UpscaleJob(RECIPE, str(folder), tmp_path / "out")
    planned, records = plan_upscale(job).pictures, list(run(job))
    assert [(p.models, p.diagnosis) for p in planned] == [(r.models, r.diagnosis) for r in records]


def test_a_plan_names_what_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    broken = (folder / "a-clean.png").read_bytes()
    (folder / "a-clean.png").write_bytes(broken[: len(broken) // 2])
    first, second, *_ = plan_upscale(UpscaleJob(RECIPE, str(folder), tmp_path / "out")).pictures
    assert first.error is not None and first.diagnosis is None
    assert second.error is None and second.models == ("real-x4",)


def test_streams_look_as_well(folder: Path, tmp_path: Path) -> None:
    target = f"memory://auto/{tmp_path.name}"
    job = UpscaleJob(RECIPE, str(folder), Path(target))
    _checked(list(run_streamed(job, target, EngineRecipe())))


def test_tiles_do_not_change_what_is_found(folder: Path, tmp_path: Path) -> None:
    jobs = [
        UpscaleJob(replace(RECIPE, tile=tile), str(folder), tmp_path / str(tile))  # type: ignore[arg-type]
        for tile in ("off", 32)
    ]
    plain, tiled = ([(r.models, r.diagnosis) for r in run(job)] for job in jobs)
    assert plain == tiled


def test_an_image_that_cannot_be_looked_at_fails_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Look.__call__

    def fails(self: Look, image: DecodedImage) -> object:
        if (image.width, image.height) == (72, 64):
            raise MemoryError
        return look(self, image)

    monkeypatch.setattr(Look, "__call__", fails)
    records = list(run(UpscaleJob(RECIPE, str(folder), tmp_path / "out")))
    assert [record.status for record in records] == ["failed", *["done"] * 5]

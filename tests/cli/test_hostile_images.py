"""Damaged images of every format among good ones, through every command that reads images: none ends the process.

Each run is a process of its own, so that a decoder's crash is seen as what it is: a signal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srkit.errors import ImageError
from srkit.io.image import DecodedImage
from srkit.io.read import probe, read_image
from srkit.io.write import write_image
from tests.hostile import damaged, whole_images, write_damaged

Pixels = NDArray[np.uint8]
GOOD = 5
RECIPE = """
name = "tiny"
[model]
arch = "edsr"
arguments = { scale = 2, features = 4, blocks = 1, upsampler = "single" }
[data]
patch = 8
batch = 2
holdout_every = 8
residency = "%s"
workers = 0
[optim]
lr = 1e-4
steps = 16
"""


@pytest.fixture(scope="module")
def folder(rendered: Callable[..., Pixels], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Damaged images, those of PngSuite too where there is data, and a few good ones among them."""
    folder = tmp_path_factory.mktemp("hostile") / "images"
    write_damaged(folder, rendered(48, 64), of_each=2)
    for file in Path(os.environ.get("SRKIT_DATA") or "/nonexistent", "pngsuite").glob("x*.png"):
        shutil.copy(file, folder)
    for i in range(GOOD):
        write_image(
            DecodedImage(rendered(64, 72, seed=i % 2)), folder / f"{'amz'[i % 3]}-good{i}.png", format="png"
        )
    return folder


def usable(folder: Path) -> int:
    """How many can be decoded."""
    count = 0
    for file in folder.iterdir():
        try:
            read_image(file)
        except ImageError:
            continue
        count += 1
    return count


def test_every_format_is_read_before_it_is_damaged(rendered: Callable[..., Pixels]) -> None:
    for name, data in whole_images(rendered(48, 64)).items():
        assert read_image(data).pixels.shape[:2] == (48, 64), name


def test_what_is_damaged_is_refused_or_read_as_its_header_says(rendered: Callable[..., Pixels]) -> None:
    refused = 0
    for number, (name, data) in enumerate(whole_images(rendered(48, 64)).items()):
        for seed in range(8):
            hurt = damaged(data, np.random.default_rng((number, seed)))
            try:
                info, image = probe(hurt, max_pixels=10**6), read_image(hurt, max_pixels=10**6)
            except ImageError:
                refused += 1
            else:
                assert (image.width, image.height, image.depth) == (
                    info.width,
                    info.height,
                    info.depth,
                ), name
    assert 60 < refused < 232


def test_upscale(server: Any, folder: Path, edsr_weights: Path, tmp_path: Path) -> None:
    ran = server.run("upscale", folder, tmp_path / "out", "-m", edsr_weights, "--json", "-f", "png")
    assert ran.code == 3, ran.err
    assert len(ran.records) == len(list(folder.iterdir()))
    assert sum(r["status"] == "done" for r in ran.records) == usable(folder) >= GOOD


def test_estimate_kernel(
    server: Any, folder: Path, dkenet_weights: Path, nbsr_weights: Path, tmp_path: Path
) -> None:
    models = ("-m", dkenet_weights, "--restorer", nbsr_weights, "--no-preview", "--depth", "none")
    ran = server.run("estimate-kernel", folder, tmp_path / "out", *models, "--json")
    assert ran.code == 3, ran.err
    assert len(ran.records) == len(list(folder.iterdir()))
    assert sum(r["status"] == "done" for r in ran.records) >= GOOD
    assert not [
        r for r in ran.records if "unforeseen" in (r["error"] or "") or "--debug" in (r["error"] or "")
    ]


@pytest.mark.parametrize("residency", ["memory", "stream"])
def test_train(server: Any, folder: Path, tmp_path: Path, residency: str) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE % residency)
    ran = server.run("train", tmp_path / "tiny.toml", "--data", folder, "-o", tmp_path / "run", "--json")
    assert ran.code == 0, ran.err
    (document,) = ran.records
    assert document["steps"] == 16
    assert len(document["held_out"]) > 1
    assert "left out" in ran.err
    if residency == "memory":
        assert document["pictures"] + len(document["held_out"]) <= usable(folder)


def test_adapt(server: Any, folder: Path, edsr_weights: Path, tmp_path: Path) -> None:
    few = ("--shots", 3, "--steps", 2, "--max-pixels", 10**6, "--json")
    ran = server.run("adapt", folder, "-m", edsr_weights, "-o", tmp_path / "out.safetensors", *few)
    assert ran.code == 3, ran.err
    assert (tmp_path / "out.safetensors").is_file()


def test_self_supervised(
    server: Any, folder: Path, edsr_weights: Path, reconstructor_weights: Path, tmp_path: Path
) -> None:
    few = ("--self-supervised", "--reconstructor", reconstructor_weights, "--steps", 2, "--max-pixels", 10**6)
    ran = server.run("adapt", folder, "-m", edsr_weights, "-o", tmp_path / "out.safetensors", *few)
    assert ran.code == 3, ran.err
    assert (tmp_path / "out.safetensors").is_file()


@pytest.mark.parametrize("form", ["pairs", "a model"])
def test_eval(server: Any, folder: Path, edsr_weights: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "Own").mkdir()
    (tmp_path / "Own" / "HR").symlink_to(folder)
    what = ("--dataset", "Own", "--data-root", tmp_path, "-m", edsr_weights)
    if form == "pairs":
        what = ("--sr", folder, "--hr", folder, "-s", 2)
    ran = server.run("eval", *what, "--metrics", "psnr", "--max-pixels", 10**6, "--json")
    assert ran.code == 3, ran.err
    ((result,),) = ran.records
    names = {image["name"] for image in result["images"]} | {failed["name"] for failed in result["failed"]}
    assert names == {file.stem for file in folder.iterdir()}
    assert result["count"] >= GOOD

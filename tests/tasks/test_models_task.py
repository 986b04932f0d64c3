"""What `srkit.tasks.models` tells of models, without any network."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from srkit.archs.edsr import EDSR
from srkit.errors import ResourceError
from srkit.tasks.models import (
    checksum_note,
    list_models,
    model_path,
    places,
    show_model,
    verify_models,
)
from srkit.zoo import manifest as manifest_module
from srkit.zoo.cache import Lock, lock_path, write_lock
from srkit.zoo.files import sha256_of
from srkit.zoo.header import Header
from srkit.zoo.manifest import register
from srkit.zoo.weights import save_weights
from tests.helpers import refused

ARGUMENTS = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with one model, and an empty cache beside it."""
    network, header = EDSR(**ARGUMENTS), Header(arch="edsr", arguments=ARGUMENTS, scale=2, recipe="tiny")  # type: ignore[arg-type]
    save_weights(tmp_path / "small-x2.safetensors", network, header)
    register(tmp_path / "small-x2.safetensors", "small-x2", "A small one.")
    monkeypatch.setattr(manifest_module, "weights_dir", lambda: tmp_path)
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def fetched(folder: Path) -> Path:
    """A copy of it in the cache, as if pulled."""
    path = folder / "cache" / "models" / "host" / "mine.safetensors"
    path.parent.mkdir(parents=True)
    shutil.copy(folder / "small-x2.safetensors", path)
    write_lock(
        path, Lock("https://host/mine.safetensors", sha256_of(path), path.stat().st_size, pinned=False)
    )
    return path


def test_list(folder: Path, fetched: Path) -> None:
    models = {facts.name: facts for facts in list_models()}
    assert models["small-x2"].state == "shipped"
    assert models["RealESRGAN_x4plus"].state == "to fetch"
    mine = models["mine"]
    assert (mine.state, mine.task, mine.scale, mine.recipe) == ("fetched", "sr", 2, "tiny")
    assert mine.source == "https://host/mine.safetensors"
    fetched.unlink()
    (folder / "small-x2.safetensors").unlink()
    states = {facts.name: facts.state for facts in list_models()}
    assert (states["small-x2"], states["mine"]) == ("missing", "to fetch")


def test_show(folder: Path, fetched: Path) -> None:
    facts = show_model("small-x2")
    assert (facts.summary, checksum_note(facts)) == ("A small one.", "pinned")
    mine = show_model("mine")
    assert mine.parameters == facts.parameters
    assert "recorded in mine.safetensors.lock.json" in checksum_note(mine)
    assert "will be recorded" in checksum_note(replace(show_model("BSRGAN"), pinned=False, sha256=None))


def test_show_a_file(folder: Path, tmp_path: Path) -> None:
    from spandrel.architectures.Compact import Compact

    path = tmp_path / "theirs.pth"
    torch.save(Compact(num_feat=8, num_conv=2, upscale=4).state_dict(), path)
    facts = show_model(str(path))
    assert (facts.name, facts.scale, facts.arch, facts.task) == ("theirs", 4, "RealESRGAN Compact", "sr")
    assert facts.parameters == sum(p.numel() for p in Compact(num_feat=8, num_conv=2, upscale=4).parameters())
    assert (facts.source, facts.state, facts.sha256) == (str(path), "file", sha256_of(path))
    assert "nothing is known to compare it with" in checksum_note(facts)
    path.write_text("hello")
    with refused(ResourceError, path):
        show_model(str(path))
    with refused(ResourceError, "small-x3", "small-x2"):
        show_model("small-x3")


def test_path(folder: Path, fetched: Path) -> None:
    assert model_path("small-x2") == folder / "small-x2.safetensors"
    assert model_path("mine") == model_path("mine.safetensors") == fetched
    for name, named in (("BSRGAN", "srkit models pull BSRGAN"), ("small-x3", "small-x2")):
        with refused(ResourceError, name, named):
            model_path(name)
    (folder / "small-x2.safetensors").unlink()
    with refused(ResourceError, "small-x2"):
        model_path("small-x2")
    assert places().cache == folder / "cache"


def test_verify(folder: Path, fetched: Path) -> None:
    assert {r.name: r.status for r in verify_models()} == {"small-x2": "ok", "mine": "ok"}
    assert [r.name for r in verify_models(["mine"])] == ["mine"]
    with (folder / "small-x2.safetensors").open("ab") as file:
        file.write(b"x")
    fetched.unlink()
    assert {r.name: r.status for r in verify_models()} == {"small-x2": "wrong", "mine": "missing"}
    (folder / "small-x2.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    shipped = verify_models(["small-x2"])[0]
    assert shipped.status == "wrong"
    assert "git lfs pull" in (shipped.error or "")
    with refused(ResourceError, "srkit models pull BSRGAN"):
        verify_models(["BSRGAN"])


def test_verify_goes_on_past_a_damaged_record(folder: Path, fetched: Path) -> None:
    lock_path(fetched).write_text("{")
    results = {r.name: r for r in verify_models()}
    assert results["small-x2"].status == "ok"
    assert results["mine"].status == "wrong"
    assert str(lock_path(fetched)) in (results["mine"].error or "")

"""Models that are asked for by the family's name: which of them are run, and how the rest of a factor is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srkit.archs.table import build
from srkit.errors import ResourceError
from srkit.inference.chain import Models
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.upscale import Target, UpscaleRecipe
from srkit.tasks.evaluate.run import EvalJob, Evaluation
from srkit.tasks.upscale.plan import plan_upscale
from srkit.tasks.upscale.run import UpscaleJob, run
from srkit.zoo import manifest as manifest_module
from srkit.zoo.header import Header
from srkit.zoo.load import find_family
from srkit.zoo.manifest import register
from srkit.zoo.weights import save_weights
from tests.helpers import refused

EDSR: dict[str, Any] = {"features": 4, "blocks": 1, "upsampler": "single"}
CRIA: dict[str, Any] = {"features": 4, "blocks": 1, "growth": 2, "width": 4, "mask_width": 4}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shipped weights: edsr-x2, edsr-x4, real-x4, new-x3; and `alone`, of no family."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, arch, scale in (
            ("edsr-x2", "edsr", 2),
            ("edsr-x4", "edsr", 4),
            ("real-x4", "cria", 4),
            ("new-x3", "edsr", 3),
            ("alone", "edsr", 2),
        ):
            arguments = (EDSR if arch == "edsr" else CRIA) | {"scale": scale}
            path = folder / f"{name}.safetensors"
            save_weights(
                path, build(arch, arguments), Header(arch=arch, arguments=arguments, scale=scale, overlap=4)
            )
            register(path, name, "A tiny one.")
    return folder


@pytest.fixture(autouse=True)
def shipped(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "weights_dir", lambda: weights)
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    write_image(DecodedImage(pixels), tmp_path / "in.png", format="png")
    return tmp_path / "in.png"


@pytest.mark.parametrize(
    ("model", "factor", "chain"),
    [
        ("edsr", 3, ("edsr-x4",)),
        ("edsr", 8, ("edsr-x2", "edsr-x4")),
        ("new", 8, ("new-x3", "new-x3")),
        ("real", 1.5, ("real-x4",)),
        ("real", 2, ("real-x4",)),
        ("real", 4, ("real-x4",)),
        # It repairs once; what it gave is enlarged by the others.
        ("real", 8, ("real-x4", "edsr-x2")),
        ("real", 5, ("real-x4", "edsr-x2")),
        ("real", 16, ("real-x4", "edsr-x4")),
        # A model that is named itself is run as often as it takes.
        ("real-x4", 16, ("real-x4", "real-x4")),
        ("real", 1, ()),
    ],
)
def test_which_networks_give_a_factor(model: str, factor: float, chain: tuple[str, ...]) -> None:
    assert Models(model).chain(factor) == chain


def test_a_family_upscales_by_four_where_it_can() -> None:
    assert [Models(name).own_scale for name in ("edsr", "real", "new")] == [4, 4, 3]
    assert Models("edsr").scales == [2, 4]
    assert Models("edsr").loaded == []


@pytest.mark.parametrize(("scale", "resampled"), [(2.0, True), (3.0, True), (4.0, False), (8.0, False)])
def test_the_plan_says_how_and_it_is_done_so(
    scale: float, resampled: bool, image: Path, tmp_path: Path
) -> None:
    recipe = UpscaleRecipe(model="real", target=Target(scale), device="cpu", dtype="fp32")
    job = UpscaleJob(recipe, str(image), tmp_path / "out.png")
    plan = plan_upscale(job)
    (planned,) = plan.pictures
    assert (planned.resampled, plan.resampled) == (resampled, int(resampled))
    (record,) = run(job)
    assert (record.status, record.models) == ("done", planned.models)
    assert planned.models == (("real-x4", "edsr-x2") if scale == 8 else ("real-x4",))
    written = read_image(tmp_path / "out.png")
    assert (written.width, written.height) == (round(12 * scale), round(10 * scale))


def test_evaluation_takes_a_family_too(rendered: Any, tmp_path: Path) -> None:
    (tmp_path / "own/HR").mkdir(parents=True)
    write_image(DecodedImage(rendered(48, 64)), tmp_path / "own/HR/a.png", format="png")
    for scale, label in ((4, "real-x4"), (8, "real-x4+edsr-x2")):
        recipe = EvalRecipe(models=("real",), scale=scale, device="cpu", dtype="fp32")
        (result,) = Evaluation(EvalJob(recipe, datasets=("own",), data_root=tmp_path)).run()
        assert (result.model, result.failed) == (label, ())


def test_a_name_or_a_file_goes_before_a_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_family("edsr") == {2: "edsr-x2", 4: "edsr-x4"}
    assert find_family("alone") == find_family("edsr-x4") == find_family("x" * 5000) == {}
    monkeypatch.chdir(tmp_path)
    Path("edsr").mkdir()
    assert find_family("edsr")
    Path("edsr").rmdir()
    Path("edsr").touch()
    assert find_family("edsr") == {}


@pytest.mark.parametrize(("name", "near"), [("reel", "real"), ("rea-x4", "real-x4"), ("esdr", "edsr")])
def test_what_is_no_family_names_the_nearest(name: str, near: str) -> None:
    with refused(ResourceError, name, near):
        Models(name)

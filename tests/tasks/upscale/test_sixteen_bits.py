"""16-bit images through networks that end in reduced precision: fp32 unless asked otherwise, which is then said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from spandrel.architectures import Compact

from srkit.archs.edsr import EDSR
from srkit.archs.esrgan import RRDBNet
from srkit.inference.upscaler import Done, Upscaler, Work
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.upscale.plan import plan_upscale
from srkit.tasks.upscale.run import UpscaleJob, run

SLOPE = np.tile((np.arange(512) * 128).astype(np.uint16), (8, 1))[..., None].repeat(3, 2)


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Someone's network, whose trained part adds nothing: nearest-neighbour x2, exact in fp32."""
    state = Compact.Compact(num_in_ch=3, num_out_ch=3, num_feat=16, num_conv=2, upscale=2).state_dict()
    last = max(int(name.split(".")[1]) for name in state)
    state |= {name: torch.zeros_like(state[name]) for name in state if name.startswith(f"body.{last}.")}
    path = tmp_path_factory.mktemp("weights") / "nearest-x2.pth"
    torch.save({"params": state}, path)
    return path


@pytest.fixture(autouse=True)
def fast_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on hardware with bf16, so that `auto` is bf16 for networks that bear it."""
    monkeypatch.setattr("srkit.engine.device.has_fast_bf16", lambda device: True)


def upscaled(weights: Path, *images: NDArray[Any], **settings: Any) -> list[Done[int]]:
    upscaler = Upscaler(UpscaleRecipe(model=str(weights), device="cpu", **settings))
    works = [Work(i, DecodedImage(p), 2 * p.shape[1], 2 * p.shape[0]) for i, p in enumerate(images)]
    return list(upscaler.run(works))


def test_each_image_of_a_stream_by_its_depth(nearest: Path) -> None:
    shallow = (SLOPE // 257).astype(np.uint8)
    alpha = np.concatenate([SLOPE, SLOPE[:, ::-1, :1]], axis=2)
    done = upscaled(nearest, shallow, SLOPE, SLOPE[..., :1], shallow, alpha)
    assert [d.passes[0].dtype for d in done] == ["bfloat16", "float32", "float32", "bfloat16", "float32"]
    for one, lr in zip(done, (shallow, SLOPE, SLOPE[..., :1], shallow, alpha), strict=True):
        assert one.image is not None and not one.warnings
        if lr.dtype == np.uint16:
            # Of colours under alpha, which are bled, the channel that is alpha itself.
            assert (one.image.pixels[..., -1] == lr.repeat(2, 0).repeat(2, 1)[..., -1]).all()


@pytest.mark.parametrize(("dtype", "loses"), [("bf16", True), ("fp32", False), ("auto", False)])
def test_what_was_asked_for_is_done_and_said(nearest: Path, dtype: str, loses: bool) -> None:
    (done,) = upscaled(nearest, SLOPE, dtype=dtype)
    assert done.image is not None
    assert done.passes[0].dtype == ("bfloat16" if loses else "float32")
    assert bool(done.warnings) == loses
    assert (len(np.unique(done.image.pixels)) < 400) == loses  # of 512
    (shallow,) = upscaled(nearest, (SLOPE // 257).astype(np.uint8), dtype=dtype)
    assert not shallow.warnings


def test_networks_that_sum_in_fp32_stay_in_bf16(edsr_weights: Path) -> None:
    for dtype in ("auto", "bf16"):
        (done,) = upscaled(edsr_weights, SLOPE, dtype=dtype)
        assert (done.passes[0].dtype, done.warnings) == ("bfloat16", ())


def test_which_networks_do() -> None:
    assert EDSR(2, 4, 1).info.fp32_sum and RRDBNet(4, 4, 1, 4, skip=True).info.fp32_sum
    assert not RRDBNet(4, 4, 1, 4).info.fp32_sum


def test_records_and_plans_tell_it(nearest: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, pixels in (("deep", SLOPE), ("shallow", (SLOPE // 257).astype(np.uint8))):
        write_image(DecodedImage(pixels), tmp_path / f"in/{name}.png", format="png")
    job = UpscaleJob(UpscaleRecipe(model=str(nearest), device="cpu"), str(tmp_path / "in"), tmp_path / "out")
    assert plan_upscale(job).dtype == "float32"  # the first image's
    assert [record.dtype for record in run(job)] == ["float32", "bfloat16"]

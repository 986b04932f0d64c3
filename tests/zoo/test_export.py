"""Exported weights, loaded by the programs that they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.errors import UsageError
from srkit.zoo.export import export, exportable
from srkit.zoo.foreign import load_foreign
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import save_weights
from tests.archs.cases import CASES, Case

KNOWN = {
    "srvgg-x3": CASES["srvgg-x3"],
    "srvgg-x4": CASES["srvgg-x4"],
    "esrgan-x2": Case("esrgan", {"scale": 2, "features": 8, "blocks": 1, "growth": 32}),
    "esrgan-x4": Case("esrgan", {"scale": 4, "features": 8, "blocks": 2, "growth": 32}),
}


def saved(case: Case, folder: Path) -> LoadedModel:
    """The case's network as a file of ours, loaded."""
    path = folder / "tiny.safetensors"
    header = Header(arch=case.arch, arguments=dict(case.arguments), scale=case.info.scale, overlap=4)
    save_weights(path, case.build(), header)
    return load_model(path)


def test_every_network_with_a_published_form_is_tested() -> None:
    assert {case.arch for case in KNOWN.values()} == set(exportable())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", KNOWN)
def test_spandrel_reads_it(name: str, suffix: str, tmp_path: Path) -> None:
    model = saved(KNOWN[name], tmp_path)
    export(model, "spandrel", tmp_path / f"out{suffix}")
    theirs = load_foreign(tmp_path / f"out{suffix}")
    assert (theirs.source, theirs.info.scale) == ("spandrel", model.info.scale)
    lr = torch.rand(1, 3, 24, 20)
    with torch.no_grad():
        torch.testing.assert_close(theirs.network(lr), model.network(lr), atol=1 / 255, rtol=0)


def test_a_foreign_network_goes_out_as_it_came_in(tmp_path: Path) -> None:
    export(saved(CASES["srvgg-x4"], tmp_path), "spandrel", tmp_path / "first.pth")
    export(load_foreign(tmp_path / "first.pth"), "spandrel", tmp_path / "second.safetensors")
    one, two = (load_foreign(tmp_path / name) for name in ("first.pth", "second.safetensors"))
    lr = torch.rand(1, 3, 9, 12)
    assert torch.equal(one.network(lr), two.network(lr))


@pytest.mark.parametrize("name", ["edsr-x4-single", "srvgg-x3", "esrgan-x2", "cria-x4"])
def test_onnx_at_any_size(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = saved(CASES[name], tmp_path)
    export(model, "onnx", tmp_path / "out.onnx")
    session = runtime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 14, 32), (2, 3, 40, 18)):
        lr = torch.rand(shape)
        (sr,) = session.run(["sr"], {"lr": lr.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(sr, model.network(lr).numpy(), atol=1e-3)


@pytest.mark.parametrize(
    ("case", "target", "file", "named"),
    [
        ("edsr-x4", "spandrel", "x.pth", "edsr"),
        ("esrgan-x4-skip", "spandrel", "x.pth", "esrgan"),
        ("cdasr-x4", "onnx", "x.onnx", "semantic"),
        ("edsr-x4", "onnx", "x.pth", ".onnx"),
        ("srvgg-x4", "spandrel", "x.bin", ".safetensors"),
    ],
)
def test_refused(case: str, target: str, file: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        export(saved(CASES[case], tmp_path), target, tmp_path / file)
    assert named in str(caught.value)
    assert not (tmp_path / file).exists()

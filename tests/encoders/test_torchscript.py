"""Tensors of TorchScript archives: the same as torch's own, and nothing is run."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srkit.encoders.torchscript import is_torchscript, read_script_tensors
from srkit.errors import ResourceError
from tests.helpers import refused


class Mixed(nn.Module):
    """Parameters and buffers of several kinds and layouts, nested, one of them shared."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.twice = self.body[0]
        self.low = nn.Parameter(torch.randn(5).half())
        self.turned = nn.Parameter(torch.randn(4, 2).t())
        self.register_buffer("count", torch.tensor(7))
        self.sizes = [1, 2]

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.body(x).mean((2, 3)) @ self.turned.t() + self.low.float().sum()
        return h * self.sizes[1]


@pytest.fixture(scope="module", params=["trace", "script"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("archive") / "module.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if request.param == "trace":
            torch.jit.trace(Mixed().eval(), torch.rand(1, 3, 8, 8)).save(str(path))
        else:
            torch.jit.script(Mixed().eval()).save(str(path))
    return path


def test_tensors_are_those_that_torch_reads(archive: Path) -> None:
    assert is_torchscript(archive)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        wanted = torch.jit.load(str(archive)).state_dict()
    found = read_script_tensors(archive)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert found["turned"].stride() == wanted["turned"].stride()


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "state.pt")
    (tmp_path / "text.pt").write_text("no zip")
    assert not any(is_torchscript(tmp_path / name) for name in ("state.pt", "text.pt", "missing.pt"))


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


class _Reaches:
    """A tensor of more elements than its storage holds."""

    def __reduce__(self) -> tuple[object, tuple[Any, ...]]:
        return (torch._utils._rebuild_tensor_v2, (_Storage(), 0, (1000,), (1,), False, {}))


class _Storage:
    pass


class _Pickler(pickle.Pickler):
    def persistent_id(self, thing: object) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", 2) if isinstance(thing, _Storage) else None


def write(path: Path, content: object) -> Path:
    """An archive with one storage of two numbers, whose data are `content`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/constants.pkl", pickle.dumps(()))
        with archive.open("m/data.pkl", "w") as data:
            _Pickler(data, protocol=2).dump(content)
        archive.writestr("m/data/0", bytes(8))
    return path


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (_Runs(), "__builtin__.print"),
        (_Reaches(), "storage"),
        ({"a": 1}, "dict"),
        ((_Storage(), _Storage()), "tuple"),
    ],
)
def test_what_no_module_holds(
    content: object, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with refused(ResourceError, tmp_path / "bad.pt", named):
        read_script_tensors(write(tmp_path / "bad.pt", content))
    assert "executed" not in capsys.readouterr().out


def test_cut_short(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        for name in whole.namelist():
            content = whole.read(name)
            cut.writestr(name, content[: len(content) // 2] if "/data/" in name else content)
    with refused(ResourceError, tmp_path / "cut.pt"):
        read_script_tensors(tmp_path / "cut.pt")

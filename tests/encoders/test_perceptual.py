"""LPIPS and the finding of its weights. The trunk is random, in the file format of the real one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from srkit.encoders import weight_files
from srkit.encoders.perceptual import Lpips
from srkit.encoders.weight_files import find_weights, load_tensors
from srkit.errors import ResourceError, UsageError
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Setup
from tests.encoders.public_files import ALEXNET, save_alexnet
from tests.helpers import Listening, refused

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random AlexNet as torchvision publishes it: features and classifier."""
    folder = tmp_path_factory.mktemp("weights")
    save_alexnet(folder)
    return folder


def by_hand(folder: Path, sr: torch.Tensor, hr: torch.Tensor) -> float:
    """LPIPS from its paper (Eq. 1) and the package's linear layers, without the package's code."""
    import lpips
    from torchvision.models import alexnet

    network = alexnet()
    network.load_state_dict(torch.load(folder / ALEXNET))
    linear = torch.load(Path(lpips.__file__).parent / "weights/v0.1/alex.pth", map_location="cpu")
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    total = 0.0
    with torch.no_grad():
        x, y = ((2 * p - 1 - shift) / scale for p in (sr, hr))
        level = 0
        for i, layer in enumerate(network.features[:12]):
            x, y = layer(x), layer(y)
            if i in (1, 4, 7, 9, 11):
                a, b = (p / (p.square().sum(1, keepdim=True).sqrt() + 1e-10) for p in (x, y))
                weights = linear[f"lin{level}.model.1.weight"]
                total += float(((a - b).square() * weights.view(1, -1, 1, 1)).sum(1).mean())
                level += 1
    return total


def test_distance_is_the_paper_s(trunk: Path) -> None:
    torch.manual_seed(1)
    hr = torch.rand(1, 3, 70, 64)
    sr = (hr + 0.1 * torch.randn_like(hr)).clamp(0, 1)
    metric = Lpips(CPU, trunk, Listening())
    assert float(metric.distance(sr, hr)) == pytest.approx(by_hand(trunk, sr, hr), rel=1e-5)
    assert float(metric.distance(hr, hr)) == 0
    assert "net alex, v0.1" in metric.version
    assert ALEXNET in metric.version


def test_metric_of_the_table_reads_uint8(trunk: Path) -> None:
    torch.manual_seed(1)
    hr = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    sr = hr.flip(-1)
    scorer = METRICS["lpips"].make(Setup(CPU, trunk, Listening()))
    value = scorer.score(Sample(sr, hr, None, PROTOCOLS["classical"], 4))
    assert value == pytest.approx(by_hand(trunk, sr.float() / 255, hr.float() / 255), rel=1e-5)


def test_a_file_that_only_has_the_name_is_warned_of(trunk: Path) -> None:
    progress = Listening()
    Lpips(CPU, trunk, progress)
    assert progress.about(trunk / ALEXNET)


def test_a_cache_with_another_content_is_not_trusted(trunk: Path, tmp_path: Path) -> None:
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    shutil.copy(trunk / ALEXNET, checkpoints)
    with refused(ResourceError, ALEXNET):
        Lpips(CPU)


def test_the_folder_may_come_from_the_environment(trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRKIT_WEIGHTS", str(trunk))
    assert Lpips(CPU).version.startswith("lpips ")


def test_missing_weights_say_which_where_and_how(tmp_path: Path) -> None:
    address = f"https://download.pytorch.org/models/{ALEXNET}"
    with refused(
        ResourceError, ALEXNET, tmp_path, address, "--weights-dir", "$SRKIT_WEIGHTS", "SRKIT_OFFLINE"
    ):
        Lpips(CPU, tmp_path)
    with refused(UsageError, tmp_path / "none"):
        Lpips(CPU, tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"not weights", b"version https://git-lfs.github.com/spec/v1\noid"])
def test_damaged_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ALEXNET).write_bytes(content)
    with refused(ResourceError, tmp_path / ALEXNET):
        Lpips(CPU, tmp_path)


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"features.0.weight": _Runs()}, tmp_path / ALEXNET)
    with refused(ResourceError, tmp_path / ALEXNET):
        load_tensors(find_weights(weight_files_entry(), tmp_path))
    assert "executed" not in capsys.readouterr().out


def test_another_network_under_the_name(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / ALEXNET)
    with refused(ResourceError, tmp_path / ALEXNET):
        Lpips(CPU, tmp_path)


def weight_files_entry() -> weight_files.WeightFile:
    from srkit.encoders.perceptual import _TRUNK

    return _TRUNK

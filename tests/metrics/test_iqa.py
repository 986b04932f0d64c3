"""NIQE and MUSIQ through pyiqa (the extra `iqa`): the same numbers as pyiqa called directly."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.errors import ImageError, ResourceError
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Setup
from srkit.progress import Silent
from tests.helpers import refused

needs_pyiqa = pytest.mark.skipif(
    importlib.util.find_spec("pyiqa") is None, reason="pyiqa (the extra iqa) is not installed"
)
CPU = torch.device("cpu")
NIQE_FILE = "niqe_modelparameters.mat"
MUSIQ_FILE = "musiq_koniq_ckpt-e95806b9.pth"
PARAMETERS = Path(os.environ.get("SRKIT_WEIGHTS", "/nonexistent"))


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("SRKIT_WEIGHTS", raising=False)


def sample(height: int = 200, width: int = 220) -> Sample:
    g = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 3, height, width), generator=g, dtype=torch.uint8)
    return Sample(image, None, None, PROTOCOLS["classical"], None)


@needs_pyiqa
@pytest.mark.metric_weights
def test_niqe_equals_pyiqa_called_directly() -> None:
    import pyiqa

    scorer = METRICS["niqe"].make(Setup(CPU, PARAMETERS, Silent()))
    direct = pyiqa.create_metric("niqe", device=CPU, pretrained_model_path=str(PARAMETERS / NIQE_FILE))
    one = sample()
    expected = float(direct(one.sr.float() / 255))
    assert scorer.score(one) == expected
    assert np.isfinite(expected)
    assert scorer.version is not None
    assert scorer.version.startswith(f"pyiqa {pyiqa.__version__}")


@needs_pyiqa
@pytest.mark.metric_weights
def test_niqe_of_one_colour_is_not_a_number() -> None:
    one = sample()
    flat = torch.full_like(one.sr, 200)
    scorer = METRICS["niqe"].make(Setup(CPU, PARAMETERS, Silent()))
    assert np.isnan(scorer.score(Sample(flat, None, None, one.protocol, None)))


@needs_pyiqa
@pytest.mark.data
@pytest.mark.metric_weights
def test_niqe_of_old_photographs(data_root: Path) -> None:
    """A real image, 4 times larger by bicubic: worse than itself, in the range that papers report."""
    from srkit.io.read import read_image
    from srkit.ops.resize import bicubic_uint8

    scorer = METRICS["niqe"].make(Setup(CPU, PARAMETERS, Silent()))
    pixels = np.array(read_image(data_root / "real/RealSRSet/butterfly.png").colour)
    lr = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    sr = bicubic_uint8(lr, (4 * lr.shape[2], 4 * lr.shape[3]))
    original, enlarged = (scorer.score(Sample(x, None, None, PROTOCOLS["classical"], None)) for x in (lr, sr))
    assert 5 < enlarged < 12
    assert original != enlarged


@needs_pyiqa
@pytest.mark.metric_weights
def test_niqe_of_a_small_image_is_refused() -> None:
    scorer = METRICS["niqe"].make(Setup(CPU, PARAMETERS, Silent()))
    with refused(ImageError, "100 x 96", "NIQE", "192 x 96"):
        scorer.score(sample(96, 100))


@needs_pyiqa
def test_musiq_from_a_file_of_the_real_format(tmp_path: Path) -> None:
    import pyiqa

    torch.manual_seed(0)
    direct = pyiqa.create_metric("musiq", device=CPU, pretrained=False)
    torch.save(direct.net.state_dict(), tmp_path / MUSIQ_FILE)
    scorer = METRICS["musiq"].make(Setup(CPU, tmp_path, Silent()))
    one = sample(64, 80)
    assert scorer.score(one) == float(direct(one.sr.float() / 255))
    assert MUSIQ_FILE in (scorer.version or "")


@needs_pyiqa
def test_damaged_or_missing_files(tmp_path: Path) -> None:
    (tmp_path / NIQE_FILE).write_bytes(b"no MATLAB file")
    torch.save({"x": torch.zeros(1)}, tmp_path / MUSIQ_FILE)
    with refused(ResourceError, tmp_path / NIQE_FILE):
        METRICS["niqe"].make(Setup(CPU, tmp_path, Silent()))
    with refused(ResourceError, tmp_path / MUSIQ_FILE):
        METRICS["musiq"].make(Setup(CPU, tmp_path, Silent()))
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    for name, file in (("niqe", NIQE_FILE), ("musiq", MUSIQ_FILE)):
        with refused(ResourceError, file, "--weights-dir"):
            METRICS[name].make(Setup(CPU, tmp_path, Silent()))


@pytest.mark.parametrize("name", ["niqe", "musiq"])
def test_without_pyiqa_it_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyiqa", None)
    with refused(ResourceError, "srkit[iqa]"):
        METRICS[name].make(Setup(CPU))

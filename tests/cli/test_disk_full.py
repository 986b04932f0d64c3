"""A disk that is full while srkit trains, adapts, estimates, evaluates or reports: a sentence, nothing half-written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from srkit.training.state import CHECKPOINT, read_checkpoint

RECIPE = """
name = "tiny"
[model]
arch = "edsr"
arguments = { scale = 2, features = 4, blocks = 1, upsampler = "single" }
[data]
patch = 8
batch = 2
[optim]
lr = 1e-4
steps = 4
[run]
validate_every = 2
"""


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder where files can be made, and nothing can be written into them."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    with (folder / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def images(save: Callable[..., Path], tmp_path: Path) -> Path:
    for seed, name in enumerate("abc"):
        save(tmp_path / "Own" / "HR" / f"{name}.png", 72, 64, seed=seed)
    return tmp_path / "Own" / "HR"


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


EVAL = ("eval", "--dataset", "Own", "-m", "{model}", "--metrics", "psnr", "--data-root", "{root}")
ADAPT = ("adapt", "{images}", "-m", "{model}", "--shots", "2", "--steps", "2")
ESTIMATE = ("estimate-kernel", "-m", "{kernels}", "--restorer", "{restorer}", "--depth", "none")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((*EVAL, "--report", "{full}/r.html"), id="HTML report"),
        pytest.param((*EVAL, "--csv", "{full}/r.csv"), id="CSV"),
        pytest.param((*EVAL, "--jsonl", "{full}/r.jsonl"), id="JSON Lines"),
        pytest.param((*EVAL, "--junit", "{full}/r.xml"), id="JUnit"),
        pytest.param((*EVAL, "--markdown", "{full}/r.md"), id="Markdown"),
        pytest.param((*EVAL, "--baseline", "{full}/b.json", "--update-baseline"), id="baseline"),
        pytest.param((*EVAL, "--save-images", "{full}"), id="images of eval"),
        pytest.param((*ADAPT, "-o", "{full}/w.safetensors"), id="adapted weights"),
        pytest.param(
            (*ADAPT, "-o", "{root}/w.safetensors", "--report", "{full}/r.html"), id="report of adapt"
        ),
        pytest.param((*ESTIMATE, "{images}/a.png", "{full}/a.npz"), id="kernel map"),
        pytest.param(
            (*ESTIMATE, "{images}/a.png", "{root}/a.npz", "--preview", "{full}/a.png"), id="preview"
        ),
        pytest.param((*ESTIMATE, "{images}", "{full}"), id="kernel maps"),
        pytest.param(("demo-image", "{full}/d.png"), id="demo image"),
        pytest.param(("train", "{root}/tiny.toml", "--data", "{images}", "-o", "{full}/run"), id="training"),
    ],
)
def test_no_room(
    server: Any,
    full: Path,
    images: Path,
    edsr_weights: Path,
    dkenet_weights: Path,
    nbsr_weights: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    places = {"full": full, "images": images, "root": tmp_path, "model": edsr_weights}
    places |= {"kernels": dkenet_weights, "restorer": nbsr_weights}
    ran = server.run(*(argument.format(**places) for argument in arguments))
    assert ran.code == 1, ran
    assert "could not be written" in ran.err
    assert "free some space" in ran.err
    assert "unforeseen" not in ran.err
    assert "Traceback" not in ran.err
    assert left(full) == ["filler"] or all(not (full / name).stat().st_size for name in left(full)[1:])


@pytest.mark.parametrize("limit", [300, 4096])
def test_the_last_checkpoint_stays(server: Any, images: Path, tmp_path: Path, limit: int) -> None:
    """A file may grow to a few lines of the log, or to less than a checkpoint."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    run = tmp_path / "run"
    train = ("train", tmp_path / "tiny.toml", "--data", images, "-o", run)
    assert server.run(*train).code == 0
    before = (run / CHECKPOINT).read_bytes()
    room = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    ran = server.run(*train, "--resume", "--steps", 60, setup=room, stderr="/dev/null")
    assert ran.code == 1
    assert (run / CHECKPOINT).read_bytes() == before
    assert read_checkpoint(run, torch.device("cpu"))["step"] == 4
    assert not [name for name in left(run) if name.endswith(".part")]
    lines = (run / "metrics.jsonl").read_text()
    assert lines.endswith("}\n")
    assert len(lines) <= limit
    assert server.run(*train, "--resume", "--steps", 6).code == 0

"""Training for super-resolution (kind `sr`): which images are used, and the weights that it starts from.

What it shares with the other kinds is tested in test_training_kinds.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from srkit.data.photographs import PhotographReader, read_rgb8
from srkit.errors import SrkitError, UsageError
from srkit.ops.layout import RGB
from srkit.tasks.train import TrainJob, run
from srkit.zoo.load import load_model
from tests.helpers import Listening, refused
from tests.tasks.training_cases import CASES


def _job(photographs: Path, output: Path, *settings: str, **changes: Any) -> TrainJob[Any]:
    return replace(CASES["sr"].job(photographs, output, *settings), **changes)


STILL = ("optim.lr = 1e-12", "optim.steps = 1")
"""A step so small that it changes nothing shows where the weights started."""


def test_the_overlap_is_measured_where_images_are_large_enough(
    photographs: Path, tmp_path: Path, rendered: Callable[..., RGB]
) -> None:
    small = load_model(run(_job(photographs, tmp_path / "small")).weights)
    assert small.header is not None
    assert small.header.overlap == small.info.receptive_field  # each is one window, and the bound must do
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rendered(40, 256, seed=i)[:, :, ::-1])
    settings = ("model.arguments.blocks = 3", "data.holdout_every = 2")
    model = load_model(run(_job(tmp_path, tmp_path / "run", *settings)).weights)
    assert model.header is not None
    assert model.header.overlap is not None
    assert model.header.overlap < model.info.receptive_field


@pytest.mark.parametrize("residency", ["memory", "stream"])
@pytest.mark.parametrize(
    ("validation", "judges", "others"),
    [
        # Sorted by path it is 0 3 4 5 6 inner/1 inner/2.
        ("every third", {"0.png", "5.png", "2.png"}, {"3.png", "4.png", "6.png", "1.png"}),
        ("a folder inside", {"1.png", "2.png"}, {"0.png", "3.png", "4.png", "5.png", "6.png"}),
    ],
)
def test_images_held_out_are_never_trained_on(
    residency: str,
    validation: str,
    judges: set[str],
    others: set[str],
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every file that is decoded for training is noted."""
    root = tmp_path / "data"
    (root / "inner").mkdir(parents=True)
    for i in range(7):
        (root / ("inner" if i in (1, 2) else ".") / f"{i}.png").symlink_to(photographs / f"{i}.png")
    used: set[str] = set()

    def noting(path: Path) -> RGB:
        used.add(path.name)
        return read_rgb8(path)

    def starting(*arguments: Any, **more: Any) -> Any:
        """What was read before this is not trained on."""
        used.clear()
        return read_all(*arguments, **more)

    read_all = PhotographReader.read_all
    module = "photographs" if residency == "memory" else "streamed"
    monkeypatch.setattr(f"srkit.data.{module}.read_rgb8", noting)
    monkeypatch.setattr(PhotographReader, "read_all", starting)
    settings = (f'data.residency = "{residency}"', "data.workers = 0", "optim.steps = 20")
    inside = (root / "inner",) if validation == "a folder inside" else ()
    # The inner folder is named twice: its images must not be held out in one place and trained on in another.
    result = run(_job(root, tmp_path / "run", *settings, data=(root, root / "inner"), validation=inside))
    assert set(result.held_out) == judges
    assert used == others
    assert result.pictures == len(others)


@pytest.mark.parametrize(("residency", "form"), [("memory", "png"), ("memory", "bmp"), ("stream", "png")])
@pytest.mark.parametrize("validation", ["every third", "a folder"])
def test_copies_of_what_is_held_out_are_not_trained_on(
    residency: str, form: str, validation: str, tmp_path: Path, rendered: Callable[..., RGB]
) -> None:
    """Copies byte for byte, and what is read into memory by its pixels."""
    root = tmp_path / "photographs"
    for name, seed in {"0": 0, "1": 1, "2": 0, "3": 2, "4": 3}.items():  # 0 and 3 are held out
        copy = name == "2"
        place = root / "val" if validation == "a folder" and name in "03" else root
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{name}.{form if copy else 'png'}"), rendered(40, 40, seed)[:, :, ::-1])
    progress = Listening()
    folders = (root / "val",) if validation == "a folder" else ()
    settings = (f'data.residency = "{residency}"', "data.workers = 0")
    result = run(_job(root, tmp_path / "run", *settings, validation=folders), progress)
    assert (result.held_out, result.pictures) == (("0.png", "3.png"), 2)
    assert len(progress.about(f"2.{form}")) == 1


def test_nothing_but_copies(tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    root = tmp_path / "photographs"
    root.mkdir()
    for i in range(6):
        cv2.imwrite(str(root / f"{i}.png"), rendered(40, 40)[:, :, ::-1])
    with refused(SrkitError, "--data"):
        run(_job(root, tmp_path / "run"))


def test_a_run_is_replaced_where_that_is_asked_for(photographs: Path, tmp_path: Path) -> None:
    run(_job(photographs, tmp_path, "optim.steps = 7"))
    (tmp_path / "notes.txt").write_text("mine")
    lines = len((tmp_path / "metrics.jsonl").read_text().splitlines())
    result = run(_job(photographs, tmp_path, "optim.steps = 2", overwrite=True))
    assert result.steps == 2
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) < lines
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with refused(UsageError, "--overwrite", "--resume"):
        run(_job(photographs, tmp_path, overwrite=True, resume=True))
    (tmp_path / "checkpoint.pt").unlink()  # weights alone are not replaced either
    with refused(UsageError, tmp_path):
        run(_job(photographs, tmp_path))


def test_the_trunk_starts_from_other_weights(photographs: Path, tmp_path: Path, edsr_weights: Path) -> None:
    settings = (*STILL, "model.arguments.scale = 4", "seed = 5")
    progress = Listening()
    result = run(_job(photographs, tmp_path / "run", *settings, f'model.start = "{edsr_weights}"'), progress)
    source = load_model(edsr_weights).network.state_dict()
    target = load_model(result.weights).network.state_dict()
    trunk = [name for name in target if name.startswith("trunk.")]
    assert len(trunk) == 8
    for name in trunk:
        torch.testing.assert_close(target[name], source[name], atol=1e-4, rtol=1e-3)
    assert progress.about(8, 10, edsr_weights)
    fresh = load_model(run(_job(photographs, tmp_path / "fresh", *settings)).weights).network.state_dict()
    assert not torch.allclose(fresh[trunk[0]], source[trunk[0]], atol=1e-2)


def test_a_deeper_network_starts_as_the_shallower_one(
    photographs: Path, tmp_path: Path, edsr_weights: Path
) -> None:
    settings = (*STILL, "model.arguments.blocks = 3", f'model.start = "{edsr_weights}"')
    deeper = load_model(run(_job(photographs, tmp_path, *settings)).weights).network
    shallower = load_model(edsr_weights).network
    x = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(deeper(x), shallower(x), atol=1e-4, rtol=0)
    added = deeper.state_dict()
    assert float(added["trunk.blocks.1.conv1.weight"].abs().max()) > 0.01  # or it could never learn


def test_a_resumed_run_needs_no_weights_to_start_from(
    photographs: Path, tmp_path: Path, edsr_weights: Path
) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(edsr_weights.read_bytes())
    job = _job(photographs, tmp_path / "run", f'model.start = "{start}"')
    run(job)
    start.unlink()
    assert run(replace(job, resume=True)).steps == 5


def test_weights_that_share_nothing(photographs: Path, tmp_path: Path, edsr_weights: Path) -> None:
    model = "model.arguments = { scale = 4, features = 6, blocks = 0 }"
    with refused(UsageError, edsr_weights, "model.start"):
        run(_job(photographs, tmp_path / "run", model, f'model.start = "{edsr_weights}"'))

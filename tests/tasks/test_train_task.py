"""Training as a user does it: from a recipe and a folder to weights that load."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit._version import __version__
from srkit.data.pairs import read_training_pictures
from srkit.errors import Exit, ResourceError, SrkitError, UsageError
from srkit.io.training import read_rgb8
from srkit.progress import Silent
from srkit.recipes.load import from_mapping, load_recipe
from srkit.recipes.train import TrainRecipe
from srkit.tasks.train import WEIGHTS, TrainJob, run
from srkit.training.state import CHECKPOINT, read_checkpoint
from srkit.zoo.header import read_header
from srkit.zoo.load import load_model

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Picture]) -> Path:
    """Seven pictures, a broken one and a text file. 0.png, 3.png and 6.png are held out: every third."""
    root = tmp_path_factory.mktemp("photographs")
    for i in range(7):
        cv2.imwrite(str(root / f"{i}.png"), rendered(40 + 2 * i, 64 - i, seed=i % 2)[:, :, ::-1])
    (root / "7.jpg").write_bytes(b"\xff\xd8 broken")
    (root / "notes.txt").write_text("no picture")
    return root


ARGUMENTS = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}


def _recipe(**parts: dict[str, Any]) -> TrainRecipe:
    table: dict[str, dict[str, Any]] = {
        "model": {"arch": "edsr", "arguments": ARGUMENTS},
        "data": {"patch": 8, "batch": 2, "holdout_every": 3},
        "optim": {"steps": 4, "lr": 1e-3},
        "run": {"validate_every": 2, "precision": "fp32"},
    }
    for name, changes in parts.items():
        table[name] = table[name] | changes
    return from_mapping(TrainRecipe, {"name": "tiny", **table})


def _job(
    folder: Path, output: Path, recipe: TrainRecipe | None = None, **changes: Any
) -> TrainJob[TrainRecipe]:
    return replace(TrainJob(recipe or _recipe(), (folder,), output, device="cpu"), **changes)


class Listening(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def info(self, message: str) -> None:
        self.messages.append(message)

    def warn(self, message: str) -> None:
        self.messages.append(f"warning: {message}")


def test_what_a_run_leaves(folder: Path, tmp_path: Path) -> None:
    progress, output = Listening(), tmp_path / "runs" / "tiny"
    job = _job(folder, output, training_data="rendered, CC0", licence="Apache-2.0")
    result = run(job, progress)
    assert result.weights == output / WEIGHTS
    assert (result.steps, result.pictures, result.held_out) == (4, 4, ("0.png", "3.png", "6.png"))
    assert result.seconds > 0
    assert 10 < result.validation_psnr < 60
    assert "warning: 1 of 5 pictures cannot be decoded and are left out: 7.jpg." in progress.messages

    assert load_recipe(TrainRecipe, output / "recipe.toml") == job.recipe
    assert read_checkpoint(output, torch.device("cpu"))["step"] == 4
    model = load_model(result.weights)
    header = model.header
    assert header is not None
    assert (header.arch, header.arguments, header.scale) == ("edsr", ARGUMENTS, 2)
    assert (header.recipe, header.recipe_sha256) == ("tiny", job.recipe.sha256)
    assert (header.training_data, header.licence) == ("rendered, CC0", "Apache-2.0")
    assert header.scores == {"classical": {"held out": {"psnr": round(result.validation_psnr, 3)}}}
    assert header.steps == 4
    assert header.srkit_version == __version__
    # Pictures this small are one window each, so nothing can be measured, and the bound must do.
    assert header.overlap == model.info.receptive_field


def test_the_overlap_is_measured_where_pictures_are_large_enough(
    tmp_path: Path, rendered: Callable[..., Picture]
) -> None:
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rendered(40, 256, seed=i)[:, :, ::-1])
    recipe = _recipe(model={"arguments": ARGUMENTS | {"blocks": 3}}, data={"holdout_every": 2})
    model = load_model(run(_job(tmp_path, tmp_path / "run", recipe)).weights)
    assert model.header is not None
    assert model.header.overlap is not None
    assert model.header.overlap < model.info.receptive_field


def test_the_same_job_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    files = [run(_job(folder, tmp_path / name)).weights.read_bytes() for name in ("a", "b")]
    assert files[0] == files[1]
    other = run(_job(folder, tmp_path / "c", replace(_recipe(), seed=1))).weights.read_bytes()
    assert other != files[0]


@pytest.mark.parametrize("residency", ["memory", "stream"])
@pytest.mark.parametrize(
    ("validation", "judges", "others"),
    [
        # Sorted by path it is 0 3 4 5 6 inner/1 inner/2.
        ("every third", {"0.png", "5.png", "2.png"}, {"3.png", "4.png", "6.png", "1.png"}),
        ("a folder inside", {"1.png", "2.png"}, {"0.png", "3.png", "4.png", "5.png", "6.png"}),
    ],
)
def test_pictures_held_out_are_never_trained_on(
    residency: str,
    validation: str,
    judges: set[str],
    others: set[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every file that is decoded for training is noted."""
    root = tmp_path / "data"
    (root / "inner").mkdir(parents=True)
    for i in range(7):
        (root / ("inner" if i in (1, 2) else ".") / f"{i}.png").symlink_to(folder / f"{i}.png")
    used: set[str] = set()
    in_validation = False

    def noting(path: Path) -> Picture:
        if not in_validation:
            used.add(path.name)
        return read_rgb8(path)

    def reading(files: list[Path], least: int, progress: Any, **asked: Any) -> Any:
        nonlocal in_validation
        in_validation = {file.name for file in files} == judges
        try:
            return read_training_pictures(files, least, progress, **asked)
        finally:
            in_validation = False

    for module in ("pairs", "streamed"):
        monkeypatch.setattr(f"srkit.data.{module}.read_rgb8", noting)
    monkeypatch.setattr("srkit.tasks.train_pictures.read_training_pictures", reading)
    recipe = _recipe(data={"residency": residency, "workers": 0}, optim={"steps": 20})
    inside = (root / "inner",) if validation == "a folder inside" else ()
    # The inner folder is named twice: its pictures must not be held out in one place and trained on in another.
    result = run(_job(root, tmp_path / "run", recipe, data=(root, root / "inner"), validation=inside))
    assert set(result.held_out) == judges
    assert used == others
    assert result.pictures == len(others)


@pytest.mark.parametrize(("residency", "form"), [("memory", "png"), ("memory", "bmp"), ("stream", "png")])
@pytest.mark.parametrize("validation", ["every third", "a folder"])
def test_copies_of_what_is_held_out_are_not_trained_on(
    residency: str, form: str, validation: str, tmp_path: Path, rendered: Callable[..., Picture]
) -> None:
    """Copies byte for byte, and what is read into memory by its pixels."""
    root = tmp_path / "photographs"
    for name, seed in {"0": 0, "1": 1, "2": 0, "3": 2, "4": 3}.items():  # 0 and 3 are held out
        copy = name == "2"
        place = root / "val" if validation == "a folder" and name in "03" else root
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{name}.{form if copy else 'png'}"), rendered(40, 40, seed)[:, :, ::-1])
    recipe = _recipe(data={"residency": residency, "workers": 0})
    progress = Listening()
    folders = (root / "val",) if validation == "a folder" else ()
    result = run(_job(root, tmp_path / "run", recipe, validation=folders), progress)
    assert (result.held_out, result.pictures) == (("0.png", "3.png"), 2)
    said = [message for message in progress.messages if "same content" in message]
    assert len(said) == 1
    assert f"2.{form}" in said[0]


def test_nothing_but_copies(tmp_path: Path, rendered: Callable[..., Picture]) -> None:
    root = tmp_path / "photographs"
    root.mkdir()
    for i in range(6):
        cv2.imwrite(str(root / f"{i}.png"), rendered(40, 40)[:, :, ::-1])
    with pytest.raises(SrkitError, match="No picture is left to train on") as caught:
        run(_job(root, tmp_path / "run"))
    assert caught.value.exit_code is Exit.FAILED


def test_streaming_trains_too(folder: Path, tmp_path: Path) -> None:
    recipe = _recipe(data={"residency": "stream", "workers": 1})
    result = run(_job(folder, tmp_path, recipe))
    assert (result.steps, load_model(result.weights).info.scale) == (4, 2)


# -- resume -----------------------------------------------------------------------------------------------


def test_a_run_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    run(_job(folder, tmp_path))
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(
        UsageError, match=r"holds a run already; continue it with --resume or choose another -o"
    ):
        run(_job(folder, tmp_path))
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_run_is_replaced_where_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    run(_job(folder, tmp_path, _recipe(optim={"steps": 7})))
    (tmp_path / "notes.txt").write_text("mine")
    lines = len((tmp_path / "metrics.jsonl").read_text().splitlines())
    result = run(_job(folder, tmp_path, overwrite=True))
    assert (result.steps, read_header(result.weights).steps) == (4, 4)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) < lines
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="exclude each other"):
        run(_job(folder, tmp_path, overwrite=True, resume=True))
    (tmp_path / CHECKPOINT).unlink()  # weights alone are not replaced either
    with pytest.raises(UsageError, match="holds a run already"):
        run(_job(folder, tmp_path))


def test_a_finished_run_is_continued_by_more_steps(folder: Path, tmp_path: Path) -> None:
    first = run(_job(folder, tmp_path))
    longer = _recipe(optim={"steps": 7})
    second = run(_job(folder, tmp_path, longer, resume=True))
    assert (first.steps, second.steps) == (4, 7)
    assert second.seconds > first.seconds
    assert load_recipe(TrainRecipe, tmp_path / "recipe.toml") == longer


def test_an_interrupted_run_ends_as_if_it_had_not_been(folder: Path, tmp_path: Path) -> None:
    class Interrupting(Silent):
        steps = -1

        def advance(self, amount: float = 1.0) -> None:
            if amount < 1:  # a step of training, not a picture that was read
                self.steps += 1
                if self.steps == 3:
                    raise KeyboardInterrupt

    straight = run(_job(folder, tmp_path / "straight"))
    with pytest.raises(KeyboardInterrupt):
        run(_job(folder, tmp_path / "broken"), Interrupting())
    assert not (tmp_path / "broken" / WEIGHTS).exists()
    resumed = run(_job(folder, tmp_path / "broken", resume=True))
    assert resumed.weights.read_bytes() == straight.weights.read_bytes()


def test_nothing_to_resume(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="There is no checkpoint"):
        run(_job(folder, tmp_path / "new", resume=True))
    assert not (tmp_path / "new").exists()


def test_another_network_is_not_resumed(folder: Path, tmp_path: Path) -> None:
    run(_job(folder, tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    wider = _recipe(model={"arguments": ARGUMENTS | {"features": 16}})
    with pytest.raises(UsageError) as caught:
        run(_job(folder, tmp_path, wider, resume=True))
    assert "features=8" in str(caught.value)
    assert "features=16" in str(caught.value)
    assert str(caught.value).endswith("choose another -o.")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


# -- weights to start from --------------------------------------------------------------------------------


def test_the_trunk_starts_from_other_weights(folder: Path, tmp_path: Path, edsr_weights: Path) -> None:
    """A step so small that it changes nothing shows where the weights started."""
    arguments = ARGUMENTS | {"scale": 4}
    model = {"arguments": arguments, "start": str(edsr_weights)}
    recipe = replace(_recipe(model=model, optim={"lr": 1e-12, "steps": 1}), seed=5)
    progress = Listening()
    result = run(_job(folder, tmp_path / "run", recipe), progress)
    source = load_model(edsr_weights).network.state_dict()
    target = load_model(result.weights).network.state_dict()
    trunk = [name for name in target if name.startswith("trunk.")]
    assert len(trunk) == 8
    for name in trunk:
        torch.testing.assert_close(target[name], source[name], atol=1e-4, rtol=1e-3)
    assert f"8 of 10 tensors start from '{edsr_weights}'" in progress.messages
    fresh = run(_job(folder, tmp_path / "fresh", replace(recipe, model=replace(recipe.model, start=""))))
    other = load_model(fresh.weights).network.state_dict()
    assert not torch.allclose(other[trunk[0]], source[trunk[0]], atol=1e-2)


def test_a_deeper_network_starts_as_the_shallower_one(
    folder: Path, tmp_path: Path, edsr_weights: Path
) -> None:
    model = {"arguments": ARGUMENTS | {"blocks": 3}, "start": str(edsr_weights)}
    recipe = _recipe(model=model, optim={"lr": 1e-12, "steps": 1})
    deeper = load_model(run(_job(folder, tmp_path, recipe)).weights).network
    shallower = load_model(edsr_weights).network
    x = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(deeper(x), shallower(x), atol=1e-4, rtol=0)
    added = deeper.state_dict()
    assert float(added["trunk.blocks.1.conv1.weight"].abs().max()) > 0.01  # or it could never learn


def test_a_resumed_run_needs_no_weights_to_start_from(
    folder: Path, tmp_path: Path, edsr_weights: Path
) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(edsr_weights.read_bytes())
    recipe = _recipe(model={"start": str(start)})
    run(_job(folder, tmp_path / "run", recipe))
    start.unlink()
    assert run(_job(folder, tmp_path / "run", recipe, resume=True)).steps == 4


def test_weights_that_share_nothing(folder: Path, tmp_path: Path, edsr_weights: Path) -> None:
    model = {"arguments": {"scale": 4, "features": 6, "blocks": 0}, "start": str(edsr_weights)}
    with pytest.raises(UsageError, match=r"share no tensor with this network; leave model\.start empty"):
        run(_job(folder, tmp_path / "run", _recipe(model=model)))
    missing = _recipe(model={"start": str(tmp_path / "gone.safetensors")})
    with pytest.raises(ResourceError, match=r"gone\.safetensors"):
        run(_job(folder, tmp_path / "run", missing))


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"optim": {"steps": 0}}, "'optim.steps' is 0; it must be at least 1"),
        ({"data": {"batch": 0}}, "'data.batch' is 0"),
        ({"data": {"patch": -1}}, "'data.patch' is -1"),
        ({"run": {"validate_every": 0}}, "'run.validate_every' is 0"),
        ({"data": {"holdout_every": 1}}, "'data.holdout_every' must be at least 2"),
        ({"data": {"workers": -1}}, "'data.workers' is -1"),
        ({"data": {"sizes": []}}, "'data.sizes' is []; it must name at least one factor"),
        ({"data": {"sizes": [1.0, 1.5]}}, "'data.sizes' is [1.0, 1.5]"),
        ({"data": {"sizes": [0.0]}}, "'data.sizes' is [0.0]"),
        ({"optim": {"lr": 0.0}}, "'optim.lr' is 0.0; it must be above 0"),
        ({"optim": {"lr": math.nan}}, "'optim.lr' is nan"),
        ({"optim": {"betas": [0.9]}}, "'optim.betas' are [0.9]"),
        ({"optim": {"ema": 1.5}}, "'optim.ema' is 1.5"),
        ({"model": {"arch": "esdr"}}, "no network 'esdr'"),
        ({"model": {"arguments": {"scale": 7}}}, "EDSR was given scale 7"),
    ],
)
def test_recipes_that_make_no_sense(parts: dict[str, Any], words: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(_job(folder, tmp_path / "run", _recipe(**parts)))
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"minutes": 0.0}, "--minutes is 0.0; it must be above 0"),
        ({"minutes": math.nan}, "--minutes is nan"),
        ({"threads": 0}, "--threads is 0; it must be at least 1"),
        ({"device": "gpu"}, "--device is 'gpu'"),
        ({"data": (Path("/nonexistent/photographs"),)}, "'/nonexistent/photographs' is not there"),
        ({"validation": (Path("/nonexistent/val"),)}, "'/nonexistent/val' is not there"),
    ],
)
def test_jobs_that_make_no_sense(changes: dict[str, Any], words: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(_job(folder, tmp_path / "run", **changes))
    assert words in str(caught.value)
    assert caught.value.exit_code is Exit.USAGE


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "No pictures were found under"),
        (["notes.txt"], "No pictures were found under"),
        (["1.png"], "No picture is left to train on beside those held out"),
        (["1.png", "7.jpg"], "None of the 1 training pictures can be used"),
    ],
)
def test_folders_that_are_not_enough(names: list[str], words: str, folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in names:
        (data / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(SrkitError) as caught:
        run(_job(data, tmp_path / "run"))
    assert words in str(caught.value)
    assert caught.value.exit_code is Exit.FAILED


def test_an_output_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SrkitError, match=r"file.*cannot be written|file.*is not a folder"):
        run(_job(folder, tmp_path / "file" / "run"))

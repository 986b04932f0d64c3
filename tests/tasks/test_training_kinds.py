"""What training of every kind has in common: the files of a run, resuming exactly, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import srkit.rendered
from srkit._version import __version__
from srkit.data import captioned
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.progress import Silent
from srkit.recipes.kinds import load_training_recipe
from srkit.tasks.train import WEIGHTS, TrainJob, TrainResult, blurred, reconstructor, run, text
from srkit.training.state import CHECKPOINT, read_checkpoint
from srkit.zoo.load import load_model
from tests.encoders import clip_files
from tests.helpers import Listening, refused
from tests.tasks.training_cases import CASES, LAST, Case, named_by
from tests.training.runs import CPU, same

Image = NDArray[np.uint8]
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Image]) -> Path:
    """0, 3 and 6 are held out, every third; a broken and a tiny image are left out, so 1, 4 and 5 are trained on."""
    root = tmp_path_factory.mktemp("data") / "photographs"
    root.mkdir()
    for i in (0, 1, 3, 4, 5, 6):
        cv2.imwrite(str(root / f"{i}.png"), rendered(72, 72 + i, seed=i % 2)[:, :, ::-1])
    (root / "2.jpg").write_bytes(b"\xff\xd8 broken")
    cv2.imwrite(str(root / "7.png"), rendered(12, 12)[:, :, ::-1])
    (root / "notes.txt").write_text("no image")
    return root


Start = Callable[..., TrainJob[Any]]


@pytest.fixture
def make(folder: Path, edsr_weights: Path) -> Start:
    """A case's job: `make(case, output, *settings, **values)`."""

    def job(case: Case, output: Path, *settings: str, data: Path = folder, **values: Any) -> TrainJob[Any]:
        start = {"start": str(edsr_weights)} if case.kind == "meta" else {}
        return case.job(data, output, *settings, **(start | values))

    return job


DRAWN = lru_cache(maxsize=256)(srkit.rendered.draw)
"""Rendered images, drawn once for all runs: a Spec is the same image each time."""


@pytest.fixture(autouse=True)
def few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """That statistics of the data, and the accuracy that is written into a header, are measured on."""
    monkeypatch.setattr(reconstructor, "_USUAL_BATCHES", 2)
    monkeypatch.setattr(blurred, "_CODE_BATCHES", 2)
    monkeypatch.setattr(text, "_SCORED", 2)
    monkeypatch.setattr(captioned, "draw", DRAWN)


@pytest.fixture(scope="session")
def runs() -> dict[str, tuple[Path, TrainResult, list[str]]]:
    """The finished runs of the cases, by table."""
    return {}


@pytest.fixture
def finished(
    case: Case,
    make: Start,
    runs: dict[str, tuple[Path, TrainResult, list[str]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, TrainResult, list[str]]:
    """The folder, result and warnings of the case's run; done once, and not to be written to."""
    if case.table not in runs:
        output, listening = tmp_path_factory.mktemp("runs") / "tiny", Listening()
        runs[case.table] = (output, run(make(case, output), listening), listening.warned)
    return runs[case.table]


def copy_of(finished: tuple[Path, TrainResult, list[str]], output: Path) -> Path:
    shutil.copytree(finished[0], output)
    return output


def state_of(case: Case, output: Path) -> list[dict[str, Any]]:
    """All that the checkpoints hold, but the time."""
    saved = [read_checkpoint(output / stage, CPU) for stage in case.stages]
    return [{key: value for key, value in one.items() if key not in ("seconds", "recipe")} for one in saved]


def learned(case: Case, output: Path) -> dict[str, Any]:
    """What a run's weights file holds."""
    model = load_model(output / WEIGHTS, task=case.header.get("task", "sr"))
    return {**model.network.state_dict(), **{f"rate of {name}": rate for name, rate in model.rates.items()}}


def files_of(output: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}


def logged(folder: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl, which must be JSON to the letter."""

    def never(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=never) for line in lines]


class InterruptAfter(Silent):
    """Interrupts, as a user would, after so many steps of the n-th training of a run."""

    def __init__(self, steps: int, training: int = 0) -> None:
        self.steps, self.training, self.begun, self.counting = steps, training, -1, False

    def start(self, label: str, total: float | None) -> None:
        self.counting = isinstance(total, float) and total == 1.0  # other work counts images
        self.begun += self.counting
        self.done = -1  # the first report is of what was done before

    def advance(self, amount: float = 1.0) -> None:
        if self.counting and self.begun == self.training:
            self.done += 1
            if self.done == self.steps:
                raise KeyboardInterrupt


@EACH
def test_what_a_run_leaves(case: Case, finished: Any, make: Start, folder: Path) -> None:
    output, result, warned = finished
    job = make(case, output)
    assert (result.weights, result.steps, result.pictures) == (output / WEIGHTS, case.steps, case.images)
    assert result.held_out == case.held_out
    assert result.seconds > 0
    if case.warns:
        assert all(any(name in warning for warning in warned) for name in ("2.jpg", "7.png"))

    assert load_training_recipe(output / "recipe.toml") == job.recipe
    last = output / case.stages[-1]
    assert read_checkpoint(last, CPU)["step"] == 5
    assert list((last / "tensorboard").glob("events.*"))
    header = load_model(result.weights, task=case.header.get("task", "sr")).header
    assert header is not None
    expected = {"scale": 2, "task": "sr", **case.header}
    assert {name: getattr(header, name) for name in expected} == expected
    assert (header.recipe, header.recipe_sha256) == (job.recipe.name, job.recipe.sha256)
    assert (header.training_data, header.licence) == ("rendered", "CC0-1.0")
    assert (header.steps, header.srkit_version) == (case.steps, __version__)

    scores = [line[case.logged] for line in logged(last) if case.logged in line]
    assert len(scores) == 3  # after two, four and five steps
    score: Any = reduce(lambda table, key: table[key], case.score, asdict(header))
    close = [value for value in scores if score == pytest.approx(value, abs=6e-4)]
    assert close
    if case.best is not None:
        assert case.best(scores) in close
    found = [result.validation_psnr, *result.scores.values()]
    assert any(value == pytest.approx(score, abs=6e-4) for value in found if value is not None)


@pytest.mark.parametrize(
    ("case", "training"),
    [(case, number) for case in CASES.values() for number in range(len(case.stages))],
    ids=[f"{name} {number}" for name, case in CASES.items() for number in range(len(case.stages))],
)
def test_an_interrupted_run_is_resumed_exactly(
    case: Case, training: int, finished: Any, make: Start, tmp_path: Path
) -> None:
    """The same bytes in the end, and so do two runs of one recipe give."""
    output = tmp_path / "run"
    job = make(case, output)
    steps = 3 if training == len(case.stages) - 1 else 1
    with pytest.raises(KeyboardInterrupt):
        run(job, InterruptAfter(steps, training))
    assert read_checkpoint(output / case.stages[training], CPU)["step"] == steps
    assert not (output / WEIGHTS).exists()
    assert all((output / stage / WEIGHTS).exists() for stage in case.stages[:training])
    before = files_of(output)
    with refused(UsageError, output, "--resume"):
        run(job)
    assert files_of(output) == before
    output.rename(tmp_path / "moved")
    job = replace(job, output=tmp_path / "moved", resume=True)
    run(job)
    assert same(state_of(case, job.output), state_of(case, finished[0]))
    assert (job.output / WEIGHTS).read_bytes() == (finished[0] / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("case", "setting"),
    [(case, setting) for case in CASES.values() for setting in ("seed = 1", *case.counts)],
    ids=[f"{name}: {setting}" for name, case in CASES.items() for setting in ("seed", *case.counts)],
)
def test_every_setting_counts(case: Case, setting: str, finished: Any, make: Start, tmp_path: Path) -> None:
    run(make(case, tmp_path, setting))
    assert not same(learned(case, finished[0]), learned(case, tmp_path))


@EACH
def test_a_finished_run_is_continued_and_what_gets_worse_is_not_taken(
    case: Case, finished: Any, make: Start, tmp_path: Path
) -> None:
    """Two more steps, so long that they make it worse: the weights stay, unless they are always the last ones."""
    job = make(case, copy_of(finished, tmp_path / "run"), case.longer, f"{case.rate} = {case.large}")
    result = run(replace(job, resume=True))
    assert result.steps == case.steps + 2
    assert result.seconds > finished[1].seconds
    assert load_training_recipe(job.output / "recipe.toml") == job.recipe
    assert same(*(learned(case, folder) for folder in (finished[0], job.output))) == (case.best is not LAST)


@EACH
def test_nothing_to_resume(case: Case, make: Start, tmp_path: Path) -> None:
    with refused(ResourceError, "--resume") as caught:
        run(replace(make(case, tmp_path / "new"), resume=True))
    assert str(tmp_path / "new") in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("case", "other"),
    [(case, other) for case in CASES.values() for other in case.others],
    ids=[f"{name}: {named_by(other)[0]}" for name, case in CASES.items() for other in case.others],
)
def test_another_run_is_not_resumed(case: Case, other: Any, finished: Any, make: Start) -> None:
    before = files_of(finished[0])
    setting, named = named_by(other) if not isinstance(other, str) else (other, ())
    with refused(UsageError, *named) as caught:
        run(replace(make(case, finished[0], case.longer, setting), resume=True))
    assert str(finished[0]) in str(caught.value)
    assert files_of(finished[0]) == before


@EACH
def test_divergence_leaves_what_can_be_resumed(
    case: Case, finished: Any, make: Start, tmp_path: Path
) -> None:
    """Steps so long that nothing is finite after them."""
    output = copy_of(finished, tmp_path / "run")
    job = make(case, output, case.longer, f"{case.rate} = 1e30")
    with refused(SrkitError, case.rate.removeprefix("stages.deep.set."), output / case.stages[-1]):
        run(replace(job, resume=True))
    assert same(state_of(case, output), state_of(case, finished[0]))
    assert (output / WEIGHTS).read_bytes() == (finished[0] / WEIGHTS).read_bytes()
    assert logged(output / case.stages[-1])


@EACH
def test_minutes_replace_steps(case: Case, make: Start, tmp_path: Path) -> None:
    long = {"steps": 10**6} if case.kind != "stages" else {}
    settings = [f"stages.{name}.set.optim.steps = 1000000" for name in case.stages if name]
    result = run(replace(make(case, tmp_path, *settings, **long), minutes=1e-6))
    assert 1 <= result.steps < 100
    assert (tmp_path / WEIGHTS).is_file()


@pytest.mark.parametrize(
    ("case", "refusal"),
    [(case, refusal) for case in CASES.values() for refusal in case.refused],
    ids=[f"{name}: {named_by(refusal)[0]}" for name, case in CASES.items() for refusal in case.refused],
)
def test_recipes_that_make_no_sense(case: Case, refusal: Any, make: Start, tmp_path: Path) -> None:
    setting, named = named_by(refusal)
    with refused(UsageError, *named):
        run(make(case, tmp_path / "run", setting))
    assert not (tmp_path / "run").exists()


@EACH
def test_jobs_that_make_no_sense(case: Case, make: Start, tmp_path: Path) -> None:
    job, nowhere = make(case, tmp_path / "run"), Path("/nonexistent/photographs")
    for changes, named in (
        ({"minutes": 0.0}, ("--minutes", 0.0)),
        ({"minutes": math.nan}, ("--minutes", "nan")),
        ({"threads": 0}, ("--threads", 0)),
        ({"device": "gpu"}, ("--device", "gpu")),
        ({"data": (nowhere,)}, (nowhere,)),
        ({"validation": (nowhere,)}, (nowhere,)),
    ):
        with refused(UsageError, *named):
            run(replace(job, **changes))
        assert not (tmp_path / "run" / CHECKPOINT).exists()


@EACH
def test_folders_that_are_not_enough(case: Case, make: Start, folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(folder / "notes.txt", data)
    for name in ("1.png", "2.jpg"):  # nothing beside what is held out; a broken one alone
        shutil.copy(folder / name, data)
        with refused(SrkitError):
            run(make(case, tmp_path / "run", data=data))


@EACH
def test_an_output_that_cannot_be_written(case: Case, make: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with refused(SrkitError, tmp_path / "file" / "run"):
        run(make(case, tmp_path / "file" / "run"))
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("name", ["text", "clipsr"])
def test_captions_are_looked_for_among_all_images(
    name: str, make: Start, folder: Path, tmp_path: Path
) -> None:
    """Those that are trained on, held out, or left out; what is left without its other half is named once."""
    data = tmp_path / "photographs"
    shutil.copytree(folder, data)
    shutil.copy(data / "0.png", data / "8.png")  # a copy of one that is held out
    for i in (0, 1, 2, 3, 5, 6, 7, 8):
        (data / f"{i}.txt").write_text(f"image {i}")
    listening = Listening()
    run(make(CASES[name], tmp_path / "run", "optim.steps = 1", data=data), listening)
    without_caption, without_image = [text for text in listening.warned if "caption" in text]
    assert "4.png" in without_caption
    assert ".png" not in without_caption.replace("4.png", "")
    assert "notes.txt" in without_image
    assert ".txt" not in without_image.replace("notes.txt", "")


@pytest.mark.parametrize(
    "case", [c for c in CASES.values() if c.starts], ids=[n for n, c in CASES.items() if c.starts]
)
def test_weights_to_start_from_that_are_not_there(case: Case, make: Start, tmp_path: Path) -> None:
    with refused(ResourceError, tmp_path / "gone.safetensors"):
        run(make(case, tmp_path / "run", start=str(tmp_path / "gone.safetensors")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["text", "clipsr"])
def test_only_captions_of_no_image_at_all_are_named(kind: str, make: Start, tmp_path: Path) -> None:
    table = tmp_path / "captions.tsv"
    named = [f"{i}.png\timage {i}" for i in (0, 1, 3, 4, 5, 6)]  # trained on, and held out
    table.write_text("\n".join(["path\tcaption", *named, "elsewhere.png\tnothing here"]))
    listening = Listening()
    run(make(CASES[kind], tmp_path / "run", f'data.captions = "{table}"', "optim.steps = 1"), listening)
    (warning,) = listening.about("elsewhere.png")
    assert "0.png" not in warning
    assert not listening.about("without a caption")


def test_letters_are_known_to_encoders_of_characters_alone(make: Start, tmp_path: Path) -> None:
    clip_files.register(tmp_path)
    clip = tmp_path / "clip.pt"
    torch.save(clip_files.network("tiny-vit").state_dict(), clip)
    settings = (
        f'providers.text = "open_clip:tiny-vit-gelu:{clip}"',
        "loss.lettering = 0.5",
        "optim.steps = 1",
    )
    with refused(UsageError, "loss.alignment", "loss.lettering", "tiny-vit-gelu"):
        run(make(CASES["clipsr"], tmp_path / "run", *settings))
    # Photographs alone show no letters that are known: nothing is asked of the encoder.
    case = replace(CASES["clipsr"], table=CASES["clipsr"].table.replace("{ sign = 2, portrait = 1 }", "{}"))
    run(make(case, tmp_path / "photographs", *settings, "data.rendered_batch = 0"))

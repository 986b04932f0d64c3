"""Few-shot evaluation: who teaches is not measured; both are measured on the same images, with an interval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srkit.errors import UsageError
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.metrics.reports import Report
from srkit.progress import Silent
from srkit.recipes.adapt import TunePart
from srkit.recipes.evaluate import EvalRecipe
from srkit.rendered import render
from srkit.tasks.evaluate import shots as evaluate_shots
from srkit.tasks.evaluate.run import EvalJob, evaluate
from tests.helpers import Listening, refused


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the set `Screens` of six images; one that teaches is broken."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "Screens" / "HR"
    folder.mkdir(parents=True)
    for i in range(6):
        write_image(DecodedImage(render("screen", 88, 80, i)), folder / f"{'abcdef'[i]}.png", format="png")
    (folder / "b.png").write_bytes(b"broken")
    return root


@pytest.fixture
def measure(root: Path, edsr_weights: Path) -> Callable[..., Report]:
    def run(progress: Any = None, **changes: Any) -> Report:
        usual = {
            "models": (str(edsr_weights),),
            "shots": 3,
            "shot_steps": 20,
            "device": "cpu",
            "dtype": "fp32",
        }
        job = EvalJob(EvalRecipe(**(usual | changes)), datasets=("Screens",), data_root=root)
        return evaluate(job, progress or Silent())

    return run


def test_both_on_the_images_left(measure: Callable[..., Report], edsr_weights: Path) -> None:
    report = measure()
    adapted, base = report.results
    assert (adapted.model, base.model) == ("tiny-x2 3-shot", "tiny-x2")
    assert adapted.model_sha256 == base.model_sha256
    for result in report.results:
        assert result.support == ("a", "b", "c")
        assert [image.name for image in result.images] == ["d", "e", "f"]
        assert result.failed == ()
    assert adapted.mean["psnr"] > base.mean["psnr"]
    gain = report.comparisons[0]
    assert (gain.metric, gain.result, gain.other) == ("psnr", adapted, base)
    assert gain.interval.count == 3
    assert gain.interval.mean == pytest.approx(adapted.mean["psnr"] - base.mean["psnr"])
    assert gain.interval.low > 0
    alone = measure(shots=0).results[0]
    assert [image.values["psnr"] for image in alone.images if image.name in "def"] == [
        image.values["psnr"] for image in base.images
    ]


def test_nothing_measured_has_a_say(
    measure: Callable[..., Report], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is learned from, and what judges, are pieces of the support."""
    seen: list[NDArray[np.uint8]] = []
    real = evaluate_shots.fit

    def spying(model: Any, split: Any, *rest: Any) -> Any:
        seen.extend(example.hr for example in (*split.support, *split.validation))
        assert split.strips
        assert {example.name for example in (*split.support, *split.validation)} == {"a", "c"}
        return real(model, split, *rest)

    monkeypatch.setattr(evaluate_shots, "fit", spying)
    measure()
    whole = [render("screen", 88, 80, i) for i in (0, 2)]
    rows = {row.tobytes() for image in whole for row in image.reshape(-1, 3).reshape(80, 88, 3)[:, :40]}
    assert all(row[:40].tobytes() in rows for hr in seen for row in hr if hr.shape[1] == 88)
    assert len(seen) == 4


def test_what_does_not_help_is_said(measure: Callable[..., Report], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_shots, "TunePart", lambda steps: TunePart(steps=steps, rate=1e-12))
    listening = Listening()
    adapted, base = measure(listening).results
    assert adapted.images == base.images
    assert listening.about("Screens")
    assert listening.about("b")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"shots": 6}, ("--shots", 6)),
        ({"shots": -1}, ("--shots", -1)),
        ({"shot_steps": 0}, ("--shot-steps", 0)),
        ({"models": ("bicubic",), "scale": 2}, ("--shots",)),
        ({"scale": 4}, ("--shots", 4)),
    ],
)
def test_what_makes_no_sense(
    measure: Callable[..., Report], changes: dict[str, Any], named: tuple[object, ...]
) -> None:
    with refused(UsageError, *named):
        measure(**changes)


def test_images_are_kept_by_model(
    measure: Callable[..., Report], root: Path, edsr_weights: Path, tmp_path: Path
) -> None:
    recipe = EvalRecipe(models=(str(edsr_weights),), shots=3, shot_steps=2, device="cpu", dtype="fp32")
    evaluate(EvalJob(recipe, datasets=("Screens",), data_root=root, save_images=tmp_path / "sr"))
    found = sorted(str(path.relative_to(tmp_path / "sr")) for path in (tmp_path / "sr").rglob("*.png"))
    assert found == [
        f"{model}/Screens/{name}.png" for model in ("tiny-x2 3-shot", "tiny-x2") for name in "def"
    ]


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_copies_of_the_support_are_not_measured(form: Any, edsr_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Pages" / "HR"
    folder.mkdir(parents=True)
    for name, seed in {"a": 0, "b": 1, "c": 0, "d": 2, "e": 1, "f": 3, "g": 2, "h": 3}.items():
        image, own = DecodedImage(render("screen", 88, 80, seed)), form if name in "ce" else "png"
        write_image(image, folder / f"{name}.{own}", format=own)
    recipe = EvalRecipe(models=(str(edsr_weights),), shots=3, shot_steps=2, device="cpu", dtype="fp32")
    job, listening = EvalJob(recipe, datasets=("Pages",), data_root=tmp_path), Listening()
    for result in evaluate(job, listening).results:
        assert result.support == ("a", "b", "d")
        # Other copies stay: a set is measured as it is.
        assert [image.name for image in result.images] == ["f", "h"]
    said = [warning for warning in listening.warned if "same content" in warning]
    assert sorted(name for name in "ceg" if any(f"'{name}'" in warning for warning in said)) == [
        "c",
        "e",
        "g",
    ]
    for name in "fh":
        (folder / f"{name}.png").unlink()
    with pytest.raises(UsageError, match="leaves none to measure on"):
        evaluate(job, Listening())

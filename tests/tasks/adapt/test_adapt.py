"""What adapting to labelled examples and to low-resolution images alone have in common."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from srkit.errors import UsageError
from srkit.metrics.reports import html_page
from srkit.recipes.adapt import AdaptRecipe, TunePart
from srkit.recipes.self_supervised import LoopPart, SelfAdaptRecipe
from srkit.zoo.header import read_header
from srkit.zoo.load import load_model
from srkit.zoo.weights import read_tensors
from tests.helpers import Listening, refused
from tests.tasks.adapt.adapting import Kind


def _same_tensors(a: Path, b: Path) -> bool:
    one, other = read_tensors(a), read_tensors(b)
    assert one.keys() == other.keys()
    assert all(other[name].dtype == tensor.dtype for name, tensor in one.items())
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_it_repeats_to_the_byte_and_nothing_else_changes(
    kind: Kind, edsr_weights: Path, reconstructor_weights: Path, tmp_path: Path
) -> None:
    before = [path.read_bytes() for path in (edsr_weights, reconstructor_weights)]
    one, two = (kind.adapt(kind.domain, output=name) for name in ("one.safetensors", "two.safetensors"))
    assert one.output.read_bytes() == two.output.read_bytes()
    assert one.after.images == two.after.images
    other = kind.adapt(kind.domain, output="three.safetensors", seed=1)
    assert other.output.read_bytes() != one.output.read_bytes()
    assert [path.read_bytes() for path in (edsr_weights, reconstructor_weights)] == before
    assert not _same_tensors(edsr_weights, one.output)
    assert (one.kept, one.steps, one.stopped) == (True, kind.steps, "steps")
    header, base = read_header(one.output), read_header(edsr_weights)
    assert replace(header, adapted={}, scores={}, steps=None) == replace(base, scores={}, steps=None)
    about = header.adapted
    assert (about["model"], about["sha256"]) == ("tiny-x2", load_model(edsr_weights).sha256)
    assert (about["domain"], about["support"]) == (kind.domain.name, list(one.support))
    assert (about["kept"], about["recipe"][kind.part]["steps"]) == (True, kind.steps)
    assert str(tmp_path.parent) not in json.dumps(about)


def test_what_does_not_help_is_taken_back(
    kind: Kind, edsr_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learning to make the loss larger: the base's tensors are written, bit for bit."""
    kind.change_loss(monkeypatch, lambda number, loss: -loss)
    result = kind.adapt(kind.domain)
    assert not result.kept
    assert result.after is result.before
    assert _same_tensors(edsr_weights, result.output)
    assert read_header(result.output).adapted["kept"] is False
    assert result.verdict in result.report.remarks[0]


def test_a_loss_that_is_no_number(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = kind.steps * 2 // 3
    kind.change_loss(monkeypatch, lambda number, loss: loss * (torch.nan if number > sound else 1.0))
    progress = Listening()
    result = kind.adapt(kind.domain, progress)
    assert (result.stopped, result.steps, result.kept) == ("diverged", sound, True)
    assert progress.about(sound)


def test_report(kind: Kind, tmp_path: Path) -> None:
    result = kind.adapt(kind.domain)
    html_page.write(result.report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<title>Adaptation</title>" in page
    assert result.verdict in page
    reference = "hr" if kind.part == "tune" else "lr"
    assert page.count('data-view="before"') == page.count(f'data-view="{reference}"') >= 2
    assert "out" in page
    assert "tiny-x2" in page


def test_a_conditioned_network(kind: Kind, cdasr_weights: Path) -> None:
    result = kind.adapt(kind.domain, model=str(cdasr_weights))
    assert result.steps == kind.steps
    assert read_header(result.output).providers == read_header(cdasr_weights).providers
    assert kind.part == "loop" or result.after.mean["psnr"] > result.before.mean["psnr"]


def test_a_foreign_checkpoint(kind: Kind, tmp_path: Path) -> None:
    """Saved under its own names, loaded by whatever loads it."""
    pytest.importorskip("spandrel")
    from spandrel.architectures import Compact

    torch.manual_seed(0)
    network = Compact.Compact(num_feat=8, num_conv=1, upscale=2).eval()
    path = tmp_path / "base.pth"
    torch.save({"params": network.state_dict()}, path)
    content = path.read_bytes()
    part = {} if kind.part == "loop" else {"tune": TunePart(30, patch=12, batch=4, rate=1e-4, judge_every=10)}
    result = kind.adapt(kind.domain, model=str(path), **part)
    assert path.read_bytes() == content
    assert result.kept
    assert kind.part == "loop" or result.after.mean["psnr"] > result.before.mean["psnr"]
    assert load_model(result.output).source == "spandrel"
    with safe_open(result.output, framework="pt") as file:
        assert set(file.keys()) == set(network.state_dict())
        about = json.loads(file.metadata()["srkit_adapted"])
    assert about["sha256"] == load_model(path).sha256


def test_a_broken_file(kind: Kind, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for name in "abcde":
        content = (kind.domain / f"{name}.png").read_bytes()
        (folder / f"{name}.png").write_bytes(content[: len(content) // 2] if name == "b" else content)
    progress = Listening()
    result = kind.adapt(folder, progress)
    assert [name for name, _ in result.failed] == ["b"]
    assert "b" not in {*result.support, *result.judge}
    assert progress.warned


def test_outputs_that_are_refused(kind: Kind, tmp_path: Path, edsr_weights: Path) -> None:
    there, before = tmp_path / "there.safetensors", edsr_weights.read_bytes()
    there.write_text("mine")
    for output, named in (
        ("there.safetensors", there),
        ("out.pth", ".safetensors"),
        ("gone/out.safetensors", tmp_path / "gone"),
        (str(edsr_weights), edsr_weights),
    ):
        with refused(UsageError, named):
            kind.adapt(kind.domain, output=output)
    assert (there.read_text(), edsr_weights.read_bytes()) == ("mine", before)


@pytest.mark.parametrize(("part", "usual"), [(TunePart, 800), (LoopPart, 300)])
def test_how_many_steps(part: Callable[..., Any], usual: int) -> None:
    assert part().most_steps == usual
    assert part(minutes=1.0).most_steps > 10**9
    assert part(steps=7, minutes=1.0).most_steps == 7


BOTH: list[tuple[str, Any, str]] = [
    ("holdout", 1.0, "--holdout"),
    ("holdout", -0.1, "--holdout"),
    ("scale", 17, "--scale"),
    ("threads", 0, "--threads"),
    ("max_pixels", 0, "--max-pixels"),
    ("part.steps", 0, "--steps"),
    ("part.minutes", 0.0, "--minutes"),
    ("part.minutes", math.nan, "--minutes"),
    ("part.rate", 0.0, "{part}.rate"),
    ("part.rate", -1.0, "{part}.rate"),
    ("part.ema", 1.0, "{part}.ema"),
]
LOOPS: list[tuple[str, Any, str]] = [
    ("part.far_share", -0.5, "loop.far_share"),
    ("part.noise_std", math.inf, "loop.noise_std"),
    ("part.draws", 0, "loop.draws"),
    ("part.keep", "best", "loop.keep"),
    ("part.control", "on", "loop.control"),
]
SHOTS: list[tuple[str, Any, str]] = [
    ("shots", 0, "--shots"),
    ("part.probe", (1.0, -2.0), "tune.probe"),
    ("part.probe_steps", 0, "tune.probe_steps"),
]
REFUSED = [
    *((AdaptRecipe, "tune", TunePart, *row) for row in (*BOTH, *SHOTS)),
    *((SelfAdaptRecipe, "loop", LoopPart, *row) for row in (*BOTH, *LOOPS)),
]


@pytest.mark.parametrize(("recipe", "part", "make", "key", "value", "named"), REFUSED, ids=str)
def test_recipes_that_make_no_sense(
    recipe: Any, part: str, make: Any, key: str, value: Any, named: str
) -> None:
    shown = list(value) if isinstance(value, tuple) else value
    with refused(UsageError, named.format(part=part), shown):
        recipe(**({part: make(**{key[5:]: value})} if key.startswith("part.") else {key: value}))

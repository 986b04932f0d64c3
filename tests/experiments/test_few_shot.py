"""The benchmark of few shots: what is drawn and scored, and what is kept of a run that was ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments import few_shot
from experiments.ablations import crossed_bootstrap
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.metrics.bootstrap import paired_bootstrap

SCALE = 2


@pytest.fixture
def benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered: Callable[..., NDArray[np.uint8]]
) -> None:
    """BSD100 of eight images, and small rendered ones."""
    for number in range(8):
        file = tmp_path / "benchmarks" / "BSD100" / "HR" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(DecodedImage(rendered(96, 80, number)), file, format="png")
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path))
    monkeypatch.setattr(few_shot, "SUPPORT_SIDES", (96, 80))
    monkeypatch.setattr(few_shot, "TEST_SIDE", 64)


@pytest.mark.parametrize("domain", ["camera", "BSD100", "texture"])
def test_support_sets_grow_and_hold_nothing_that_is_scored(domain: str, benchmark: None) -> None:
    sets = [few_shot.support_set(domain, shots, SCALE) for shots in (1, 3)]
    other = few_shot.support_set(domain, 3, SCALE, number=1)
    scored = few_shot.scored_images(domain, 3, SCALE)
    assert np.array_equal(sets[0][0].lr, sets[1][0].lr)
    assert [one.name for one in other] != [one.name for one in sets[1]]
    assert len(scored) == 3
    for one in scored:
        assert not any(np.array_equal(one.hr, example.hr) for example in (*sets[1], *other))
        assert one.hr.shape[0] == SCALE * one.lr.shape[0]
        assert one.made == (domain != "camera")


def test_a_degradation_is_learned_from_its_pairs(benchmark: None, tmp_path: Path, edsr_weights: Path) -> None:
    model = few_shot.load_model(str(edsr_weights))
    support = few_shot.support_set("scan", 3, SCALE)
    split = few_shot.split_of(support, model, tmp_path, few_shot.tune_of("auto", 4))
    assert [one.name for one in split.support] == [one.name for one in support]
    for one, example in zip(split.support, support, strict=True):
        assert not one.made
        height, width = one.lr.shape[:2]
        assert np.array_equal(one.lr, example.lr[:height, :width])


def test_what_is_measured_is_kept(
    benchmark: None, tmp_path: Path, edsr_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(*more: str) -> list[str]:
        arguments = [
            "-m",
            str(edsr_weights),
            "--limit",
            "2",
            "--steps",
            "2",
            "--work",
            str(tmp_path / "work"),
        ]
        return list(few_shot.table(few_shot.read_options(few_shot.made_parser(), [*arguments, *more])))

    asked = ("--domains", "camera,texture", "--shots", "1,5", "--draws", "2")
    first = lines(*asked)
    rows = [line.split(" | ") for line in first[2:-2]]
    assert [row[:2] for row in rows] == [
        ["| camera", "1"],
        ["| texture", "1"],
        ["| texture", "5"],
    ]  # of 4 files
    assert all(row[3:5] == ["2", "2"] for row in rows)

    def measured_again(*arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(few_shot, "fitted", measured_again)
    assert lines(*asked) == first
    with pytest.raises(AssertionError):
        lines(*asked[:-1], "3")


def test_support_sets_and_images_both_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, 12)
    alike = np.tile(images, (5, 1))
    assert crossed_bootstrap(alike[:1]) == paired_bootstrap(images)
    same, apart = crossed_bootstrap(alike), crossed_bootstrap(alike + rng.normal(0, 2, (5, 1)))
    one = paired_bootstrap(images)
    assert (same.mean, same.low, same.high) == pytest.approx((one.mean, one.low, one.high), abs=0.05)
    assert apart.high - apart.low > 1.5 * (same.high - same.low)

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srkit.errors import Exit, SrkitError, UsageError
from srkit.metrics.baseline import Baseline, read_baseline, write_baseline
from srkit.metrics.results import FailedImage, ImageResult, SetResult
from tests.helpers import refused

RESULT = SetResult(
    "Set5",
    4,
    "edsr-x4",
    "ab" * 32,
    "classical",
    "LR_bicubic/X4",
    (
        ImageResult("baby.png", {"psnr": 33.1234567890123, "ssim": 0.91}),
        ImageResult("b\u00e9b\u00e9\udcff.png", {"psnr": math.inf, "ssim": 1.0}),
    ),
    versions={"srkit": "0.1.0"},
)


def test_what_is_written_is_read_back_to_the_last_digit(tmp_path: Path) -> None:
    results = [RESULT, replace(RESULT, scale=2, model="other", model_sha256=None)]
    written = write_baseline(tmp_path / "base.json", results)
    found = read_baseline(tmp_path / "base.json")
    assert found == written
    assert found.results == tuple(results)
    content = json.loads((tmp_path / "base.json").read_text())
    assert content["format_version"] == 1
    assert content["results"][0]["model_sha256"] == "ab" * 32
    assert content["results"][0]["images"][1]["psnr_is_infinite"] is True


def test_an_existing_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    write_baseline(path, [RESULT])
    before = path.read_bytes()
    with pytest.raises(SrkitError):
        write_baseline(path, [replace(RESULT, images=())])
    assert path.read_bytes() == before
    write_baseline(path, [replace(RESULT, scale=2)])
    assert read_baseline(path).results[0].scale == 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("results", "named"),
    [
        ([], ()),
        ([replace(RESULT, images=())], ("Set5 x4",)),
        ([replace(RESULT, failed=(FailedImage("x.png", "broken"),))], ("x.png", "Set5 x4")),
        ([replace(RESULT, images=(ImageResult("x.png", {"psnr": math.nan}),))], ("psnr", "x.png")),
        ([RESULT, RESULT], ("Set5 x4", "edsr-x4")),
    ],
)
def test_no_baseline_is_made_of_a_run_that_cannot_serve_as_one(
    tmp_path: Path, results: list[SetResult], named: tuple[str, ...]
) -> None:
    with refused(SrkitError, *named):
        write_baseline(tmp_path / "base.json", results)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": "Set14"}, "the data set 'Set5', and this run uses 'Set14'"),
        ({"scale": 2}, "the scale 'x4' of Set5, and this run uses 'x2'"),
        ({"scale": None}, "this run uses 'none'"),
        ({"protocol": "rgb"}, "the protocol 'classical' of Set5 x4, and this run uses 'rgb'"),
        ({"lr_source": "made: bicubic uint8"}, "the LR source 'LR_bicubic/X4' of Set5 x4"),
        (
            {"model_sha256": "cd" * 32},
            "sha256 abababababab, and the one measured now has cdcdcdcdcdcd; use `update",
        ),
    ],
)
def test_another_setting_is_refused(change: dict[str, Any], says: str) -> None:
    baseline = Baseline((RESULT,), "'base.json'")
    for ask in (baseline.entry, baseline.match):
        with pytest.raises(UsageError) as caught:
            ask(replace(RESULT, **change))
        assert says in str(caught.value)
        assert "'base.json'" in str(caught.value) and "`update_baseline`" in str(caught.value)
        assert caught.value.exit_code == Exit.USAGE


def test_a_model_of_another_name_is_what_a_baseline_is_for() -> None:
    new = replace(RESULT, model="edsr-x4-new", model_sha256="cd" * 32)
    assert Baseline((RESULT,)).match(new) == RESULT


def test_finished_images_have_no_hash_to_differ_in() -> None:
    assert Baseline((RESULT,)).match(replace(RESULT, model_sha256=None)) == RESULT


def test_with_several_models_the_name_decides() -> None:
    other = replace(RESULT, model="bicubic", model_sha256=None)
    baseline = Baseline((RESULT, other))
    assert baseline.match(other).model == "bicubic"
    with refused(UsageError, "third"):
        baseline.match(replace(RESULT, model="third"))


def test_the_images_must_be_the_same() -> None:
    fewer = replace(RESULT, images=RESULT.images[:1])
    other = replace(RESULT, images=(RESULT.images[0], ImageResult("new.png", {"psnr": 1.0, "ssim": 1.0})))
    with refused(UsageError, 2, "Set5 x4", 1):
        Baseline((RESULT,)).match(fewer)
    with refused(UsageError, "new.png"):
        Baseline((RESULT,)).match(other)
    assert Baseline((RESULT,)).entry(replace(RESULT, images=())) == RESULT


def test_images_that_failed_now_still_count_as_the_same_images() -> None:
    partial = replace(
        RESULT, images=RESULT.images[:1], failed=(FailedImage(RESULT.images[1].name, "broken"),)
    )
    assert Baseline((RESULT,)).match(partial) == RESULT


def damaged(**changes: Any) -> str:
    setting = {
        "dataset": "Set5",
        "scale": 4,
        "model": "m",
        "model_sha256": None,
        "protocol": "rgb",
        "lr_source": "none",
    }
    images = {"images": [{"name": "a", "psnr": 30.0}], "failed": [], "support": [], "versions": {}}
    result: dict[str, Any] = setting | images | changes
    return json.dumps({"format_version": 1, "results": [{k: v for k, v in result.items() if v != "gone"}]})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("\udcff", "is damaged"),
        ("[]", "list 'results'"),
        ('{"format_version": 2, "results": []}', "its format is 2, expected 1"),
        ('{"format_version": 1, "results": []}', "no result"),
        ('{"format_version": 1, "results": [3]}', "an object, found int"),
        (damaged(protocol="gone"), "'protocol' is missing"),
        (damaged(protocol=3), "'protocol' is 3"),
        (damaged(scale=True), "'scale' is True"),
        (damaged(images=[{"name": "a", "psnr": "high"}]), "'psnr' is 'high'"),
        (damaged(images=[{"name": "a", "psnr": None}]), "psnr of a in Set5 x4 is not a number"),
        (damaged(images=[{"psnr": 3.0}]), "'name' is missing"),
        (damaged(images=[{"name": "a", "psnr": 3.0}] * 2), "names an image twice"),
        (damaged(images=[{"name": "a", "psnr": 3.0}, {"name": "b"}]), "not all the same metrics"),
        (damaged(images=[]), "no image"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "base.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        read_baseline(path)
    assert says in str(caught.value) and "`update_baseline`" in str(caught.value)


def test_the_undamaged_form_of_these_is_read(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_text(damaged())
    assert read_baseline(path).results[0].mean == {"psnr": 30.0}


def test_missing_file(tmp_path: Path) -> None:
    with refused(UsageError, tmp_path / "none.json", "--update-baseline"):
        read_baseline(tmp_path / "none.json")
    with refused(UsageError, tmp_path):
        read_baseline(tmp_path)

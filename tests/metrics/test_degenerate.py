"""Values that are no ordinary number count for the same everywhere: means, gates, comparisons, files."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor

from srkit.metrics.baseline import Baseline, read_baseline, write_baseline
from srkit.metrics.bootstrap import compare
from srkit.metrics.degenerate import mean_of, settled, worst_of
from srkit.metrics.gates import judge, parse_gate
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.reports import FORMATS, Report, document
from srkit.metrics.results import ImageResult, SetResult
from srkit.metrics.table import METRICS, Sample, Setup

INF, NAN = math.inf, math.nan


def result(values: dict[str, float], model: str = "new", metric: str = "psnr") -> SetResult:
    images = tuple(ImageResult(name, {metric: value}) for name, value in values.items())
    return SetResult("Set", 4, model, None, "classical", "none", images)


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("psnr", 31.5, 31.5),
        ("psnr", INF, INF),
        ("psnr", -INF, NAN),
        ("lr_psnr", INF, INF),
        ("lpips", INF, NAN),
        ("niqe", INF, NAN),
        ("niqe", -INF, NAN),
        ("musiq", NAN, NAN),
        ("ssim", -1.0, -1.0),
    ],
)
def test_what_a_value_is_held_as(metric: str, value: float, expected: float) -> None:
    for found in (settled(metric, value), ImageResult("a", {metric: value}).values[metric]):
        assert found == expected or (math.isnan(found) and math.isnan(expected))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([30.0, 32.0], 31.0),
        ([INF, 8.0], 8.0),
        ([INF, INF], INF),
        ([-INF], -INF),
        ([INF, -INF], NAN),
        ([INF, NAN], NAN),
        ([3.0, NAN, INF], NAN),
    ],
)
def test_means(values: list[float], expected: float) -> None:
    found = mean_of(values)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_the_worst_by_the_metric_s_good_end() -> None:
    assert worst_of("psnr", [30.0, INF]) == 30 and worst_of("lpips", [0.1, 0.3]) == 0.3
    assert worst_of("psnr", [INF, INF]) == INF and math.isnan(worst_of("lpips", [0.1, NAN]))


@pytest.mark.parametrize(
    ("text", "values", "passes", "found", "left_out"),
    [
        # The fault that this is about: one identical image hid every other.
        ("psnr<30", {"a": INF, "b": 8.0}, False, 8.0, ("a",)),
        ("psnr.min<30", {"a": INF, "b": 8.0}, False, 8.0, ("a",)),
        ("psnr.max<30", {"a": INF, "b": 8.0}, False, 8.0, ("a",)),
        ("psnr<30", {"a": INF, "b": 31.0}, True, 31.0, ("a",)),
        ("psnr<30", {"a": INF, "b": INF}, True, INF, ("a", "b")),
        # On the side that fails it fails: a result that copies its reference is found by this.
        ("psnr>60", {"a": INF, "b": 31.0}, False, INF, ()),
        ("psnr.max>60", {"a": INF, "b": 31.0}, False, INF, ()),
        ("psnr.min>60", {"a": INF, "b": 31.0}, True, 31.0, ()),
        ("psnr<30", {"a": NAN, "b": 31.0}, False, NAN, ()),
        ("psnr>99", {"a": NAN, "b": INF}, False, NAN, ()),
        ("psnr.min<1", {"a": NAN, "b": INF}, False, NAN, ("b",)),
    ],
)
def test_absolute_gates(
    text: str, values: dict[str, float], passes: bool, found: float, left_out: tuple[str, ...]
) -> None:
    (verdict,) = judge([parse_gate(text, ["psnr"])], [result(values)], None)
    assert (verdict.passed, verdict.left_out) == (passes, left_out)
    assert verdict.found == found or (math.isnan(verdict.found) and math.isnan(found))
    assert all(name in str(verdict) for name in left_out)


@pytest.mark.parametrize(
    ("text", "new", "old", "passes"),
    [
        ("psnr<-0.05", {"a": INF, "b": 10.0}, {"a": 40.0, "b": 30.0}, False),  # b lost 20 dB
        ("psnr<-0.05", {"a": INF, "b": 30.0}, {"a": 40.0, "b": 30.0}, True),
        ("psnr<-0.05", {"a": INF}, {"a": 40.0}, True),
        ("psnr<-0.05", {"a": 90.0, "b": 31.0}, {"a": INF, "b": 30.0}, False),
        ("psnr.min<-0.05", {"a": 90.0, "b": 31.0}, {"a": INF, "b": 30.0}, False),
        ("psnr<-0.05", {"a": INF, "b": 30.0}, {"a": INF, "b": 30.0}, True),
        ("psnr>+1", {"a": INF, "b": 30.0}, {"a": 40.0, "b": 30.0}, False),
        ("psnr>+1", {"a": 40.0, "b": 33.0}, {"a": INF, "b": 30.0}, False),
        ("psnr<-0.05", {"a": NAN, "b": 33.0}, {"a": INF, "b": 30.0}, False),
    ],
)
def test_relative_gates(text: str, new: dict[str, float], old: dict[str, float], passes: bool) -> None:
    baseline = Baseline((result(old, "old"),))
    (verdict,) = judge([parse_gate(text, ["psnr"])], [result(new)], baseline)
    assert verdict.passed == passes


@pytest.mark.parametrize("direction", ["<", ">"])
@pytest.mark.parametrize("bad", [INF, -INF, NAN])
@pytest.mark.parametrize("metric", ["lpips", "niqe", "judge"])
def test_a_lower_is_better_metric_that_is_infinite_passes_no_gate(
    metric: str, bad: float, direction: str
) -> None:
    gate = parse_gate(f"{metric}{direction}5", [metric])
    (verdict,) = judge([gate], [result({"a": bad, "b": 5.0}, metric=metric)], None)
    assert not verdict.passed


@pytest.mark.parametrize(
    "values",
    [
        {"a": INF, "b": 8.0},
        {"a": INF, "b": INF},
        {"a": NAN, "b": 8.0},
        {"a": INF, "b": NAN},
        {"a": -INF, "b": 1.0},
    ],
)
def test_every_report_says_it_and_can_be_read(values: dict[str, float], tmp_path: Path) -> None:
    new, old = result(values), result({"a": 30.0, "b": 30.0}, "old")
    gates = [parse_gate(text, ["psnr"]) for text in ("psnr<20", "psnr.max>99")]
    report = Report((new, old), tuple(judge(gates, [new], None)), tuple(compare(new, old)))
    (found, _) = json.loads(json.dumps(document(report), allow_nan=False))
    assert found["infinite"] == (
        {"psnr": [name for name in values if values[name] == INF]} if INF in values.values() else {}
    )
    assert found["remarks"] == list(new.remarks) != []
    text: dict[str, str] = {}
    for form in FORMATS:
        form.write(report, tmp_path / form.option)
        text[form.option] = (tmp_path / form.option).read_text()
    for line in text["jsonl"].splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"a bare {name}"))
    rows = list(csv.DictReader(io.StringIO(text["csv"])))
    for row, value in zip(rows, new.images, strict=False):
        assert repr(float(row["psnr"])) == repr(value.values["psnr"])
    properties = [one.get("value") for one in ElementTree.fromstring(text["junit"]).iter("property")]
    for remark in new.remarks:
        assert remark in properties
        assert remark in text["markdown"] and remark in text["report"]


def test_a_baseline_keeps_infinity_and_refuses_what_is_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(path, [result({"a": INF, "b": 8.0})])
    assert read_baseline(path).results[0].mean == {"psnr": 8.0}
    assert read_baseline(path).results[0].infinite == {"psnr": ("a",)}


def _flat(*colour: int) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 48, 48).contiguous()


def _noise() -> Tensor:
    return torch.randint(
        0, 256, (1, 3, 48, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )


@pytest.mark.parametrize("metric", ["psnr", "ssim", "judge", "lr_psnr"])
@pytest.mark.parametrize(
    ("sr", "hr"),
    [
        (_flat(255, 255, 255), _flat(255, 255, 255)),
        (_flat(0, 0, 0), _flat(255, 255, 255)),
        (_flat(0, 0, 0), _flat(1, 0, 0)),
        (_flat(9, 99, 199), _noise()),
        (_noise(), _flat(0, 0, 0)),
        (_noise(), _noise()),
    ],
)
def test_metrics_of_constant_and_identical_images(metric: str, sr: Tensor, hr: Tensor) -> None:
    """A finite value, or infinity where the two are equal: no NaN, and no infinity that is bad."""
    lr = hr[:, :, ::4, ::4].contiguous() if bool((hr == hr[..., :1, :1]).all()) else None
    if metric == "lr_psnr" and lr is None:
        lr = _flat(7, 7, 7)[:, :, :12, :12].contiguous()
    value = METRICS[metric].make(Setup(torch.device("cpu"))).score(Sample(sr, hr, lr, PROTOCOLS["rgb"], 4))
    assert settled(metric, value) == value
    assert math.isfinite(value) or torch.equal(sr, hr)

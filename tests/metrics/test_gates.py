from __future__ import annotations

import math
import time

import pytest

from srkit.errors import UsageError
from srkit.metrics.baseline import Baseline
from srkit.metrics.gates import Gate, Verdict, judge, needs_baseline, parse_gate
from srkit.metrics.results import FailedImage, ImageResult, SetResult
from tests.helpers import refused

METRICS = ("psnr", "ssim", "lpips")


def result(model: str = "new", failed: tuple[str, ...] = (), **psnr: float) -> SetResult:
    images = tuple(ImageResult(name, {"psnr": value, "lpips": value / 100}) for name, value in psnr.items())
    return SetResult(
        "Set5",
        4,
        model,
        None,
        "classical",
        "none",
        images,
        tuple(FailedImage(name, "broken") for name in failed),
    )


def gate(text: str) -> Gate:
    return parse_gate(text, METRICS)


def check(gates: list[Gate], results: list[SetResult], baseline: Baseline | None) -> list[Verdict]:
    """The broken verdicts."""
    return [verdict for verdict in judge(gates, results, baseline) if not verdict.passed]


@pytest.mark.parametrize(
    ("text", "metric", "statistic", "direction", "limit", "relative"),
    [
        ("psnr<-0.05", "psnr", "mean", "<", -0.05, True),
        ("lpips>+0.01", "lpips", "mean", ">", 0.01, True),
        ("psnr<26", "psnr", "mean", "<", 26.0, False),
        ("psnr.min<24.5", "psnr", "min", "<", 24.5, False),
        ("lpips.max>.3", "lpips", "max", ">", 0.3, False),
        ("ssim.mean<1e-1", "ssim", "mean", "<", 0.1, False),
        (" PSNR.Min < -5.E-2 ", "psnr", "min", "<", -0.05, True),
        ("psnr<+0", "psnr", "mean", "<", 0.0, True),
        ("psnr<-0", "psnr", "mean", "<", 0.0, True),
    ],
)
def test_grammar(
    text: str, metric: str, statistic: str, direction: str, limit: float, relative: bool
) -> None:
    found = gate(text)
    assert (found.metric, found.statistic, found.direction) == (metric, statistic, direction)
    assert (found.limit, found.relative, found.text) == (limit, relative, text.strip())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("pnsr<26", "psnr"),
        ("lpisp>+0.01", "lpips"),
        ("niqe>5", "--metrics"),
        ("psnr.mni<26", "min"),
        ("psnr.<26", "psnr"),
        ("psnr<=26", "<="),
        ("psnr=26", "="),
        ("psnr<>26", "<>"),
        ("psnr<", "''"),
        ("psnr<nan", "nan"),
        ("psnr<inf", "inf"),
        ("psnr<1e999", "1e999"),
        ("psnr<--1", "--1"),
        ("psnr<26dB", "26dB"),
        ("psnr<\uff12\uff16", "\uff12\uff16"),
        ("psnr<26 dB", "psnr<26 dB"),
        ("psnr", "'psnr'"),
        ("<26", "'<26'"),
        ("", "''"),
        ("psnr.min.max<3", "psnr.min.max<3"),
    ],
)
def test_what_is_not_of_the_grammar(text: str, named: str) -> None:
    with refused(UsageError, f"'{text}'", named):
        gate(text)


@pytest.mark.parametrize(
    "of", ["{}", "psnr{}", "psnr.{}", "psnr<{}", "psnr<1{}", "psnr.min {}<1", "psnr<-{}e"]
)
@pytest.mark.parametrize("piece", [" ", "a", "-", "<", ".", "9", "\t ", "e+", "\x00", "psnr<1 "])
def test_hostile_texts_are_refused_at_once(of: str, piece: str) -> None:
    text = of.format(piece * 20_000) + "!"
    started = time.process_time()
    with pytest.raises(UsageError) as caught:
        gate(text)
    assert time.process_time() - started < 0.05
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("psnr<29.9", False),
        ("psnr<30", False),  # the mean is 30: not below it
        ("psnr<30.1", True),
        ("psnr>30", False),
        ("psnr>29.9", True),
        ("psnr.min<28", False),
        ("psnr.min<28.5", True),
        ("psnr.max>31.5", True),
        ("psnr.max>32", False),
        ("lpips>0.29", True),
    ],
)
def test_absolute_gates(text: str, broken: bool) -> None:
    verdicts = check([gate(text)], [result(a=28.0, b=32.0, c=30.0)], None)
    assert bool(verdicts) is broken


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("psnr<-0.05", False),  # the mean rose by 0.1
        ("psnr<+0.2", True),
        ("psnr<+0.05", False),
        # b lost 0.7, which neither the mean nor the set's minimum (a, unchanged) shows
        ("psnr.min<-0.3", True),
        ("psnr.min<-0.8", False),
        ("psnr.max>+0.9", True),
        ("psnr.max>+1.1", False),
    ],
)
def test_relative_gates_are_about_differences_image_by_image(text: str, broken: bool) -> None:
    baseline = Baseline((result("old", a=28.0, b=32.0, c=30.0),))
    verdicts = check([gate(text)], [result(a=28.0, b=31.3, c=31.0)], baseline)
    assert bool(verdicts) is broken


def test_line_of_a_broken_gate() -> None:
    baseline = Baseline((result("old", a=28.0, b=32.0, c=30.0),))
    lines = [
        str(one)
        for one in judge(
            [gate("psnr.min<-0.3"), gate("psnr<20"), gate("psnr.max<99")],
            [result(a=28.0, b=31.5, c=31.0)],
            baseline,
        )
    ]
    assert lines == [
        "psnr.min<-0.3 broken on Set5 x4 (new): minimum psnr change -0.5 from baseline old, limit -0.3 (b).",
        "psnr<20 passed on Set5 x4 (new): mean psnr 30.1667, limit 20.",
        "psnr.max<99 broken on Set5 x4 (new): maximum psnr 31.5, limit 99 (a, c, b).",
    ]


def test_a_line_never_rounds_to_the_contrary() -> None:
    (verdict,) = check([gate("psnr<30")], [result(a=30 - 1e-9)], None)
    assert "mean psnr 29.999999999" in str(verdict)


def test_a_hostile_name_stays_on_the_line() -> None:
    images = (ImageResult("evil\npsnr<1 passed\u202e.png", {"psnr": 3.0}),)
    (verdict,) = check(
        [gate("psnr.min<20")], [SetResult("Set5", 4, "m", None, "classical", "none", images)], None
    )
    assert len(str(verdict).splitlines()) == 1
    assert "\\n" in str(verdict) and "\u202e" not in str(verdict)


def test_only_the_images_that_break_it_are_named_worst_first() -> None:
    (verdict,) = check([gate("psnr.min<30")], [result(a=29.0, b=31.0, c=20.0, d=28.0, e=29.5, f=25.0)], None)
    assert verdict.images == ("c", "f", "d", "a", "e")
    assert "(c, f, d and 2 more)" in str(verdict)
    (upward,) = check([gate("psnr.max>30")], [result(a=29.0, b=31.0, c=33.0)], None)
    assert upward.images == ("c", "b")


@pytest.mark.parametrize("text", ["psnr<-99", "psnr>0", "psnr<0", "psnr.min<0", "psnr.max>+99", "psnr>99"])
def test_nan_never_passes(text: str) -> None:
    baseline = Baseline((result("old", a=28.0, b=32.0),))
    (verdict,) = check([gate(text)], [result(a=30.0, b=math.nan)], baseline)
    assert "b" in verdict.images


def test_infinite_values() -> None:
    perfect = result(a=math.inf, b=math.inf)
    assert check([gate("psnr<40"), gate("psnr.min<40")], [perfect], None) == []
    same = Baseline((result("old", a=math.inf, b=math.inf),))
    assert check([gate("psnr<-0"), gate("psnr.min<-0")], [perfect], same) == []
    (verdict,) = check([gate("psnr.min<-1")], [result(a=40.0, b=math.inf)], same)
    assert verdict.found == -math.inf


def test_nothing_evaluated_breaks_every_gate() -> None:
    (verdict,) = check([gate("psnr<1")], [result(failed=("a", "b"))], None)
    assert str(verdict) == "psnr<1 broken on Set5 x4 (new): no image could be evaluated."


def test_failed_images_take_no_part_on_either_side() -> None:
    baseline = Baseline((result("old", a=28.0, b=50.0),))
    (verdict,) = judge([gate("psnr<-0.1")], [result(a=28.0, failed=("b",))], baseline)
    assert verdict.passed and verdict.found == 0.0


def test_each_data_set_is_judged_by_itself() -> None:
    verdicts = judge([gate("psnr<29")], [result(a=28.0), result("other", a=30.0)], None)
    assert [(one.result.model, one.passed) for one in verdicts] == [("new", False), ("other", True)]


def test_relative_without_baseline_is_refused() -> None:
    with refused(UsageError, "psnr<-0.05", "--baseline"):
        needs_baseline([gate("psnr<30"), gate("psnr<-0.05")], None)
    with refused(UsageError, "psnr<-0.05"):
        check([gate("psnr<-0.05")], [result(a=28.0)], None)
    needs_baseline([gate("psnr<30")], None)


def test_metric_that_a_side_lacks() -> None:
    with refused(UsageError, "ssim", "Set5 x4"):
        check([gate("ssim<0.5")], [result(a=28.0)], None)
    new = SetResult(
        "Set5", 4, "new", None, "classical", "none", (ImageResult("a", {"psnr": 1.0, "ssim": 1.0}),)
    )
    with refused(UsageError, "ssim", "psnr", "lpips"):
        check([gate("ssim<-0.5")], [new], Baseline((result("old", a=28.0),)))


def test_a_baseline_that_does_not_fit_is_refused_for_absolute_gates_too() -> None:
    with refused(UsageError, "Set5 x4"):
        check([gate("psnr<1")], [result(a=28.0)], Baseline((result("old", b=28.0),)))

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from srkit.errors import UsageError
from srkit.metrics.bootstrap import compare, paired_bootstrap, paired_differences
from srkit.metrics.results import FailedImage, ImageResult, SetResult
from tests.helpers import refused


def result(model: str, values: dict[str, float], failed: tuple[str, ...] = ()) -> SetResult:
    images = tuple(ImageResult(name, {"psnr": value}) for name, value in values.items())
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


def test_interval_agrees_with_scipy() -> None:
    differences = np.random.default_rng(3).gamma(2.0, 0.1, size=60) - 0.1
    ours = paired_bootstrap(differences)
    theirs = stats.bootstrap(
        (differences,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert ours.mean == pytest.approx(differences.mean(), abs=1e-12)
    # Two random bootstraps of 10,000 and 20,000 resamples: bounds agree to some per cent of the width.
    width = theirs.high - theirs.low
    assert abs(ours.low - theirs.low) < 0.05 * width
    assert abs(ours.high - theirs.high) < 0.05 * width


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    found = [paired_bootstrap(generator.normal(0.3, 1, size=50), resamples=500) for _ in range(400)]
    share = np.mean([one.low <= 0.3 <= one.high for one in found])
    assert 0.91 <= share <= 0.98


def test_same_seed_same_interval_and_level_widens_it() -> None:
    differences = np.random.default_rng(0).normal(size=20)
    assert paired_bootstrap(differences) == paired_bootstrap(differences)
    assert paired_bootstrap(differences) != paired_bootstrap(differences, seed=1)
    narrow, wide = (paired_bootstrap(differences, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_many_images_are_resampled_in_parts() -> None:
    differences = np.random.default_rng(0).normal(
        0.5, 1, size=9000
    )  # 10,000 resamples would need 720 MB at once
    found = paired_bootstrap(differences, resamples=1000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * differences.std() / math.sqrt(9000), rel=0.1)


@pytest.mark.parametrize(
    "differences",
    [[0.4], [0.1, math.nan, 0.3], [0.1, math.inf], [math.inf, -math.inf], [math.inf, math.nan, 0.1]],
)
def test_no_interval_where_there_is_none(differences: list[float]) -> None:
    found = paired_bootstrap(differences)
    assert math.isnan(found.low) and math.isnan(found.high)
    assert not found.excludes_zero


def test_infinite_differences_are_left_out_and_counted() -> None:
    assert paired_bootstrap([0.1, math.inf, 0.2, -math.inf, 0.4]) == paired_bootstrap([0.1, 0.2, 0.4])
    new, old = (
        result("new", {"a": math.inf, "b": 31.0, "c": 30.0}),
        result("old", {"a": 40.0, "b": 30.5, "c": 29.5}),
    )
    (found,) = compare(new, old)
    assert (found.interval.mean, found.interval.count, found.left_out) == (0.5, 2, ("a",))
    assert "over 2 images; infinite and left out: a" in str(found)
    (alone,) = compare(result("new", {"a": math.inf}), result("old", {"a": 40.0}))
    assert (alone.interval.mean, alone.interval.count) == (math.inf, 0)


def test_zero_is_excluded_only_where_the_data_say_so() -> None:
    assert paired_bootstrap([0.3, 0.4, 0.5, 0.35]).excludes_zero
    assert paired_bootstrap([-0.3, -0.4, -0.5, -0.35]).excludes_zero
    assert not paired_bootstrap([0.3, -0.4, 0.5, -0.35]).excludes_zero


@pytest.mark.parametrize(("differences", "level"), [([], 0.95), ([[1.0, 2.0]], 0.95), ([1.0, 2.0], 1.0)])
def test_bad_arguments(differences: list[float], level: float) -> None:
    with pytest.raises(UsageError):
        paired_bootstrap(differences, level=level)


def test_differences_are_paired_by_name_and_two_infinities_differ_by_nothing() -> None:
    new = result("new", {"b": 31.0, "a": math.inf, "c": 20.0})
    old = result("old", {"a": math.inf, "c": math.inf, "b": 30.5})
    assert paired_differences(new, old, "psnr") == {"b": 0.5, "a": 0.0, "c": -math.inf}


def test_images_that_failed_in_one_are_left_out_and_other_images_are_refused() -> None:
    new = result("new", {"a": 31.0, "b": 30.0}, failed=("c",))
    assert paired_differences(new, result("old", {"a": 30.0, "c": 30.0}, failed=("b",)), "psnr") == {"a": 1.0}
    with refused(UsageError, "Set5 x4"):
        paired_differences(new, result("old", {"a": 30.0, "b": 30.0}), "psnr")
    with refused(UsageError, "ssim"):
        paired_differences(new, result("old", {"a": 30.0, "b": 29.0, "c": 28.0}), "ssim")


def test_comparison_tells_who_and_how_sure() -> None:
    new = result("new", {"a": 31.0, "b": 30.0, "c": 29.5})
    (found,) = compare(new, result("old", {"a": 30.5, "b": 29.5, "c": 29.0}))
    assert str(found) == (
        "psnr of new minus old on Set5 x4: +0.5000 (95% interval +0.5000 to +0.5000, paired bootstrap over 3 images)"
    )
    (single,) = compare(result("new", {"a": 31.0}), result("old", {"a": 30.5}))
    assert "(no interval, paired bootstrap over 1 image)" in str(single)
    assert compare(result("new", {"a": 31.0}, failed=("b",)), result("old", {"b": 30.5}, failed=("a",))) == []

"""Merged histograms and percentiles equal HdrHistogram's; intervals hold what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import stats
from harness.loadgen.histogram import HIGHEST_NS, new_histogram
from tests.records import histogram

values = st.lists(st.tuples(st.integers(1, HIGHEST_NS), st.integers(1, 1000)), min_size=1, max_size=20)


@given(values, values, st.floats(1, 99))
def test_merging_and_percentiles_equal_those_of_hdrhistogram(
    some: list[tuple[int, int]], more: list[tuple[int, int]], percent: float
) -> None:
    reference = new_histogram()
    for value, count in [*some, *more]:
        reference.record_value(value, count)
    merged = stats.merge([histogram(*some), "", histogram(*more)])
    assert stats.samples(merged) == reference.get_total_count()
    (found,) = stats.percentiles_ns(merged, [percent])
    if not math.isnan(found):
        assert found == reference.get_value_at_percentile(percent)


@pytest.mark.parametrize(("percent", "needed"), [(50, 20), (90, 100), (99, 1_000), (99.9, 10_000)])
def test_a_percentile_needs_ten_samples_beyond_it(percent: float, needed: int) -> None:
    assert math.isnan(stats.percentiles_ns(stats.merge([histogram((1000, needed - 1))]), [percent])[0])
    assert stats.percentiles_ns(stats.merge([histogram((1000, needed))]), [percent]) == [1000]


def test_the_interval_of_a_median_needs_three_values() -> None:
    assert all(math.isnan(end) for end in stats.median_interval([1.0, 2.0]))
    assert stats.median_interval([5.0, 5.0, 5.0]) == (5, 5)


def test_the_interval_of_a_median_is_repeatable_and_encloses_it() -> None:
    low, high = stats.median_interval([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (low, high) == stats.median_interval([1.0, 2.0, 3.0, 4.0, 100.0])
    assert low <= 3 <= high


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        low, high = stats.median_interval(generator.normal(10, 1, 15))
        covered += low <= 10 <= high
    assert 0.90 <= covered / 400 <= 0.99

"""The engines' flat counters are HdrHistogram's, and reach its text form and come back exactly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.loadgen.engines import native_missing
from harness.loadgen.histogram import COUNTS, HIGHEST_NS, decode, encode_counts, index_of, new_histogram

times = st.integers(min_value=0, max_value=HIGHEST_NS)


@settings(deadline=None)  # the machine may be busy
@given(times)
def test_a_value_has_the_counter_that_hdrhistogram_gives_it(value: int) -> None:
    assert index_of(value) == new_histogram().get_counts_array_index(value)


@pytest.mark.skipif(bool(native_missing()), reason=native_missing())
@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(min_value=-5, max_value=2 * HIGHEST_NS), max_size=50))
def test_the_native_engine_counts_like_hdrhistogram(values: list[int]) -> None:
    from harness.loadgen.engine import count_values

    expected = [0] * COUNTS
    for value in values:
        expected[index_of(min(max(value, 0), HIGHEST_NS))] += 1
    assert list(memoryview(count_values(values)).cast("Q")) == expected


def test_the_longest_time_has_a_counter() -> None:
    assert index_of(HIGHEST_NS) < COUNTS


@settings(deadline=None)  # the machine may be busy
@given(st.lists(times, max_size=50))
def test_counts_come_back_exactly(values: list[int]) -> None:
    counts = [0] * COUNTS
    reference = new_histogram()
    for value in values:
        counts[index_of(value)] += 1
        reference.record_value(value)
    histogram = decode(encode_counts(counts))
    assert histogram.get_total_count() == len(values)
    assert list(histogram.counts) == list(reference.counts)
    for percentile in (0, 50, 99, 100):
        assert histogram.get_value_at_percentile(percentile) == reference.get_value_at_percentile(percentile)


def test_large_counts_come_back_exactly() -> None:
    counts = [0] * COUNTS
    counts[0], counts[2047], counts[20_000] = 2**40, 1, 2**33 + 7
    histogram = decode(encode_counts(counts))
    assert [histogram.counts[index] for index in (0, 2047, 20_000)] == [2**40, 1, 2**33 + 7]
    assert histogram.get_total_count() == sum(counts)


def test_no_text_is_an_empty_histogram() -> None:
    assert decode("").get_total_count() == 0


def test_another_number_of_counters_is_refused() -> None:
    with pytest.raises(ValueError, match="counters"):
        encode_counts([0] * (COUNTS - 1))

"""Merged histograms and percentiles equal HdrHistogram's; intervals hold what they promise."""

import base64
import math
import struct
import zlib

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from harness import stats
from harness.histogram_text import COMPRESSED_COOKIE, COOKIE, HEADER, HistogramError
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
    merged = stats.merge(map(stats.decode, [histogram(*some), "", histogram(*more)]))
    assert merged.samples == reference.get_total_count()
    (found,) = stats.percentiles_ns(merged, [percent])
    if not math.isnan(found):
        assert found == reference.get_value_at_percentile(percent)


@given(st.dictionaries(st.integers(0, HIGHEST_NS), st.integers(1, 2**40), max_size=20))
def test_every_counter_is_read_as_hdrhistogram_reads_it(recorded: dict[int, int]) -> None:
    reference = new_histogram()
    for value, count in recorded.items():
        reference.record_value(value, count)
    found = stats.decode(reference.encode().decode())
    counts = np.zeros(len(reference.counts), np.int64)
    counts[found.indices] = found.counts
    assert counts.tolist() == list(reference.counts)


WHOLE = histogram((1_000, 70_000), (5_000_000, 3))


@pytest.mark.parametrize(
    "text",
    [
        "SGVsbG8=",
        "x",
        "é",
        WHOLE[:-4],
        WHOLE[:-8] + "AAAAAAA=",
        WHOLE + "AAAA",
        "A" * 100,
    ],
)
def test_a_damaged_histogram_is_refused(text: str) -> None:
    with pytest.raises(HistogramError):
        stats.decode(text)


@pytest.mark.parametrize("place", range(0, len(WHOLE), 5))
def test_a_histogram_with_one_wrong_letter_is_refused(place: int) -> None:
    changed = WHOLE[:place] + ("B" if WHOLE[place] == "A" else "A") + WHOLE[place + 1 :]
    with pytest.raises(HistogramError):
        stats.decode(changed)


def packed(counters: bytes, length: int | None = None) -> str:
    """A whole text around any counters."""
    raw = HEADER.pack(COOKIE, len(counters) if length is None else length, 0, 3, 1, HIGHEST_NS, 1.0) + counters
    body = zlib.compress(raw)
    return base64.b64encode(struct.pack(">iI", COMPRESSED_COOKIE, len(body)) + body).decode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (packed(b"\x82"), "cut off"),
        (packed(b"\xff" * 8 + b"\x01"), "55 bits"),
        (packed(b"\xff\xff\x7f\x02"), "more counters"),
        (packed(b"\x02", length=9), "not a whole"),
        (packed(b"\x02" * 5_000_000), "not a whole"),
        (HdrHistogram(1, 1_000_000, 3).encode().decode(), "range 1 to 1000000"),
        (HdrHistogram(1, HIGHEST_NS, 2).encode().decode(), "2 digits"),
    ],
    ids=["cut", "long", "far", "length", "bomb", "range", "digits"],
)
def test_counters_that_make_no_sense_are_refused(text: str, words: str) -> None:
    with pytest.raises(HistogramError, match=words):
        stats.decode(text)


@pytest.mark.parametrize(("percent", "needed"), [(50, 20), (90, 100), (99, 1_000), (99.9, 10_000)])
def test_a_percentile_needs_ten_samples_beyond_it(percent: float, needed: int) -> None:
    assert math.isnan(stats.percentiles_ns(stats.decode(histogram((1000, needed - 1))), [percent])[0])
    assert stats.percentiles_ns(stats.decode(histogram((1000, needed))), [percent]) == [1000]


def test_the_interval_of_a_median_needs_five_values() -> None:
    assert all(math.isnan(end) for end in stats.median_interval([1.0, 2.0, 3.0, 4.0]))
    assert stats.median_interval([5.0, 5.0, 5.0, 5.0, 5.0]) == (5, 5)


def test_the_interval_of_a_median_is_repeatable_and_encloses_it() -> None:
    low, high = stats.median_interval([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (low, high) == stats.median_interval([1.0, 2.0, 3.0, 4.0, 100.0])
    assert low <= 3 <= high


@given(st.lists(st.floats(0, 1e6), min_size=5, max_size=40))
def test_the_interval_is_a_bootstrap_widened_to_the_exact_one(known: list[float]) -> None:
    resamples = np.random.default_rng(len(known)).integers(0, len(known), (stats.RESAMPLES, len(known)))
    ordered = np.sort(known)
    bootstrap = np.quantile(np.median(ordered[resamples], axis=1), [0.025, 0.975])
    rank = max(1, int(binom.ppf(0.025, len(known), 0.5)))
    exact = ordered[rank - 1], ordered[len(known) - rank]
    expected = min(bootstrap[0], exact[0]), max(bootstrap[1], exact[1])
    assert stats.median_interval(known) == pytest.approx(expected)


@pytest.mark.parametrize("size", [5, 6, 7, 8, 9, 15, 40])
def test_an_interval_misses_the_true_median_no_more_often_than_it_says(size: int) -> None:
    generator = np.random.default_rng(size)
    trials = 2000
    missed = 0
    for _ in range(trials):
        low, high = stats.median_interval(generator.normal(10, 1, size))
        missed += not low <= 10 <= high
    assert missed / trials < 0.0625 + 0.02  # five values: 2/32

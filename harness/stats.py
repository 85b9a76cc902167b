"""Statistics of trials: histograms merged exactly, percentiles only where the samples support them, intervals. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from harness.histogram_text import HistogramError, payload
from harness.loadgen.histogram import COUNTS, HALF_MAGNITUDE

SAMPLES_BEYOND = 10
"""Samples that must lie beyond a percentile before it is shown: p99 needs 1,000 in all, p99.9 needs 10,000."""

RESAMPLES = 2000
CONFIDENCE = 0.95
ROUNDS_FOR_INTERVAL = 5
"""With fewer, even the smallest and the largest value enclose the median too rarely: 3 values miss it 1 time in 4."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """The counters of a histogram that are not 0, in HdrHistogram's layout.

    Attributes:
        indices: Numbers of the counters, ascending: see `harness.loadgen.histogram.index_of`.
        counts: Samples of each.
    """

    indices: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def samples(self) -> int:
        """Return how many samples it holds."""
        return int(self.counts.sum())


def decode(text: str) -> Histogram:
    """Return the histogram of an HdrHistogram V2 compressed base64 text; empty text is one without samples.

    The payload is a row of ZigZag LEB128 numbers: counts as they are, runs of zeros as their negative length.
    (HdrHistogram, ZigZagEncoding: seven bits a byte, the lowest first.)

    Raises:
        HistogramError: It is damaged, or a histogram of another range or precision.
    """
    octets = np.frombuffer(payload(text), np.uint8)
    if not len(octets):
        return Histogram(np.empty(0, np.int64), np.empty(0, np.int64))
    ends = np.flatnonzero(octets < 0x80)
    if not len(ends) or ends[-1] != len(octets) - 1:
        raise HistogramError("its last counter is cut off")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    coded = (octets[starts] & 0x7F).astype(np.int64)
    longer = np.flatnonzero(lengths > 1)
    for place in range(1, int(lengths.max())):
        if place > 7:
            raise HistogramError("a counter exceeds 55 bits")
        coded[longer] |= (octets[starts[longer] + place] & 0x7F).astype(np.int64) << 7 * place
        longer = longer[lengths[longer] > place + 1]
    values = (coded >> 1) ^ -(coded & 1)
    steps = np.maximum(-values, 1)
    indices = np.cumsum(steps) - steps
    if indices[-1] + steps[-1] > COUNTS or steps.max() > COUNTS:
        raise HistogramError("it has more counters than its range")
    used = np.flatnonzero(values > 0)
    return Histogram(indices[used], values[used])


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """Return the exact sum of histograms."""
    total = np.zeros(COUNTS, np.int64)
    for each in histograms:
        total[each.indices] += each.counts
    indices = np.flatnonzero(total)
    return Histogram(indices, total[indices])


def percentiles_ns(histogram: Histogram, percents: Sequence[float]) -> list[float]:
    """Return percentiles in nanoseconds, NaN where fewer than `SAMPLES_BEYOND` samples lie beyond one.

    A value is the highest that HdrHistogram does not tell apart from the sample in question, as its own
    getValueAtPercentile gives.

    Args:
        histogram: The samples.
        percents: Each above 0 and below 100.
    """
    up_to = np.cumsum(histogram.counts)
    total = int(up_to[-1]) if len(up_to) else 0
    found = []
    for percent in percents:
        if total * (100 - percent) / 100 < SAMPLES_BEYOND - 1e-9:
            found.append(math.nan)
        else:
            rank = max(1, int(percent / 100 * total + 0.5))
            found.append(float(_highest_values()[histogram.indices[np.searchsorted(up_to, rank)]]))
    return found


def percentile_of_all_ns(histogram: Histogram, total: int, percent: float) -> float:
    """Return a percentile among a number of requests, where those without a sample are infinitely late.

    Args:
        histogram: Latencies of those that were answered.
        total: All requests, answered or not.
        percent: Above 0 and below 100.

    Returns:
        Nanoseconds as `percentiles_ns` gives them; infinity; or NaN where fewer than `SAMPLES_BEYOND` lie beyond.
    """
    if total * (100 - percent) / 100 < SAMPLES_BEYOND - 1e-9:
        return math.nan
    up_to = np.cumsum(histogram.counts)
    place = int(np.searchsorted(up_to, max(1, int(percent / 100 * total + 0.5))))
    return float(_highest_values()[histogram.indices[place]]) if place < len(up_to) else math.inf


@cache
def _highest_values() -> NDArray[np.int64]:
    """Return the highest value of each counter: the inverse of `harness.loadgen.histogram.index_of`."""
    index = np.arange(COUNTS, dtype=np.int64)
    bucket = np.maximum(0, (index >> HALF_MAGNITUDE) - 1)
    highest: NDArray[np.int64] = ((index - (bucket << HALF_MAGNITUDE) + 1) << bucket) - 1
    return highest


def median_interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Return the confidence interval (95%) of a median, or NaNs below `ROUNDS_FOR_INTERVAL` values.

    It is the percentile bootstrap's, which for few values is too narrow (7 values: it misses 1 time in 8), widened to
    the exact one between two of the sorted values, which follows from the binomial distribution. The same values
    always give the same interval. (Efron, Tibshirani: An Introduction to the Bootstrap, chapter 13; Conover: Practical
    Nonparametric Statistics, section 3.2.)
    """
    known = np.sort(np.asarray(values, np.float64))
    if len(known) < ROUNDS_FOR_INTERVAL or not np.isfinite(known).all():
        return math.nan, math.nan
    medians = known[_middle_ranks(len(known))].mean(axis=1)
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    outside = _values_outside(len(known))
    return float(min(low, known[outside])), float(max(high, known[-1 - outside]))


@cache
def _values_outside(size: int) -> int:
    """Return how many of so many values may lie on each side of an interval that encloses the median at 95%."""
    outside, ways = 0, 1
    total = ways
    while total / 2**size <= (1 - CONFIDENCE) / 2:
        outside += 1
        ways = ways * (size - outside + 1) // outside
        total += ways
    return max(0, outside - 1)


@cache
def _middle_ranks(size: int) -> NDArray[np.int64]:
    """Return the ranks of the values in the middle of each resample, shape (RESAMPLES, 2).

    Which of the sorted values are a resample's median depends on their number only, so the resampling is done once.
    """
    ranks = np.sort(np.random.default_rng(size).integers(0, size, (RESAMPLES, size)), axis=1)
    return ranks[:, [(size - 1) // 2, size // 2]]

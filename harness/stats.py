"""Statistics of trials: histograms merged exactly, percentiles only where the samples support them, intervals. Pure."""

import math
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from harness.loadgen.histogram import COUNTS, HALF_MAGNITUDE, decode

Counts = NDArray[np.uint64]
"""Counters of a histogram in HdrHistogram's layout, shape (COUNTS,)."""

SAMPLES_BEYOND = 10
"""Samples that must lie beyond a percentile before it is shown: p99 needs 1,000 in all, p99.9 needs 10,000."""

RESAMPLES = 2000
CONFIDENCE = 0.95
ROUNDS_FOR_INTERVAL = 3


def merge(texts: Iterable[str]) -> Counts:
    """Return the sum of histograms given as HdrHistogram V2 compressed base64; empty texts count nothing."""
    total: Counts = np.zeros(COUNTS, np.uint64)
    for text in texts:
        if text:
            total += np.frombuffer(decode(text).counts, np.uint64, COUNTS)
    return total


def samples(counts: Counts) -> int:
    """Return how many samples a histogram holds."""
    return int(counts.sum())


def percentiles_ns(counts: Counts, percents: Sequence[float]) -> list[float]:
    """Return percentiles in nanoseconds, NaN where fewer than `SAMPLES_BEYOND` samples lie beyond one.

    Each is the highest value that HdrHistogram does not tell apart from the sample in question, as its own
    getValueAtPercentile gives.

    Args:
        counts: The histogram.
        percents: Each above 0 and below 100.
    """
    used = np.flatnonzero(counts)
    below = np.cumsum(counts[used])
    total = int(below[-1]) if len(used) else 0
    found = []
    for percent in percents:
        if total * (100 - percent) / 100 < SAMPLES_BEYOND - 1e-9:
            found.append(math.nan)
        else:
            rank = max(1, int(percent / 100 * total + 0.5))
            found.append(float(_highest_values()[used[np.searchsorted(below, rank)]]))
    return found


@cache
def _highest_values() -> NDArray[np.int64]:
    """Return the highest value of each counter: the inverse of `harness.loadgen.histogram.index_of`."""
    index = np.arange(COUNTS, dtype=np.int64)
    bucket = np.maximum(0, (index >> HALF_MAGNITUDE) - 1)
    highest: NDArray[np.int64] = ((index - (bucket << HALF_MAGNITUDE) + 1) << bucket) - 1
    return highest


def median_interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Return the confidence interval (95%) of a median by the percentile bootstrap, or NaNs below three values.

    The same values always give the same interval. (Efron, Tibshirani: An Introduction to the Bootstrap, chapter 13.)
    """
    known = np.asarray(values, np.float64)
    if len(known) < ROUNDS_FOR_INTERVAL or not np.isfinite(known).all():
        return math.nan, math.nan
    medians = np.median(known[_resamples(len(known))], axis=1)
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


@cache
def _resamples(size: int) -> NDArray[np.int64]:
    """Return the indices of the bootstrap's resamples, shape (RESAMPLES, size)."""
    return np.random.default_rng(size).integers(0, size, (RESAMPLES, size))

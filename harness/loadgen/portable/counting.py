"""Counting times in the flat counters of HdrHistogram."""

from array import array

from harness.loadgen.histogram import COUNTS, HIGHEST_NS, index_of


def new_counts() -> "array[int]":
    """Return the counters of a histogram, all of them 0."""
    return array("Q", bytes(8 * COUNTS))


def count_value(counts: "array[int]", value: int) -> None:
    """Count a time in nanoseconds; what lies outside of 0 to `HIGHEST_NS` counts as the nearer of the two."""
    counts[index_of(min(max(value, 0), HIGHEST_NS))] += 1

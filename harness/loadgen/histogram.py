"""Counts of nanoseconds in the layout of HdrHistogram, shared by both engines, and their text form.

Recording is the engines' business: each fills a flat array of `COUNTS` 64-bit counters by `index_of` (the native engine
has the same formula in C). Here the array becomes hdrhistogram's V2 compressed base64 text, every count exactly.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

from hdrh.histogram import HdrHistogram

LOWEST_NS = 1
HIGHEST_NS = 3_600_000_000_000
"""Longest time that is told apart: an hour. Longer ones count as this."""

DIGITS = 3
"""Significant decimal digits kept."""

HALF_MAGNITUDE = 10
"""log2 of half the sub-buckets that three digits need (2,048): see `index_of`."""

COUNTS = 33 * 1024
"""Counters of the range: 32 buckets of 1,024, and one more because the first is of 2,048."""


def new_histogram() -> Any:  # noqa: ANN401 - hdrh has no types
    """Return an empty HdrHistogram of the engines' range and precision."""
    return HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)


def index_of(value_ns: int) -> int:
    """Return the counter of a value, from 0 to `HIGHEST_NS`.

    HdrHistogram's formula: below 2,048 each value has its own counter; above, each power of two has 1,024. (Gil Tene,
    HdrHistogram, AbstractHistogram.countsArrayIndex.)
    """
    bucket = max(0, value_ns.bit_length() - (HALF_MAGNITUDE + 1))
    return (bucket << HALF_MAGNITUDE) + (value_ns >> bucket)


def encode_counts(counts: Sequence[int] | bytes) -> str:
    """Return these counters (`COUNTS` of them, or their native 64-bit bytes) as HdrHistogram V2 compressed base64.

    Raises:
        ValueError: The number of counters is not `COUNTS`.
    """
    raw = counts if isinstance(counts, bytes) else bytes((ctypes.c_uint64 * len(counts))(*counts))
    histogram = new_histogram()
    if len(raw) != 8 * COUNTS or len(histogram.counts) < COUNTS:
        raise ValueError(f"a histogram has {COUNTS} counters of 8 bytes, not {len(raw)} bytes")
    ctypes.memmove(histogram.counts, raw, len(raw))
    numbers = memoryview(raw).cast("Q")
    used = [index for index, count in enumerate(numbers) if count]
    if used:
        histogram.set_internal_tacking_values(used[0], used[-1], sum(numbers))
    text: bytes = histogram.encode()
    return text.decode("ascii")


def decode(text: str) -> Any:  # noqa: ANN401 - hdrh has no types
    """Return the HdrHistogram that this text holds; an empty text is an empty histogram."""
    return HdrHistogram.decode(text) if text else new_histogram()

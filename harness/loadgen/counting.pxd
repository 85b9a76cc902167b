# cython: language_level=3
"""Counting times in the flat counters of HdrHistogram: `harness.loadgen.histogram.index_of` in C."""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    int __builtin_clzll(unsigned long long value) nogil

cdef enum:
    HALF_MAGNITUDE = 10  # as in harness.loadgen.histogram


cdef inline void count_value(uint64_t *counts, int64_t value, int64_t highest) noexcept nogil:
    """Count a time in nanoseconds; what lies outside of 0 to `highest` counts as the nearer of the two."""
    cdef int bucket = 0
    if value < 0:
        value = 0
    elif value > highest:
        value = highest
    cdef int64_t rest = value >> (HALF_MAGNITUDE + 1)
    if rest:
        bucket = 64 - __builtin_clzll(<unsigned long long>rest)
    counts[(<int64_t>bucket << HALF_MAGNITUDE) + (value >> bucket)] += 1

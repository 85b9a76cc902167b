"""Synthetic records with known answers."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from harness.loadgen.histogram import COUNTS, encode_counts, index_of
from harness.loadgen.spec import TrialResult
from harness.record import Record, ServerUsage, Verdict


@cache
def histogram(*values_ns: tuple[int, int]) -> str:
    """Return the text of a histogram that holds each (value in nanoseconds, count)."""
    counts = [0] * COUNTS
    for value, count in values_ns:
        counts[index_of(value)] += count
    return encode_counts(counts)


RESULT = TrialResult(
    engine="native",
    loop="closed",
    duration_s=0.5,
    sent=5_010,
    replied=5_000,
    failed=0,
    in_flight=10,
    late=10,
    errors={},
    latency=histogram((100_000, 5_000), (9_000_000, 10)),
    slices=[500] * 10,
    cpu_s=0.25,
)
"""10,000 requests/s, half of the generator's CPU; p50 100 us, p99.9 not supported."""

USAGE = ServerUsage(
    cpu_s=0.5,
    user_s=0.1,
    system_s=0.4,
    rss_bytes=20 * 2**20,
    rss_start_bytes=10 * 2**20,
    threads=1,
    voluntary_switches=501,
    involuntary_switches=0,
)


def record(backend: str = "epoll", number: int = 0, **changes: Any) -> Record:  # noqa: ANN401 - fields of any type
    """Return a usable record; `changes` may name fields of the record, its result, its usage or its point."""
    point = {"connections": 10, "idle_connections": 0, "message_size": 64, "pipeline_depth": 1}
    parts: dict[str, dict[str, Any]] = {"record": {}, "result": {}, "server": {}}
    for key, value in changes.items():
        if key in point:
            point[key] = value
        elif key in TrialResult.__slots__:
            parts["result"][key] = value
        elif key in ServerUsage.__slots__:
            parts["server"][key] = value
        else:
            parts["record"][key] = value
    whole = Record(
        run="run",
        scenario="synthetic",
        exchange="echo",
        backend=backend,
        label=backend,
        family="readiness",
        packages={},
        interpreter="CPython 3.11",
        workers=1,
        options={},
        point=point,
        round=number,
        started="2026-01-01T00:00:00+00:00",
        result=replace(RESULT, **parts["result"]),
        server=replace(USAGE, **parts["server"]),
    )
    return replace(whole, **parts["record"])


def refused(backend: str = "select", kind: str = "refused", reason: str = "too many", **point: int) -> Record:
    """Return the record of a cell that was not measured."""
    return record(backend, -1, result=None, server=None, verdicts=(Verdict(kind, reason),), **point)


def rounds(backend: str, throughputs_rps: Sequence[float], **changes: Any) -> list[Record]:  # noqa: ANN401
    """Return a record for each round's throughput in requests per second."""
    return [
        record(backend, number, replied=int(rate * RESULT.duration_s), **changes)
        for number, rate in enumerate(throughputs_rps)
    ]

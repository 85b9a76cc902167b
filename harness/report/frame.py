"""Records as tables: `trials` has a row a trial, `cells` a row a cell, with every statistic that a report shows."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness import stats
from harness.record import Record

POINT = ["connections", "idle_connections", "message_size", "pipeline_depth"]
"""Axes that every record has; a point may have more."""

PERCENTILES = {"p50_us": 50.0, "p90_us": 90.0, "p99_us": 99.0, "p999_us": 99.9}

NO_NUMBER = math.nan


def axes(records: Sequence[Record]) -> list[str]:
    """Return the names of all axes, the common ones first."""
    return POINT + sorted({axis for record in records for axis in record.point} - set(POINT))


def trials(records: Sequence[Record]) -> pd.DataFrame:
    """Return one row for each usable trial, with what was measured per second and per request.

    Costs per request count the replies that came late too, because the server worked for them.
    """
    named = axes(records)
    rows = []
    for record in records:
        result, server = record.result, record.server
        if not record.usable or result is None or server is None:
            continue
        requests = result.replied + result.late or NO_NUMBER
        counts = stats.merge([result.latency])
        row: dict[str, Any] = {
            **_key(record, named),
            "round": record.round,
            "started": record.started,
            "loop": result.loop,
            "engine": result.engine,
            "duration_s": result.duration_s,
            "sent": result.sent,
            "replied": result.replied,
            "failed": result.failed,
            "in_flight": result.in_flight,
            "late": result.late,
            "errors": sum(result.errors.values()),
            "throughput_rps": result.replied / result.duration_s,
            "samples": stats.samples(counts),
            **{name: stats.percentile_ns(counts, percent) / 1e3 for name, percent in PERCENTILES.items()},
            "cpu_us": server.cpu_s / requests * 1e6,
            "user_us": server.user_s / requests * 1e6,
            "system_us": server.system_s / requests * 1e6,
            "server_busy": server.cpu_s / result.duration_s,
            "generator_busy": result.cpu_s / result.duration_s,
            "generator_cpu_us": result.cpu_s / requests * 1e6,
            "rss_bytes": server.rss_bytes,
            "connection_bytes": (server.rss_bytes - server.rss_start_bytes) / _connections(record),
            "switches": (server.voluntary_switches + server.involuntary_switches) / requests,
            "threads": server.threads,
            "lower_bound": any(verdict.kind == "generator-bound" for verdict in record.verdicts),
            "verdicts": "; ".join(verdict.kind for verdict in record.verdicts),
            "load_average": record.load_average,
            "steal_s": record.steal_s,
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else [*_KEY, *POINT, "round", "throughput_rps"])


_KEY = ["scenario", "exchange", "backend", "family", "interpreter"]


def _key(record: Record, named: Sequence[str]) -> dict[str, Any]:
    """Return who was measured where; an axis that a record does not have is 0."""
    return {name: getattr(record, name) for name in _KEY} | {axis: record.point.get(axis, 0) for axis in named}


def _connections(record: Record) -> float:
    return record.point.get("connections", 0) + record.point.get("idle_connections", 0) or NO_NUMBER


def cells(records: Sequence[Record]) -> pd.DataFrame:
    """Return one row for each cell: medians over its rounds, percentiles of its merged histogram, verdicts, refusal.

    `throughput_low` and `throughput_high` bound the median (95%). A cell that was refused or failed has a `refusal`;
    if it had usable trials before it failed, it has numbers too.
    """
    named = axes(records)
    by_cell: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        key = (record.scenario, record.backend, *(record.point.get(axis, 0) for axis in named))
        by_cell.setdefault(key, []).append(record)
    measured = trials(records)
    groups = dict(list(measured.groupby(["scenario", "backend", *named], sort=False))) if len(measured) else {}
    rows = [_cell(group, groups.get(key), named) for key, group in by_cell.items()]
    return pd.DataFrame(rows, columns=None if rows else CELL_COLUMNS)


_MEDIANS = [
    "throughput_rps",
    "cpu_us",
    "server_busy",
    "generator_busy",
    "generator_cpu_us",
    "rss_bytes",
    "connection_bytes",
    "switches",
    "threads",
]

CELL_COLUMNS = [
    *_KEY,
    *POINT,
    "loop",
    "engine",
    "rounds",
    *_MEDIANS,
    "user_us",
    "system_us",
    "throughput_low",
    "throughput_high",
    "lower_bound",
    "samples",
    *PERCENTILES,
    "errors",
    "verdicts",
    "refusal",
]
"""Columns of `cells`, beside axes that only some scenarios have."""


def _cell(records: Sequence[Record], measured: pd.DataFrame | None, named: Sequence[str]) -> dict[str, Any]:
    """Return the row of one cell from its records and its rows of `trials`, None if it has none."""
    usable = [record for record in records if record.usable and record.result is not None]
    kinds = Counter(verdict.kind for record in usable for verdict in record.verdicts)
    failures = [
        f"{verdict.kind}: {verdict.reason}" for record in records for verdict in record.verdicts if verdict.void
    ]
    counts = stats.merge(record.result.latency for record in usable if record.result is not None)
    low, high = (
        stats.median_interval([]) if measured is None else stats.median_interval(measured["throughput_rps"].to_numpy())
    )
    medians = {name: NO_NUMBER if measured is None else float(measured[name].median()) for name in _MEDIANS}
    # Shared out by the totals, so that both shares add up to the median of the whole.
    user_share = NO_NUMBER if measured is None else float(measured["user_us"].sum() / measured["cpu_us"].sum())
    return {
        **_key(next((record for record in records if record.interpreter), records[0]), named),
        "loop": "" if measured is None else measured["loop"].iloc[0],
        "engine": "" if measured is None else measured["engine"].iloc[0],
        "rounds": len(usable),
        **medians,
        "user_us": medians["cpu_us"] * user_share,
        "system_us": medians["cpu_us"] * (1 - user_share),
        "throughput_low": low,
        "throughput_high": high,
        "lower_bound": measured is not None and bool(measured["lower_bound"].any()),
        "samples": stats.samples(counts),
        **{name: stats.percentile_ns(counts, percent) / 1e3 for name, percent in PERCENTILES.items()},
        "errors": 0 if measured is None else int(measured["errors"].sum()),
        "verdicts": ", ".join(f"{kind} {count}/{len(usable)}" for kind, count in sorted(kinds.items())),
        "refusal": failures[0] if failures else "",
    }

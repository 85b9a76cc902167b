"""Records as tables: a row a trial, and a row a cell, with every statistic that a report shows."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness import stats
from harness.loadgen.spec import TrialResult
from harness.record import TCP, TEXT_AXES, Record, ServerUsage
from harness.scaling import growths

POINT = ["connections", "idle_connections", "message_size", "pipeline_depth"]
"""Axes that every record has; a point may have more."""

PERCENTILES = {"p50_us": 50.0, "p90_us": 90.0, "p99_us": 99.0, "p999_us": 99.9}

CONNECT_PERCENTILES = {"connect_p50_us": 50.0, "connect_p99_us": 99.0}
"""Of the time that connections took to be established: only churn has it."""

NO_NUMBER = math.nan


def axes(records: Sequence[Record]) -> list[str]:
    """Return the names of all axes, the common ones first."""
    return POINT + sorted({axis for record in records for axis in record.point} - set(POINT))


@dataclass(frozen=True, slots=True)
class Frames:
    """All tables of some records, made once for every form in which they are shown.

    Attributes:
        trials: One row for each usable trial, with what was measured per second and per request.
        cells: One row for each cell: medians over its rounds, percentiles of its merged histogram, verdicts, refusal.
            `throughput_low` and `throughput_high` bound the median (95%), and so do `cpu_low`, `rss_low` and theirs.
            A cell that was refused or failed has a `refusal`; if it had usable trials before it failed, it has numbers
            too.
        verdicts: One row for each verdict on a trial, with its reason and whether it voids the trial.
        growths: How costs grow along the axes of the load: see `harness.scaling.growths`.
        axes: Names of the columns that tell the points of a scenario apart.
        run: Name of the run, empty if there are no records.
    """

    trials: pd.DataFrame
    cells: pd.DataFrame
    verdicts: pd.DataFrame
    growths: pd.DataFrame
    axes: list[str]
    run: str


def tabulate(records: Sequence[Record]) -> Frames:
    """Return the tables of these records."""
    named = axes(records)
    by_cell: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        key = (record.scenario, record.label, *_point(record, named).values())
        by_cell.setdefault(key, []).append(record)
    rows: list[dict[str, Any]] = []
    owners: list[int] = []
    merged, merged_connecting = [], []
    for number, group in enumerate(by_cell.values()):
        histograms, connecting = [], []
        for record in group:
            if record.usable and record.result is not None and record.server is not None:
                histograms.append(stats.decode(record.result.latency))
                connecting.append(stats.decode(record.result.connection_time))
                rows.append(_trial(record, record.result, record.server, histograms[-1], connecting[-1], named))
                owners.append(number)
        merged.append(stats.merge(histograms))
        merged_connecting.append(stats.merge(connecting))
    trials = pd.DataFrame(rows, columns=None if rows else [*_KEY, *POINT, "round", "throughput_rps"])
    measured: list[list[dict[str, Any]]] = [[] for _ in by_cell]
    for number, row in zip(owners, rows, strict=True):
        measured[number].append(row)
    # One call for all: a call of pandas for each cell would take longer than everything else.
    medians = trials.groupby(owners)[_MEDIANS].median().to_dict("index") if rows else {}
    cells = [
        _cell(
            group,
            measured[number],
            medians.get(number, NO_MEDIANS),
            {**_latency(merged[number]), **_percentiles(merged_connecting[number], CONNECT_PERCENTILES)},
            named,
        )
        for number, group in enumerate(by_cell.values())
    ]
    table = pd.DataFrame(cells, columns=None if cells else CELL_COLUMNS)
    return Frames(
        trials=trials,
        cells=table,
        verdicts=_verdicts(records, named),
        growths=growths(table, named),
        axes=named,
        run=plain(records[0].run) if records else "",
    )


def _verdicts(records: Sequence[Record], named: Sequence[str]) -> pd.DataFrame:
    rows = [
        {
            **_key(record, named),
            "round": record.round,
            "verdict": plain(verdict.kind),
            "reason": plain(verdict.reason),
            "void": verdict.void,
        }
        for record in records
        for verdict in record.verdicts
    ]
    return pd.DataFrame(rows, columns=None if rows else [*_KEY, *named, "round", "verdict", "reason", "void"])


def _trial(
    record: Record,
    result: TrialResult,
    server: ServerUsage,
    latency: stats.Histogram,
    connecting: stats.Histogram,
    named: Sequence[str],
) -> dict[str, Any]:
    """Return the row of one trial. Costs count late replies too, because the server worked for them."""
    requests = result.replied + result.late or NO_NUMBER
    duration_s = result.duration_s or NO_NUMBER
    return {
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
        "throughput_rps": result.replied / duration_s,
        "offered_rps": result.due / duration_s,
        **_latency(latency),
        **_percentiles(connecting, CONNECT_PERCENTILES),
        "slip_p99_us": stats.percentiles_ns(stats.decode(result.slip), [99.0])[0] / 1e3,
        "cpu_us": server.cpu_s / requests * 1e6,
        "user_us": server.user_s / requests * 1e6,
        "system_us": server.system_s / requests * 1e6,
        "server_busy": server.cpu_s / duration_s,
        "generator_busy": result.cpu_s / duration_s,
        "generator_cpu_us": result.cpu_s / requests * 1e6,
        "rss_bytes": server.rss_bytes,
        "connection_bytes": (server.rss_bytes - server.rss_start_bytes) / _connections(record),
        "switches": (server.voluntary_switches + server.involuntary_switches) / requests,
        "threads": server.threads,
        "lower_bound": any(verdict.kind == "generator-bound" for verdict in record.verdicts),
        "disturbed": any(verdict.kind == "disturbed" for verdict in record.verdicts),
        "verdicts": "; ".join(plain(verdict.kind) for verdict in record.verdicts),
        "load_average": record.load_average,
        "steal_s": record.steal_s,
    }


def _latency(histogram: stats.Histogram) -> dict[str, float]:
    return {"samples": histogram.samples, **_percentiles(histogram, PERCENTILES)}


def _percentiles(histogram: stats.Histogram, columns: Mapping[str, float]) -> dict[str, float]:
    """Return percentiles in microseconds by column."""
    found = stats.percentiles_ns(histogram, list(columns.values()))
    return {name: value / 1e3 for name, value in zip(columns, found, strict=True)}


_TERMINAL_CODES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.?)", re.DOTALL)
"""Escape sequences of colours, cursors and titles (ECMA-48, section 5.4)."""


def plain(text: str) -> str:
    """Return a text without what is no text: the logs and names in a record may hold colours or any bytes.

    Control characters would move a terminal's cursor and make an SVG that no browser opens.
    """
    text = _TERMINAL_CODES.sub("", text)
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


_KEY = ["scenario", "exchange", "backend", "family", "interpreter", "workers"]


def _key(record: Record, named: Sequence[str]) -> dict[str, Any]:
    """Return who was measured where."""
    return {
        "scenario": plain(record.scenario),
        "exchange": plain(record.exchange),
        "backend": plain(record.label),
        "family": plain(record.family),
        "interpreter": plain(record.interpreter),
        "workers": record.workers,
        **_point(record, named),
    }


def _point(record: Record, named: Sequence[str]) -> dict[str, int | str]:
    """Return the value of each of these axes; one that a record does not have has its usual value."""
    usual = {axis: TCP if axis in TEXT_AXES else 0 for axis in named}
    return {axis: value if isinstance(value, int) else plain(value) for axis, value in (usual | record.point).items()}


def _connections(record: Record) -> float:
    return sum(int(record.point.get(axis, 0)) for axis in ("connections", "idle_connections")) or NO_NUMBER


_MEDIANS = [
    "throughput_rps",
    "offered_rps",
    "cpu_us",
    "server_busy",
    "generator_busy",
    "generator_cpu_us",
    "rss_bytes",
    "connection_bytes",
    "switches",
    "threads",
]

NO_MEDIANS = dict.fromkeys(_MEDIANS, NO_NUMBER)

INTERVALS = {"throughput": "throughput_rps", "cpu": "cpu_us", "rss": "rss_bytes"}
"""Beginning of the names of two columns of a cell -> what of its trials they bound the median of."""

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
    "cpu_low",
    "cpu_high",
    "rss_low",
    "rss_high",
    "lower_bound",
    "samples",
    *PERCENTILES,
    *CONNECT_PERCENTILES,
    "errors",
    "verdicts",
    "refusal",
]
"""Columns of `Frames.cells`, beside axes that only some scenarios have."""


def _cell(
    records: Sequence[Record],
    measured: Sequence[Mapping[str, Any]],
    medians: Mapping[Any, float],
    percentiles: Mapping[str, float],
    named: Sequence[str],
) -> dict[str, Any]:
    """Return the row of one cell from its records, the rows and medians of its trials, and percentiles of them all."""
    kinds = Counter(plain(verdict.kind) for record in records if record.usable for verdict in record.verdicts)
    failures = [
        plain(f"{verdict.kind}: {verdict.reason}") for record in records for verdict in record.verdicts if verdict.void
    ]
    intervals: dict[str, float] = {}
    for name, column in INTERVALS.items():
        low, high = stats.median_interval([row[column] for row in measured])
        intervals |= {f"{name}_low": low, f"{name}_high": high}
    # Shared out by the totals, so that both shares add up to the median of the whole.
    user_share = _sum(measured, "user_us") / (_sum(measured, "cpu_us") or NO_NUMBER)
    return {
        **_key(next((record for record in records if record.interpreter), records[0]), named),
        "loop": measured[0]["loop"] if measured else "",
        "engine": measured[0]["engine"] if measured else "",
        "rounds": len(measured),
        **medians,
        "user_us": medians["cpu_us"] * user_share,
        "system_us": medians["cpu_us"] * (1 - user_share),
        **intervals,
        "lower_bound": any(row["lower_bound"] for row in measured),
        **percentiles,
        "errors": sum(row["errors"] for row in measured),
        "verdicts": ", ".join(f"{kind} {count}/{len(measured)}" for kind, count in sorted(kinds.items())),
        "refusal": failures[0] if failures else "",
    }


def _sum(measured: Sequence[Mapping[str, Any]], column: str) -> float:
    """Return the sum of a column, leaving out what is not a number."""
    return math.fsum(row[column] for row in measured if not math.isnan(row[column]))

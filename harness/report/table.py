"""The tables of a report as plain texts, one a point: what the terminal and Markdown show alike."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from harness.compare import Ratio, Trials, ratio, trials_by_cell
from harness.report.frame import CELL_COLUMNS, Frames
from harness.stats import ROUNDS_FOR_INTERVAL

COLUMNS = [
    "backend",
    "requests/s",
    "95% interval",
    "ratio to baseline",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "connect p50 us",
    "connect p99 us",
    "CPU us",
    "memory",
    "verdicts",
]

RARE = ("connect p50 us", "connect p99 us")
"""Columns that are left out where no row has a number for them."""

LEGEND = {
    "≥": "the generator was the bottleneck in some trial: a lower bound",
    "≤": "the generator was the bottleneck for the baseline: an upper bound",
    "±": "the generator was the bottleneck for both: the ratio says nothing of the backends",
    "=": "the interval includes 1: no difference is shown",
    "?": f"fewer than {ROUNDS_FOR_INTERVAL} rounds: no interval, so no difference is shown",
    "-": "too few samples for this percentile (ten must lie beyond it)",
}
"""Mark -> what it means; only those that occur are explained."""

MEANINGS = {
    "generator-bound": "The load generator was the bottleneck: throughput is a lower bound (≥), no capacity.",
    "overloaded": "More requests were due than could be sent: latency grows with the length of the trial.",
    "disturbed": "Something else ran on the CPU of the server or of the generator.",
    "unsteady": "Throughput changed in the course of the trial.",
    "errors": "Some requests failed.",
    "wrong replies": "A reply was not what the scenario demands: the trial does not count.",
    "crashed": "The server or the generator died: the trial does not count.",
    "timed out": "No answer in time: the trial does not count.",
    "refused": "The backend cannot run this point: it was not measured.",
}
"""Kind of verdict -> what it means for the numbers."""


@dataclass(frozen=True, slots=True)
class PointTable:
    """The backends at one point.

    Attributes:
        title: The point in words.
        rows: A text for each of `COLUMNS`, the fastest backend first.
        rates: Throughput of each in requests per second.
        failures: Backend and reason of each that was refused or failed.
    """

    title: str
    rows: list[list[str]]
    rates: list[float]
    failures: list[tuple[str, str]]


def point_tables(frames: Frames, baseline: str | None = None) -> list[PointTable]:
    """Return a table for each point, in the order measured.

    Args:
        frames: Tables of the records.
        baseline: Backend that the others are compared with; None takes the fastest of each point.
    """
    key = ["scenario", *frames.axes]
    trials = trials_by_cell(frames.trials, [*key, "backend"])
    tables = []
    for place, group in frames.cells.groupby(key, sort=True):
        at_point = {name: trials[*place, name] for name in group["backend"] if (*place, name) in trials}
        tables.append(_point_table(group, at_point, baseline))
    return tables


def columns_of(tables: Sequence[PointTable]) -> list[str]:
    """Return those of `COLUMNS` that these tables have anything in."""
    return [
        column
        for number, column in enumerate(COLUMNS)
        if column not in RARE or any(row[number] != "-" for table in tables for row in table.rows)
    ]


def legend(tables: Sequence[PointTable], columns: Sequence[str]) -> list[str]:
    """Return the explanations of the marks that occur in these columns of the tables."""
    marked = [COLUMNS.index(column) for column in columns if column not in ("backend", "verdicts")]
    shown = " ".join(row[number] for table in tables for row in table.rows for number in marked)
    marks = [f"{mark} {words}" for mark, words in LEGEND.items() if mark in shown]
    verdicts = " ".join(row[-1] for table in tables for row in table.rows)
    return [
        "ratio: of throughput, the median of those paired within rounds, with its 95% interval; "
        "CPU us: CPU time of the server for each request; memory: its resident memory",
        *marks,
        *(f"{kind} n/m: so in n of m trials. {words}" for kind, words in MEANINGS.items() if kind in verdicts),
    ]


def _point_table(group: pd.DataFrame, trials: Mapping[str, Trials], baseline: str | None) -> PointTable:
    measured = group[group["throughput_rps"].notna()].sort_values("throughput_rps", ascending=False)
    names = list(measured["backend"])
    chosen = baseline if baseline is not None and baseline in names else next(iter(names), "")
    rows = []
    for cell in measured.to_dict("records"):
        name = str(cell["backend"])
        compared = "baseline" if name == chosen else _ratio_text(ratio(trials[name], trials[chosen], "throughput_rps"))
        rows.append(
            [
                name,
                f"{'≥ ' if cell['lower_bound'] else ''}{cell['throughput_rps']:,.0f}",
                _interval_text(cell["throughput_low"], cell["throughput_high"]),
                compared,
                _number(cell["p50_us"]),
                _number(cell["p99_us"]),
                _number(cell["p999_us"]),
                _number(cell["connect_p50_us"]),
                _number(cell["connect_p99_us"]),
                _number(cell["cpu_us"]),
                f"{cell['rss_bytes'] / 2**20:,.1f} MiB",
                cell["verdicts"] or "ok",
            ]
        )
    failures = [(name, reason) for name, reason in zip(group["backend"], group["refusal"], strict=True) if reason]
    return PointTable(_title(group, measured), rows, list(measured["throughput_rps"]), failures)


def _title(group: pd.DataFrame, measured: pd.DataFrame) -> str:
    first = group.iloc[0]
    words = [f"{first['scenario']}: {first['exchange']} of {size_text(int(first['message_size']))}"]
    connections = f"{first['connections']:,} connection{'s' if first['connections'] != 1 else ''}"
    if first["idle_connections"]:
        connections += f" beside {first['idle_connections']:,} idle ones"
    words.append(connections)
    if first["pipeline_depth"] > 1:
        words.append(f"{first['pipeline_depth']} in flight on each")
    words += [f"{axis} {first[axis]}" for axis in group.columns if axis not in CELL_COLUMNS]
    if len(measured):
        words.append(f"{'/'.join(sorted(set(measured['loop'])))} loop")
        most = measured["rounds"].max()
        words.append(f"{most} round{'' if most == 1 else 's'}")
        if "portable" in set(measured["engine"]):
            words.append("portable generator")
    return ", ".join(words)


def size_text(size_bytes: int) -> str:
    """Return a size in the largest binary unit that divides it."""
    for unit, factor in (("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor:,} {unit}"
    return f"{size_bytes:,} B"


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _interval_text(low: float, high: float) -> str:
    return "?" if math.isnan(low) else f"{low / 1e3:.1f}k to {high / 1e3:.1f}k"


def _ratio_text(found: Ratio) -> str:
    if not found.pairs:
        return "no common round"
    bound = "± " if found.at_least and found.at_most else "≥ " if found.at_least else "≤ " if found.at_most else ""
    if math.isnan(found.low):
        return f"{bound}{found.median:.2f} ?"
    mark = " =" if found.low <= 1 <= found.high else ""
    return f"{bound}{found.median:.2f} [{_end_text(found.low)}, {_end_text(found.high)}]{mark}"


def _end_text(value: float) -> str:
    """Return an interval's end, so precise that one beside 1 does not look like 1."""
    text = f"{value:.2f}"
    return f"{value:.3f}" if text == "1.00" and value != 1 else text

"""Capacity under an objective as texts: what the terminal, Markdown and the HTML page show alike."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.capacity import COLUMNS as FIELDS
from harness.report.charts.look import duration
from harness.report.charts.selection import named_value
from harness.scaling import records

if TYPE_CHECKING:
    from pandas import DataFrame

LEGEND = (
    "capacity: the open-loop rate at which half of the trials hold the objective, with its 95% interval; latency: of "
    "the trials within it that held; trials: that count + repeated because the generator or something else spoilt them"
)

BOUNDS = {"at least": "≥ ", "below": "< "}


def title(found: "DataFrame") -> str:
    """Return the heading: the objective, and the scenarios."""
    return f"{', '.join(dict.fromkeys(found['scenario']))}: capacity under {found['slo'].iloc[0]}"


def table(found: "DataFrame") -> tuple[list[str], list[list[str]]]:
    """Return the heads of the columns, and a row of texts each: the highest capacity of each point first.

    Args:
        found: What `harness.capacity.capacities` returned.
    """
    axes = [str(name) for name in found.columns if name not in FIELDS and found[name].nunique() > 1]
    percentile = str(found["slo"].iloc[0]).partition("<")[0].strip()
    columns = ["backend", "capacity", "95% interval", f"{percentile} at it", "of closed loop", "limited by", "trials"]
    ordered = found.sort_values([*axes, "rate_rps"], ascending=[*[True] * len(axes), False], na_position="last")
    rows = [
        [*([", ".join(named_value(axis, row[axis]) for axis in axes)] if axes else []), *_row(row)]
        for row in records(ordered)
    ]
    return [*(["point"] if axes else []), *columns], rows


def _row(row: Mapping[str, Any]) -> list[str]:
    rate, closed = row["rate_rps"], row["closed_rps"]
    known = not math.isnan(rate)
    return [
        str(row["backend"]),
        f"{BOUNDS.get(row['kind'], '')}{rate:,.0f} /s" if known else "?",
        _interval(row),
        "-" if math.isnan(row["latency_us"]) else duration(row["latency_us"]),
        f"{BOUNDS.get(row['kind'], '')}{rate / closed:.0%} of {closed:,.0f}" if known and closed > 0 else "-",
        row["limited_by"] or row["reason"] or "-",
        str(row["counted"]) + (f" + {row['repeated']}" if row["repeated"] else ""),
    ]


def _interval(row: Mapping[str, Any]) -> str:
    if math.isnan(row["low_rps"]):
        return "-" if row["precise"] or row["kind"] == "unknown" else "not found in time"
    text = f"{row['low_rps']:,.0f} to {row['high_rps']:,.0f}"
    return text if row["precise"] else f"{text} (time was up)"

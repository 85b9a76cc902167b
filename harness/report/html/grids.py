"""The sortable tables as data: columns, and for each of their cells what it shows and what it is sorted by."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.compare import Ratio
from harness.report.charts.look import duration
from harness.report.html.words import (
    NOTHING,
    count_text,
    factor_text,
    known,
    rate_text,
    ratio_text,
    records,
    size_text,
    time_text,
)
from harness.report.table import size_text as exact_size_text

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.report.frame import Frames

METRIC_NAMES = {
    "throughput_rps": "throughput",
    "p50_us": "p50 latency",
    "p99_us": "p99 latency",
    "cpu_us": "CPU per request",
    "rss_bytes": "memory",
}

VERDICT_WORDS = {"undecided": "no difference shown"}

FILTERED = ("scenario", "backend", "metric", "verdict")
"""Columns whose values are offered to choose from above a table."""

LONG = ("verdicts", "reason")
"""Columns of sentences."""

ALWAYS = ("connections", "message_size")
"""Axes that every table has; others have a column where they have several values."""

Shown = str | tuple[float | None, str]
"""A text, or a number to sort by with its text."""


def grids(frames: "Frames", ratios: "DataFrame") -> dict[str, Any]:
    """Return the tables of cells, ratios and verdicts.

    Args:
        frames: Tables of a run's records.
        ratios: What `harness.compare.ratios` returned for them.

    Returns:
        For each its `columns`, with `title`, `kind` (text, number or words) and whether it is `filtered`, and its
        `rows`: a text for each column, or a number and its text. Names are as they are: whoever shows them takes them
        for text.
    """
    axes = [axis for axis in frames.axes if axis in ALWAYS or frames.cells[axis].nunique() > 1]
    cells = frames.cells.sort_values(
        ["scenario", *frames.axes, "throughput_rps"], ascending=[*[True] * (1 + len(frames.axes)), False]
    )
    churn = bool(cells["connect_p50_us"].notna().any())
    return {
        "cells": _grid([_cell(row, axes, churn) for row in records(cells)]),
        "ratios": _grid([_ratio(row, axes) for row in records(ratios)]),
        "verdicts": _grid([_verdict(row, axes) for row in records(frames.verdicts)]),
    }


def _grid(rows: list[dict[str, Shown]]) -> dict[str, Any]:
    columns = list(rows[0]) if rows else []
    return {
        "columns": [
            {
                "title": title,
                "kind": "number" if not isinstance(rows[0][title], str) else "words" if title in LONG else "text",
                "filtered": title in FILTERED,
            }
            for title in columns
        ],
        "rows": [list(row.values()) for row in rows],
    }


def _number(value: float, text: str) -> tuple[float | None, str]:
    return (float(f"{value:.6g}") if known(value) else None), text


def _point(row: Mapping[str, Any], axes: list[str]) -> dict[str, Shown]:
    return {axis.replace("_", " ").removesuffix(" us"): _axis_value(axis, row[axis]) for axis in axes}


def _axis_value(axis: str, value: float | str) -> Shown:
    if isinstance(value, str):
        return value
    if axis == "message_size":
        return _number(value, exact_size_text(int(value)))
    return _number(value, duration(value) if axis.endswith("_us") else f"{value:,}")


def _cell(row: Mapping[str, Any], axes: list[str], churn: bool) -> dict[str, Shown]:
    low, high = row["throughput_low"], row["throughput_high"]
    connecting = {f"connect {name}": row[f"connect_{name}_us"] for name in ("p50", "p99") if churn}
    return {
        "scenario": row["scenario"],
        "backend": row["backend"],
        **_point(row, axes),
        "requests/s": _number(row["throughput_rps"], rate_text(row)),
        "95% interval": _number(low, f"{count_text(low)} to {count_text(high)}" if known(low) else NOTHING),
        "p50": _number(row["p50_us"], time_text(row["p50_us"])),
        "p90": _number(row["p90_us"], time_text(row["p90_us"])),
        "p99": _number(row["p99_us"], time_text(row["p99_us"])),
        "p99.9": _number(row["p999_us"], time_text(row["p999_us"])),
        "loop": row["loop"],
        **{name: _number(value, time_text(value)) for name, value in connecting.items()},
        "CPU": _number(row["cpu_us"], time_text(row["cpu_us"])),
        "memory": _number(row["rss_bytes"], size_text(row["rss_bytes"])),
        "verdicts": row["refusal"] or row["verdicts"] or "ok",
        "rounds": _number(row["rounds"], count_text(row["rounds"])),
        "samples": _number(row["samples"], count_text(row["samples"])),
        "errors": _number(row["errors"], count_text(row["errors"])),
        "user": _number(row["user_us"], time_text(row["user_us"])),
        "kernel": _number(row["system_us"], time_text(row["system_us"])),
        "switches": _number(row["switches"], f"{row['switches']:.3g}" if known(row["switches"]) else NOTHING),
    }


def _ratio(row: Mapping[str, Any], axes: list[str]) -> dict[str, Shown]:
    found = Ratio(*(row[field] for field in Ratio.__slots__))
    interval = f"{factor_text(found.low)} to {factor_text(found.high)}" if known(found.low) else NOTHING
    return {
        "scenario": row["scenario"],
        "metric": METRIC_NAMES[found.metric],
        "backend": row["backend"],
        **_point(row, axes),
        "ratio": _number(found.median, ratio_text(found)),
        "95% interval": _number(found.low, interval),
        "baseline": row["baseline"],
        "pairs": _number(found.pairs, count_text(found.pairs)),
        "verdict": VERDICT_WORDS.get(row["verdict"], row["verdict"]),
    }


def _verdict(row: Mapping[str, Any], axes: list[str]) -> dict[str, Shown]:
    return {
        "scenario": row["scenario"],
        "verdict": row["verdict"],
        "backend": row["backend"],
        **_point(row, axes),
        "round": _number(row["round"], f"{row['round'] + 1}" if row["round"] >= 0 else NOTHING),
        "trial": "does not count" if row["void"] else "counts",
        "reason": row["reason"],
    }

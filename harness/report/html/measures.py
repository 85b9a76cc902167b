"""What the interactive charts show of a cell: its numbers, how each is drawn and what is said of it at the mouse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.html.words import (
    count_text,
    known,
    plotly_text,
    point_axes,
    point_words,
    rate_text,
    records,
    size_text,
    time_text,
)

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a cell.

    Attributes:
        label: What it is called where there are several in a chart.
        column: Of the cells.
        words: Makes the text of its value.
        axis: Of plotly's layout: title, scale and format.
        interval: Beginning of the names of the columns of its interval; empty if it has none.
        unit: What a value is divided by to be drawn, so that plotly can write it with SI prefixes.
    """

    label: str
    column: str
    words: Callable[[Mapping[str, Any]], str]
    axis: Mapping[str, Any]
    interval: str = ""
    unit: float = 1.0


RATE_AXIS = {"title": {"text": "requests/s"}, "rangemode": "tozero", "tickformat": "~s"}
TIME_AXIS = {"title": {"text": "time (log)"}, "type": "log"}
CPU_AXIS = {"title": {"text": "CPU time per request"}, "rangemode": "tozero", "tickformat": "~s", "ticksuffix": "s"}
MEMORY_AXIS = {"title": {"text": "resident memory"}, "rangemode": "tozero", "ticksuffix": " MiB"}


def _percentile(label: str, column: str) -> Measure:
    return Measure(
        label,
        column,
        lambda cell: f"{label} {time_text(cell[column])}, {_loop(cell)}, {count_text(cell['samples'])} samples",
        TIME_AXIS,
        unit=1e6,
    )


def _loop(cell: Mapping[str, Any]) -> str:
    return "closed loop" if cell["loop"] == "closed" else "from when due (open loop)"


def _interval(low: float, high: float, words: Callable[[float], str]) -> str:
    return (
        f"95% interval {words(low)} to {words(high)}" if known(low) and known(high) else "no interval: too few rounds"
    )


PERCENTILES = (
    _percentile("p50", "p50_us"),
    _percentile("p90", "p90_us"),
    _percentile("p99", "p99_us"),
    _percentile("p99.9", "p999_us"),
)

THROUGHPUT = Measure(
    "throughput",
    "throughput_rps",
    lambda cell: (
        f"{rate_text(cell)} requests/s<br>{_interval(cell['throughput_low'], cell['throughput_high'], count_text)}"
    ),
    RATE_AXIS,
    "throughput",
)
CPU = Measure(
    "CPU",
    "cpu_us",
    lambda cell: (
        f"{time_text(cell['cpu_us'])} CPU per request ({time_text(cell['user_us'])} user, "
        f"{time_text(cell['system_us'])} kernel)<br>{_interval(cell['cpu_low'], cell['cpu_high'], time_text)}"
    ),
    CPU_AXIS,
    "cpu",
    1e6,
)
MEMORY = Measure(
    "memory",
    "rss_bytes",
    lambda cell: (
        f"{size_text(cell['rss_bytes'])} resident, {size_text(cell['connection_bytes'])} for each connection<br>"
        f"{_interval(cell['rss_low'], cell['rss_high'], size_text)}"
    ),
    MEMORY_AXIS,
    "rss",
    2**20,
)


def hover_texts(cells: "DataFrame") -> dict[str, Any]:
    """Return the texts at the mouse: of each cell by its index, and of each measure's value there.

    They are for plotly, which reads markup: names are made harmless, line breaks are meant.
    """
    rows = records(cells)
    axes = {
        str(name): point_axes(group) or ["connections", "message_size"] for name, group in cells.groupby("scenario")
    }
    measures = {each.column: each for each in (THROUGHPUT, *PERCENTILES, CPU, MEMORY)}
    return {
        "cells": [_cell_words(row, axes[str(row["scenario"])]) for row in rows],
        "values": {
            column: [each.words(row) if known(row[column]) else "" for row in rows] for column, each in measures.items()
        },
    }


def _cell_words(cell: Mapping[str, Any], axes: list[str]) -> str:
    lines = [
        point_words(cell, axes),
        f"{cell['rounds']} round{'' if cell['rounds'] == 1 else 's'}, {count_text(cell['samples'])} samples",
        str(cell["verdicts"]),
    ]
    return "<br>".join(plotly_text(line) for line in lines if line)

"""The interactive charts as plotly's data: traces with every number from the cells, none computed here.

A scenario has *views*: one axis of its load runs through the chart, and each combination of the others is a panel to
choose. A chart has one or more *measures* (a latency chart has its percentiles). What depends on the reader's light or
dark screen, and the texts at the mouse, are put together in the page (`template/charts.js`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.charts.look import COLOURS, LINES, MARKERS, Look, count, duration, size
from harness.report.charts.selection import Panel, measured, own_axes, panels
from harness.report.html.words import (
    CONDITIONS,
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

SYMBOLS = dict(
    zip(
        MARKERS,
        (
            "circle",
            "square",
            "triangle-up",
            "diamond",
            "triangle-down",
            "cross",
            "x",
            "triangle-left",
            "triangle-right",
            "pentagon",
        ),
        strict=True,
    )
)
"""Marker in matplotlib -> the same in plotly."""

LINE_WIDTH = 2

DASHES = {
    line: "solid" if isinstance(line, str) else ",".join(f"{part * LINE_WIDTH:g}px" for part in line[1])
    for line in LINES
}

ON_DARK = {COLOURS[6]: "#FFFFFF", COLOURS[7]: "#BF4F86"}
"""Colours that cannot be seen on a dark screen -> what takes their place."""

AXIS_TITLES = {
    "rate_percent": "load (% of each backend's capacity in a closed loop)",
    "rate": "load (requests/s due)",
    "message_size": "message size",
    "reply_delay_us": "reply delay",
    "cpu_work_us": "work for each reply",
}

TICKS: dict[str, Callable[[float], str]] = {"message_size": size, "reply_delay_us": duration, "cpu_work_us": duration}

FIRST_AXES = ("rate_percent", "rate", "connections", "idle_connections", "message_size", "pipeline_depth")
"""The order in which axes are offered to go along; those of a scenario's own follow."""

LOADS = ("rate_percent", "rate")

MOST_TICKS = 10


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

CLOSED_NOTE = (
    "Closed loop: a connection sends its next request only after the reply, so these latencies leave out the waiting "
    "that a stall would cause its users."
)
OPEN_NOTE = "Open loop: latency counts from when a request was due."
HOLLOW_NOTE = "Hollow: the generator was the bottleneck, so this is a lower bound (≥) of what the backend can do."
HOLLOW_LATENCY_NOTE = "Hollow: the generator was the bottleneck, so this latency includes its own."


def scenario_charts(cells: "DataFrame", looks: Mapping[str, Look]) -> dict[str, Any]:
    """Return the charts of one scenario as JSON data.

    Args:
        cells: Its rows of `Frames.cells`, with the column `series` (see `selection.named`); their index is what
            `customdata` of a trace refers to.
        looks: Look of each series.

    Returns:
        `views`: each with its axis and the words of its panels; `charts`: each with `title`, `note`, `measures` (their
        labels), `first` (the number of the measure shown first), and `figures[measure][view][panel]` with `data` and
        `layout` for plotly. No charts if no cell has a number.
    """
    found = measured(cells, "throughput_rps")
    if found.empty:
        return {"views": [], "charts": []}
    views = _views(found)
    loops = set(found["loop"])
    loop_notes = [note for loop, note in (("closed", CLOSED_NOTE), ("open", OPEN_NOTE)) if loop in loops]
    loop_words = " and ".join(f"{loop} loop" for loop in sorted(loops))
    percentiles = [each for each in PERCENTILES if found[each.column].notna().any()]
    bounded = bool(found["lower_bound"].any())
    first = max((number for number, each in enumerate(percentiles) if each.label in {"p50", "p99"}), default=0)
    charts = [_chart("Throughput", [THROUGHPUT], [HOLLOW_NOTE] if bounded else [], views, looks)]
    notes = [*loop_notes, *([HOLLOW_LATENCY_NOTE] if bounded else [])]
    if percentiles:
        charts.append(_chart(f"Latency, {loop_words}", percentiles, notes, views, looks, first))
    loaded = [(axis, chosen) for axis, chosen in views if axis in LOADS]
    if percentiles and loaded:
        title = f"Latency against throughput reached, {loop_words}"
        charts.append(_chart(title, percentiles, notes, views, looks, first, across="throughput_rps"))
    charts.append(_chart("CPU time per request", [CPU], [], views, looks))
    charts.append(_chart("Memory", [MEMORY], [], views, looks))
    return {
        "views": [
            {"axis": AXIS_TITLES.get(axis, axis.replace("_", " ")), "panels": [panel.title for panel in chosen]}
            for axis, chosen in views
        ],
        "charts": charts,
    }


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


def _views(found: "DataFrame") -> list[tuple[str, list[Panel]]]:
    """Return each axis that has several values, with the panels of the others; an empty axis if there is none."""
    axes = [axis for axis in dict.fromkeys((*FIRST_AXES, *own_axes(found))) if axis in found]
    varying = [axis for axis in axes if found[axis].nunique() > 1]
    return [(axis, panels(found, CONDITIONS, axis)) for axis in varying] or [("", panels(found, CONDITIONS))]


def _chart(
    title: str,
    measures: Sequence[Measure],
    notes: Sequence[str],
    views: Sequence[tuple[str, list[Panel]]],
    looks: Mapping[str, Look],
    first: int = 0,
    across: str = "",
) -> dict[str, Any]:
    return {
        "title": title,
        "note": " ".join(notes),
        "measures": [measure.label for measure in measures],
        "columns": [measure.column for measure in measures],
        "first": first,
        "figures": [
            [[_figure(panel, axis, measure, looks, across) for panel in chosen] for axis, chosen in views]
            for measure in measures
        ],
    }


def _figure(panel: Panel, axis: str, measure: Measure, looks: Mapping[str, Look], across: str) -> dict[str, Any]:
    if not axis:
        return _rows(panel, measure, looks)
    steps = sorted({float(value) for value in panel.cells[axis]})
    at_last = panel.cells.sort_values([axis, "throughput_rps"], ascending=[False, False])
    groups = dict(list(panel.cells.sort_values(axis).groupby("series")))
    ordinal = not across and steps[0] == 0 and axis != "rate_percent"
    data = []
    for name in dict.fromkeys(at_last["series"]):
        rows = groups[name]
        if across:
            x = [_plain(value) for value in rows[across]]
        else:
            x = [float(steps.index(float(value))) if ordinal else _plain(value) for value in rows[axis]]
        values, error = _values(rows, measure)
        data.append({**_trace(str(name), rows, looks), "mode": "lines+markers", "x": x, "y": values, "error_y": error})
    if across:
        return {
            "data": data,
            "layout": {
                "xaxis": RATE_AXIS | {"title": {"text": "requests/s"}},
                "yaxis": _measure_axis(measure, panel.cells),
            },
        }
    return {
        "data": data,
        "layout": {"xaxis": _step_axis(axis, steps, ordinal=ordinal), "yaxis": _measure_axis(measure, panel.cells)},
    }


def _rows(panel: Panel, measure: Measure, looks: Mapping[str, Look]) -> dict[str, Any]:
    """Return a figure with a row for each series where no axis has several values: the best one on top."""
    ordered = panel.cells.sort_values("throughput_rps", ascending=False)
    data = []
    for name, rows in ordered.groupby("series", sort=False):
        values, error = _values(rows, measure)
        shown = plotly_text(str(name))
        trace = {**_trace(str(name), rows, looks), "mode": "markers", "x": values, "y": [shown], "error_x": error}
        data.append(trace)
    names = [trace["name"] for trace in data]
    return {
        "data": data,
        "layout": {
            "xaxis": _measure_axis(measure, panel.cells),
            "yaxis": {"type": "category", "categoryorder": "array", "categoryarray": names[::-1]},
        },
    }


def _measure_axis(measure: Measure, cells: "DataFrame") -> dict[str, Any]:
    """Return the axis of a measure; a logarithmic one with ticks at 1, 2 and 5 of each power of ten, or at 1 only."""
    values = cells[measure.column].dropna()
    if measure.axis.get("type") != "log" or values.empty or values.min() <= 0:
        return dict(measure.axis)
    powers = range(math.floor(math.log10(values.min())), math.ceil(math.log10(values.max())) + 1)
    steps = [10.0**power * first for power in powers for first in ((1, 2, 5) if len(powers) < 5 else (1,))]
    return {
        **measure.axis,
        "tickvals": [_plain(step / measure.unit) for step in steps],
        "ticktext": [duration(step) for step in steps],
    }


def _trace(name: str, rows: "DataFrame", looks: Mapping[str, Look]) -> dict[str, Any]:
    look = looks[name]
    symbol = SYMBOLS[look.marker]
    bounds = [bool(bound) for bound in rows["lower_bound"]]
    return {
        "type": "scatter",
        "name": plotly_text(name),
        "customdata": [int(number) for number in rows.index],
        "marker": {
            "color": look.colour,
            "symbol": [f"{symbol}-open" if bound else symbol for bound in bounds] if any(bounds) else symbol,
            "size": 8,
            "line": {"width": 2 if any(bounds) else 0, "color": look.colour},
        },
        "line": {"color": look.colour, "width": LINE_WIDTH, "dash": DASHES[look.line]},
        "connectgaps": False,
    }


def _values(rows: "DataFrame", measure: Measure) -> tuple[list[float | None], dict[str, Any]]:
    """Return the values to draw, and plotly's error bars from the ends of their intervals."""
    values = [_plain(value / measure.unit) for value in rows[measure.column]]
    if not measure.interval:
        return values, {"visible": False}
    up: list[float | None] = []
    down: list[float | None] = []
    for value, low, high in zip(
        rows[measure.column], rows[f"{measure.interval}_low"], rows[f"{measure.interval}_high"], strict=True
    ):
        up.append(_plain((high - value) / measure.unit))
        down.append(_plain((value - low) / measure.unit))
    return values, {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.2, "width": 3}


def _step_axis(axis: str, steps: Sequence[float], *, ordinal: bool) -> dict[str, Any]:
    title = {"text": AXIS_TITLES.get(axis, axis.replace("_", " "))}
    if axis == "rate_percent":
        return {"title": title, "rangemode": "tozero", "ticksuffix": "%"}
    every = -(-len(steps) // MOST_TICKS)
    shown = steps[::-1][::every][::-1]
    write = TICKS.get(axis, count)
    return {
        "title": title,
        "type": "linear" if ordinal else "log",
        "tickvals": [steps.index(step) for step in shown] if ordinal else list(shown),
        "ticktext": [write(step) for step in shown],
    }


def _plain(value: float) -> float | None:
    """Return a number as JSON knows it: six digits say more than any measurement, and what is none is null."""
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None

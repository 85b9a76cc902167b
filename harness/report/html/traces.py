"""Cells as plotly's traces and axes, with every number as the cells have it; what is shown of them is a `View`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.charts.look import COLOURS, LINES, MARKERS, Look, count, duration, size
from harness.report.charts.selection import Panel, own_axes, panels
from harness.report.html.measures import RATE_AXIS, Measure
from harness.report.html.words import CONDITIONS, known, plotly_text, records

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

MOST_TICKS = 10


LOADS = ("rate_percent", "rate")
"""Axes along which the load grows: linear and from nothing, so that the bend of the latency shows where it is."""

Rows = list[tuple[int, dict[str, Any]]]
"""Number and row of some cells."""


@dataclass(frozen=True, slots=True)
class View:
    """What of a scenario is drawn at once.

    Attributes:
        axis: Of the load, which runs through the charts; empty if none has several values.
        title: What sets it apart from other views along this axis.
        cells: What is shown.
        groups: The same by series: the one on top at the end of the axis first, each in the order of the axis.
    """

    axis: str
    title: str
    cells: "DataFrame"
    groups: dict[str, Rows]


def views_of(found: "DataFrame") -> list[list[View]]:
    """Return the views along each axis that has several values: one for each combination of the others."""
    rows = dict(zip(found.index, records(found), strict=True))
    axes = [axis for axis in dict.fromkeys((*FIRST_AXES, *own_axes(found))) if axis in found]
    varying = [axis for axis in axes if found[axis].nunique() > 1] or [""]
    return [[_view(panel, axis, rows) for panel in panels(found, CONDITIONS, axis)] for axis in varying]


def _view(panel: Panel, axis: str, rows: Mapping[int, dict[str, Any]]) -> View:
    cells = panel.cells.sort_values("throughput_rps", ascending=False)
    if axis:
        cells = cells.sort_values(axis, ascending=False, kind="stable")
    groups: dict[str, Rows] = {}
    for number in cells.index:
        groups.setdefault(str(rows[number]["series"]), []).append((int(number), rows[number]))
    for of_series in groups.values():
        of_series.reverse()
    return View(axis, panel.title, cells, groups)


def figure_of(view: View, measure: Measure, across: str) -> dict[str, Any]:
    """Return one panel; without an axis it has a row for each series, the best one on top."""
    axis, cells, groups = view.axis, view.cells, view.groups
    if not axis:
        return _rows(groups, measure, cells)
    steps = sorted(set(cells[axis]))
    ordinal = not across and (isinstance(steps[0], str) or (steps[0] == 0 and axis not in LOADS))
    data = []
    for name, rows in groups.items():
        if across:
            x = [_plain(cell[across]) for _, cell in rows]
        elif ordinal:
            x = [float(steps.index(cell[axis])) for _, cell in rows]
        else:
            x = [_plain(cell[axis]) for _, cell in rows]
        values, error = _values(rows, measure)
        data.append({**_trace(name, rows), "mode": "lines+markers", "x": x, "y": values, **_named(error, "error_y")})
    x_axis = RATE_AXIS if across else _step_axis(axis, steps, ordinal=ordinal)
    return {"data": data, "layout": {"xaxis": x_axis, "yaxis": _measure_axis(measure, cells)}}


def _rows(groups: Mapping[str, Rows], measure: Measure, cells: "DataFrame") -> dict[str, Any]:
    data = []
    for name, rows in groups.items():
        values, error = _values(rows, measure)
        trace = _trace(name, rows)
        data.append({**trace, "mode": "markers", "x": values, "y": [trace["name"]], **_named(error, "error_x")})
    names = [trace["name"] for trace in data]
    return {
        "data": data,
        "layout": {
            "xaxis": _measure_axis(measure, cells),
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


def _trace(name: str, rows: Rows) -> dict[str, Any]:
    """Return what all traces have; how a series looks is said once for the page (`series_looks`)."""
    return {"name": plotly_text(name), "customdata": [number for number, _ in rows]}


def _values(rows: Rows, measure: Measure) -> tuple[list[float | None], dict[str, Any]]:
    """Return the values to draw, and plotly's error bars from the ends of their intervals; empty if there are none."""
    values = [_plain(cell[measure.column] / measure.unit) for _, cell in rows]
    if not measure.interval:
        return values, {}
    low, high = f"{measure.interval}_low", f"{measure.interval}_high"
    up = [_plain((cell[high] - cell[measure.column]) / measure.unit) for _, cell in rows]
    down = [_plain((cell[measure.column] - cell[low]) / measure.unit) for _, cell in rows]
    if not any(known(end) for end in up):
        return values, {}
    return values, {"symmetric": False, "array": up, "arrayminus": down, "thickness": 1.2, "width": 3}


def _named(error: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: error} if error else {}


def series_looks(looks: Mapping[str, Look]) -> dict[str, dict[str, str]]:
    """Return what plotly needs to draw each series, by the name that its traces have."""
    return {
        plotly_text(name): {
            "colour": look.colour,
            "dark": ON_DARK.get(look.colour, look.colour),
            "symbol": SYMBOLS[look.marker],
            "dash": DASHES[look.line],
        }
        for name, look in looks.items()
    }


def _step_axis(axis: str, steps: Sequence[Any], *, ordinal: bool) -> dict[str, Any]:
    title = {"text": plotly_text(AXIS_TITLES.get(axis, axis.replace("_", " ")))}
    if axis == "rate_percent":
        return {"title": title, "rangemode": "tozero", "ticksuffix": "%"}
    if axis == "rate":
        return {**RATE_AXIS, "title": title}
    every = -(-len(steps) // MOST_TICKS)
    shown = steps[::-1][::every][::-1]
    write = TICKS.get(axis, count)
    return {
        "title": title,
        "type": "linear" if ordinal else "log",
        "tickvals": [steps.index(step) for step in shown] if ordinal else [_plain(step) for step in shown],
        "ticktext": [plotly_text(step) if isinstance(step, str) else write(step) for step in shown],
    }


def _plain(value: float) -> float | None:
    """Return a number as JSON knows it: six digits say more than any measurement, and what is none is null."""
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None

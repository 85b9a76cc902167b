"""Latency percentiles: half of the requests are faster than p50, one in a hundred is slower than p99."""

import math
from typing import TYPE_CHECKING

from harness.report.charts.look import GREY, duration, looks
from harness.report.charts.plots import (
    DIRECT_PANELS,
    best_first,
    duration_axis,
    hollow_key,
    label_ends,
    lines,
    log_axis,
    rows_of,
    say_missing,
    top_down,
)
from harness.report.charts.selection import conditions, drawn_panels, measured, missing_notes, panels
from harness.report.charts.sheet import SMALL, Grid, lay_out, name_panel, remove_unused, text_width

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from harness.report.charts.look import Look

OTHER_AXES = ("loop", "message_size", "pipeline_depth", "idle_connections")

PERCENTILES = {"p50": "p50_us", "p99": "p99_us"}

ALONG = {
    "rate_percent": "load (% of each backend's capacity in a closed loop)",
    "connections": "connections",
}
"""Axis -> its label; the first that has several values runs through the panels."""

MISSING_TAIL = "A percentile that the number of samples does not support is left out."

LOOPS = {
    "closed": "Closed loop: a connection sends its next request only after the reply, so load eases off where replies "
    "are slow.",
    "open": "Open loop: latency counts from when a request was due.",
}


def figure(cells: "DataFrame", title: str) -> "Figure | None":
    """Return the chart: lines, or rows if connections have one value only.

    None where no cell has a latency, or where they are along the rate of requests, which `load` draws.
    """
    found = measured(cells, "p50_us")
    if found.empty:
        return None
    notes = [*([MISSING_TAIL] if found["p99_us"].isna().any() else []), *missing_notes(cells)]
    notes = [*(LOOPS[loop] for loop in found["loop"].unique() if loop in LOOPS), *notes]
    if "rate" in found and found["rate"].nunique() > 1:
        return None  # `load` has it, along the rate
    styles = looks(zip(found["series"], found["backend"], strict=True))
    for axis, subject in ALONG.items():
        if axis in found and found[axis].nunique() > 1:
            return _along(axis, subject, found, title, styles, notes)
    return _by_backend(found, title, styles, notes)


def _along(
    axis: str, subject: str, found: "DataFrame", title: str, styles: dict[str, "Look"], notes: list[str]
) -> "Figure":
    others = (*OTHER_AXES, "connections") if axis != "connections" else OTHER_AXES
    chosen, left_out = drawn_panels(panels(found, others, axis))
    direct = len(chosen) * len(PERCENTILES) <= DIRECT_PANELS
    grid = Grid(
        rows=len(chosen),
        columns=len(PERCENTILES),
        width=4.0 if direct else 4.4,
        height=max(3.6 if direct else 2.7, 0.2 * len(styles) if direct else 0),
        right=0.45 + max(map(text_width, styles)) if direct else 0.3,
    )
    sheet, axes = lay_out(
        grid,
        title,
        f"Latency percentiles against {subject} · {conditions(found, others)}",
        legend=None if direct else top_down(chosen[0], styles, axis, "p50_us"),
        key=hollow_key(found, "so this is not what the backend can do"),
        notes=[*left_out, *notes],
    )
    for number, place in enumerate(axes):
        panel = chosen[number // len(PERCENTILES)]
        name, column = list(PERCENTILES.items())[number % len(PERCENTILES)]
        lines(place, panel.cells[panel.cells[column].notna()], axis, column, styles)
        name_panel(place, f"{name}, {panel.title}" if panel.title else name)
        place.set_xlabel(subject)
        place.tick_params(labelleft=number % len(PERCENTILES) == 0)
    for place in axes[:: len(PERCENTILES)]:
        place.set_ylabel(_axis_label(found))
    if axis == "rate_percent":
        axes[0].set_xlim(0, None)
    else:
        log_axis(axes[0], "x", found[axis])
    duration_axis(axes[0], "y")
    if direct:
        for place in axes:
            label_ends(place, styles)
    return sheet


def _axis_label(found: "DataFrame") -> str:
    loops = found["loop"].unique()
    return f"latency (time, log; {loops[0]} loop)" if len(loops) == 1 else "latency (time, log)"


def _by_backend(found: "DataFrame", title: str, styles: dict[str, "Look"], notes: list[str]) -> "Figure":
    chosen, left_out = drawn_panels(panels(found, OTHER_AXES))
    order = best_first(chosen, "p50_us", ascending=True)
    columns = min(3, len(chosen))
    grid = Grid(
        rows=-(-len(chosen) // columns),
        columns=columns,
        width=6.0 if columns == 1 else 3.2,
        height=0.5 + 0.27 * len(order),
        left=0.2 + max(text_width(name, 10) for name in order),
        right=0.8,
    )
    sheet, axes = lay_out(
        grid,
        title,
        f"Latency percentiles · {conditions(found, (*OTHER_AXES, 'connections'))}",
        key=[*_percentile_key(), *hollow_key(found, "so this is not what the backend can do")],
        notes=[*left_out, *notes],
    )
    for number, (panel, place) in enumerate(zip(chosen, axes, strict=False)):
        rows = rows_of(place, order, named=number % columns == 0)
        _spans(place, panel.cells, rows, styles)
        say_missing(place, rows, panel.cells)
        name_panel(place, panel.title)
        place.set_xlabel(_axis_label(found))
    remove_unused(axes, len(chosen))
    duration_axis(axes[0], "x")
    low, high = axes[0].get_xlim()
    axes[0].set_xlim(low, high * (high / low) ** 0.15)  # room for the last number
    return sheet


def _percentile_key() -> list["Artist"]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=GREY, marker="o", linestyle="", label="p50"),
        Line2D([], [], color=GREY, marker="|", markersize=11, markeredgewidth=2.5, linestyle="", label="p99"),
    ]


def _spans(axes: "Axes", cells: "DataFrame", rows: dict[str, int], styles: dict[str, "Look"]) -> None:
    """Draw each series' p50 as its marker and its p99 as a bar at the end of a line from there."""
    for cell in cells.to_dict("records"):
        name, look = str(cell["series"]), styles[str(cell["series"])]
        height, p50, p99 = rows[name], cell["p50_us"], cell["p99_us"]
        axes.plot([p50, p99], [height] * 2, color=look.colour, linewidth=1.8, alpha=0.6, label="_span")
        axes.plot([p99], [height], color=look.colour, marker="|", markersize=11, markeredgewidth=2.5, label="_p99")
        axes.plot(
            [p50],
            [height],
            marker=look.marker,
            markersize=7,
            markeredgewidth=1.5,
            markeredgecolor=look.colour,
            markerfacecolor="white" if cell["lower_bound"] else look.colour,
            label=name,
        )
        known = [percentile for percentile in (p50, p99) if not math.isnan(percentile)]
        text = " / ".join(map(duration, known))
        axes.annotate(text, (known[-1], height), (9, 0), textcoords="offset points", va="center", fontsize=SMALL)

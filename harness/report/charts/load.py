"""Latency against the rate at which requests are due: flat while the server keeps up, and then up, like a hockey stick.

With an objective, its limit is a line, and the capacity under it a mark with its interval.
"""

from typing import TYPE_CHECKING

from harness.objective import parse_objective
from harness.report.charts.latency import LOOPS, OTHER_AXES
from harness.report.charts.look import GREY, duration, looks
from harness.report.charts.plots import count_axis, duration_axis, hollow_key, label_ends, lines
from harness.report.charts.selection import conditions, drawn_panels, measured, missing_notes, panels
from harness.report.charts.sheet import SMALL, Grid, lay_out, text_width
from harness.scaling import records

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from harness.objective import Objective
    from harness.report.charts.look import Look

PERCENTILES = {50.0: "p50_us", 90.0: "p90_us", 99.0: "p99_us", 99.9: "p999_us"}

LOADS = ("rate", "rate_percent")


def figure(cells: "DataFrame", title: str, capacities: "DataFrame | None" = None) -> "Figure | None":
    """Return the chart, or None where requests are due at one rate only.

    Args:
        cells: Those of one scenario, with the column `series`.
        title: Stands on top.
        capacities: What `harness.capacity.capacities` returned, if anything.
    """
    found = measured(cells, "p50_us")
    found = found[found["loop"] == "open"]
    if not any(load in found and found[load].nunique() > 1 for load in LOADS):
        return None
    found = found.drop(columns=[load for load in LOADS if load in found])
    objective = parse_objective(str(capacities["slo"].iloc[0])) if capacities is not None and len(capacities) else None
    percents = sorted({50.0, objective.percent if objective else 99.0})
    others = (*OTHER_AXES, "connections")
    chosen, left_out = drawn_panels(panels(found, others))
    styles = looks(zip(found["series"], found["backend"], strict=True))
    grid = Grid(
        rows=len(chosen),
        columns=len(percents),
        width=4.2,
        height=max(3.6, 0.2 * len(styles)),
        right=0.45 + max(map(text_width, styles)),
    )
    sheet, axes = lay_out(
        grid,
        title,
        f"Latency against the rate of requests · {conditions(found, others)}",
        key=[*_key(objective), *hollow_key(found, "so this is not what the backend can do")],
        notes=[LOOPS["open"], *left_out, *missing_notes(cells)],
    )
    for number, place in enumerate(axes):
        panel, percent = chosen[number // len(percents)], percents[number % len(percents)]
        for _, rows in panel.cells[panel.cells[PERCENTILES[percent]].notna()].groupby("series"):
            lines(place, rows, "offered_rps", PERCENTILES[percent], styles)  # each has rates of its own
        place.set_title(f"p{percent:g}, {panel.title}" if panel.title else f"p{percent:g}")
        place.set_xlabel("requests due per second")
        place.tick_params(labelleft=number % len(percents) == 0)
        if objective:  # each trial has a rate of its own: a line through them would show their noise
            for line in place.get_lines():
                line.set_linestyle("")
        if objective and percent == objective.percent and capacities is not None:
            _mark(place, panel.cells, capacities, objective, styles)
    for place in axes[:: len(percents)]:
        place.set_ylabel("latency (time, log; open loop)")
    count_axis(axes[0], "x")
    axes[0].set_xlim(0, axes[0].get_xlim()[1])
    duration_axis(axes[0], "y")
    for place in axes:
        label_ends(place, styles)
    return sheet


def _mark(
    place: "Axes", cells: "DataFrame", capacities: "DataFrame", objective: "Objective", styles: "dict[str, Look]"
) -> None:
    """Draw the limit, and on it the capacity of each series of a panel with its interval."""
    limit_us = objective.limit_s * 1e6
    place.axhline(limit_us, color=GREY, linewidth=1.2, linestyle=(0, (5, 3)), label="_objective")
    place.annotate(
        f"{duration(limit_us)}",
        (0, limit_us),
        (3, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        fontsize=SMALL,
        color=GREY,
    )
    for series, rows in cells.groupby("series"):
        keys = [name for name in capacities.columns if name in rows.columns and name != "rate_rps"]
        same = capacities[(capacities[keys] == rows.iloc[0][keys]).all(axis=1)]
        for row in records(same[same["kind"] == "capacity"]):
            colour = styles[str(series)].colour
            place.hlines(limit_us, row["low_rps"], row["high_rps"], color=colour, linewidth=5, alpha=0.5)
            place.plot(
                row["rate_rps"],
                limit_us,
                marker="|",
                markersize=26,
                markeredgewidth=2.5,
                color=colour,
                label="_capacity",
                zorder=5,
            )


def _key(objective: "Objective | None") -> list["Artist"]:
    from matplotlib.lines import Line2D

    if objective is None:
        return []
    return [
        Line2D([], [], color=GREY, linestyle=(0, (5, 3)), label=objective.text),
        Line2D([], [], color=GREY, marker="|", markersize=14, linestyle="", label="capacity, with its 95% interval"),
    ]

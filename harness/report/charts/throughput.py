"""Throughput against connections."""

from typing import TYPE_CHECKING

from harness.report.charts.look import count, looks
from harness.report.charts.plots import (
    DIRECT_PANELS,
    best_first,
    count_axis,
    dots,
    hollow_key,
    interval_key,
    label_ends,
    lines,
    log_axis,
    rows_of,
    top_down,
)
from harness.report.charts.selection import conditions, drawn_panels, measured, missing_notes, panels
from harness.report.charts.sheet import Grid, lay_out, name_panel, remove_unused, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

OTHER_AXES = ("loop", "message_size", "pipeline_depth", "idle_connections")

BESIDE = " (at each step the backends stand side by side)"


def figure(cells: "DataFrame", title: str) -> "Figure | None":
    """Return the chart, or None where no cell has a throughput: lines, or rows if connections have one value only."""
    found = measured(cells, "throughput_rps")
    if found.empty:
        return None
    if found["connections"].nunique() > 1:
        return along(cells, found, title, "connections", OTHER_AXES, "Throughput against connections")
    return _by_backend(cells, found, title)


def along(
    cells: "DataFrame", found: "DataFrame", title: str, axis: str, other_axes: tuple[str, ...], subject: str
) -> "Figure":
    """Return throughput as lines along an axis of the load, with a panel for each combination of the others.

    Args:
        cells: All cells, for the notes on those that have no number.
        found: Those that have one.
        title: Stands on top.
        axis: Column of the horizontal axis.
        other_axes: Columns whose combinations have panels of their own.
        subject: What the chart shows, in words.
    """
    chosen, left_out = drawn_panels(panels(found, other_axes))
    styles = looks(zip(found["series"], found["backend"], strict=True))
    direct = len(chosen) <= DIRECT_PANELS
    columns = len(chosen) if direct else min(3, len(chosen))
    grid = Grid(
        rows=-(-len(chosen) // columns),
        columns=columns,
        width=5.4 if len(chosen) == 1 else 3.6,
        height=max(3.8 if len(chosen) <= columns else 2.8, 0.2 * len(styles) if direct else 0),
        right=0.45 + max(map(text_width, styles)) if direct else 0.3,
    )
    sheet, axes = lay_out(
        grid,
        title,
        f"{subject} · {conditions(found, other_axes)}",
        legend=None if direct else top_down(chosen[0], styles, axis, "throughput_rps"),
        key=[*interval_key(found, "throughput", BESIDE), *hollow_key(found, "so the number is a lower bound")],
        notes=[*left_out, *missing_notes(cells)],
    )
    for number, (panel, place) in enumerate(zip(chosen, axes, strict=False)):
        lines(place, panel.cells, axis, "throughput_rps", styles, interval="throughput")
        name_panel(place, panel.title)
        place.set_xlabel(axis.replace("_", " "))
        place.tick_params(labelleft=number % columns == 0)
    remove_unused(axes, len(chosen))
    log_axis(axes[0], "x", found[axis])
    count_axis(axes[0], "y")
    axes[0].set_ylim(0, axes[0].get_ylim()[1])
    for place in axes[: len(chosen) : columns]:
        place.set_ylabel("throughput (requests/s)")
    if direct:
        for place in axes:
            label_ends(place, styles)
    return sheet


def _by_backend(cells: "DataFrame", found: "DataFrame", title: str) -> "Figure":
    chosen, left_out = drawn_panels(panels(found, OTHER_AXES))
    styles = looks(zip(found["series"], found["backend"], strict=True))
    order = best_first(chosen, "throughput_rps", ascending=False)
    columns = min(3, len(chosen))
    grid = Grid(
        rows=-(-len(chosen) // columns),
        columns=columns,
        width=6.0 if columns == 1 else 3.2,
        height=0.5 + 0.27 * len(order),
        left=0.2 + max(text_width(name, 10) for name in order),
        right=0.55,
    )
    sheet, axes = lay_out(
        grid,
        title,
        f"Throughput · {conditions(found, (*OTHER_AXES, 'connections'))}",
        key=[*interval_key(found, "throughput"), *hollow_key(found, "so the number is a lower bound")],
        notes=[*left_out, *missing_notes(cells)],
    )
    for number, (panel, place) in enumerate(zip(chosen, axes, strict=False)):
        rows = rows_of(place, order, named=number % columns == 0)
        dots(place, panel.cells, "throughput_rps", rows, styles, "throughput", count)
        name_panel(place, panel.title)
        place.set_xlabel("throughput (requests/s)")
    remove_unused(axes, len(chosen))
    count_axis(axes[0], "x")
    axes[0].set_xlim(0, axes[0].get_xlim()[1])
    return sheet

"""The server's CPU time per request, in user mode and in the kernel."""

from typing import TYPE_CHECKING

from harness.report.charts.look import GREY, lighter, looks
from harness.report.charts.plots import best_first, count_axis, rows_of, say_missing
from harness.report.charts.selection import conditions, drawn_panels, measured, missing_notes, panels
from harness.report.charts.sheet import SMALL, Grid, lay_out, name_panel, remove_unused, text_width

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from pandas import DataFrame

AXES = ("loop", "message_size", "pipeline_depth", "idle_connections", "connections")


def figure(cells: "DataFrame", title: str) -> "Figure | None":
    """Return the chart, or None where no cell has a CPU time."""
    found = measured(cells, "cpu_us")
    if found.empty:
        return None
    chosen, left_out = drawn_panels(panels(found, AXES))
    styles = looks(zip(found["series"], found["backend"], strict=True))
    order = best_first(chosen, "cpu_us", ascending=True)
    levels = found["connections"].nunique()
    columns = min(4, levels if levels > 1 else len(chosen))
    grid = Grid(
        rows=-(-len(chosen) // columns),
        columns=columns,
        width=5.5 if columns == 1 else 2.8,
        height=0.5 + 0.25 * len(order),
        left=0.2 + max(text_width(name, 10) for name in order),
        right=0.5,
    )
    sheet, axes = lay_out(
        grid,
        title,
        f"Server CPU time per request · {conditions(found, AXES)}",
        key=_key(),
        notes=[*left_out, *missing_notes(cells)],
    )
    for number, (panel, place) in enumerate(zip(chosen, axes, strict=False)):
        rows = rows_of(place, order, named=number % columns == 0)
        say_missing(place, rows, panel.cells)
        for cell in panel.cells.to_dict("records"):
            name = str(cell["series"])
            colour, row = styles[name].colour, rows[name]
            place.barh(row, cell["user_us"], 0.62, color=colour)
            place.barh(row, cell["system_us"], 0.62, left=cell["user_us"], color=lighter(colour))
            text = f"{cell['cpu_us']:.1f} µs"
            place.annotate(text, (cell["cpu_us"], row), (5, 0), textcoords="offset points", va="center", fontsize=SMALL)
        name_panel(place, panel.title)
        place.set_xlabel("CPU time per request (µs)")
    remove_unused(axes, len(chosen))
    count_axis(axes[0], "x")
    axes[0].set_xlim(0, axes[0].get_xlim()[1] * 1.08)
    return sheet


def _key() -> list["Artist"]:
    from matplotlib.patches import Patch

    return [
        Patch(color=GREY, label="in user mode"),
        Patch(color=lighter(GREY), label="in the kernel"),
    ]

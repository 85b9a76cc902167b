"""A metric over several runs: a step a run, a line a backend, a panel a point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.report.charts.look import count, duration, looks, size
from harness.report.charts.plots import hollow_key, interval_key, label_ends, lines
from harness.report.charts.selection import conditions, drawn_panels, measured, panels
from harness.report.charts.sheet import Grid, lay_out, name_panel, remove_unused, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

AXES = ("scenario", "loop", "message_size", "pipeline_depth", "connections", "idle_connections")

TITLES = {
    "throughput_rps": "Throughput",
    "p99_us": "Latency (p99)",
    "cpu_us": "CPU per request",
    "rss_bytes": "Memory",
}

LABELS = {
    "throughput_rps": ("throughput (requests/s)", "throughput", count),
    "p99_us": ("p99 of the latency", "", duration),
    "cpu_us": ("server CPU per request", "cpu", duration),
    "rss_bytes": ("memory of the server", "rss", size),
}
"""Column -> label of its axis, beginning of the names of its interval's columns, and what writes its numbers."""

NOTE = "The runs were not interleaved: what changed on the machine between them is in these lines too."


def figure(cells: "DataFrame", column: str, names: Sequence[str]) -> "Figure | None":
    """Return the chart, or None where no cell has this number.

    Args:
        cells: Those of all runs, with the columns `series` and `step`.
        column: The metric's column.
        names: How the run of each step is called.
    """
    from matplotlib.ticker import FuncFormatter

    found = measured(cells, column)
    if found.empty:
        return None
    label, interval, text = LABELS[column]
    chosen, left_out = drawn_panels(panels(found, AXES, "step"))
    styles = looks(zip(found["series"], found["backend"], strict=True))
    columns = min(2, len(chosen))
    grid = Grid(
        rows=-(-len(chosen) // columns),
        columns=columns,
        width=max(4.0, 0.5 * len(names)),
        height=max(2.8, 0.2 * len(styles)),
        right=0.45 + max(map(text_width, styles)) + (0.85 if columns > 1 else 0),  # the next panel has its own scale
        below=1.3,
    )
    sheet, axes = lay_out(
        grid,
        f"{TITLES[column]} from run to run",
        conditions(found.drop(columns="step"), AXES[1:]),
        share_y=False,
        key=[*interval_key(found, interval), *hollow_key(found, "so the number is no more than a bound")]
        if interval
        else [],
        notes=[*left_out, NOTE],
    )
    for panel, place in zip(chosen, axes, strict=False):
        lines(place, panel.cells, "step", column, styles, interval=interval)
        name_panel(place, panel.title)
        place.set_ylabel(label)
        place.set_ylim(0, None)
        place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
        place.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
        place.set_xlim(-0.4, len(names) - 0.6)
        label_ends(place, styles)
    remove_unused(axes, len(chosen))
    return sheet

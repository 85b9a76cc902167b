"""The interactive charts as plotly's data: traces with every number from the cells, none computed here.

A scenario has *views*: one axis of its load runs through the chart, and each combination of the others is a panel to
choose. A chart has one or more *measures* (a latency chart has its percentiles). What depends on the reader's light or
dark screen, and the texts at the mouse, are put together in the page (`template/charts.js`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.report.charts.selection import measured
from harness.report.html.measures import CPU, MEMORY, PERCENTILES, THROUGHPUT, Measure
from harness.report.html.traces import AXIS_TITLES, LOADS, View, figure_of, views_of

if TYPE_CHECKING:
    from pandas import DataFrame

CLOSED_NOTE = (
    "Closed loop: a connection sends its next request only after the reply, so these latencies leave out the waiting "
    "that a stall would cause its users."
)
OPEN_NOTE = "Open loop: latency counts from when a request was due."
HOLLOW_NOTE = "Hollow: the generator was the bottleneck, so this is a lower bound (≥) of what the backend can do."
HOLLOW_LATENCY_NOTE = "Hollow: the generator was the bottleneck, so this latency includes its own."


def scenario_charts(cells: "DataFrame") -> dict[str, Any]:
    """Return the charts of one scenario as JSON data.

    Args:
        cells: Its rows of `Frames.cells`, with the column `series` (see `selection.named`); their index is what
            `customdata` of a trace refers to.

    Returns:
        `views`: each with its axis and the words of its panels; `charts`: each with `title`, `note`, `measures` (their
        labels), `first` (the number of the measure shown first), and `figures[measure][view][panel]` with `data` and
        `layout` for plotly. No charts if no cell has a number.
    """
    found = measured(cells, "throughput_rps")
    if found.empty:
        return {"views": [], "charts": []}
    views = views_of(found)
    loops = set(found["loop"])
    loop_notes = [note for loop, note in (("closed", CLOSED_NOTE), ("open", OPEN_NOTE)) if loop in loops]
    loop_words = " and ".join(f"{loop} loop" for loop in sorted(loops))
    percentiles = [each for each in PERCENTILES if found[each.column].notna().any()]
    bounded = bool(found["lower_bound"].any())
    first = max((number for number, each in enumerate(percentiles) if each.label in {"p50", "p99"}), default=0)
    charts = [_chart("Throughput", [THROUGHPUT], [HOLLOW_NOTE] if bounded else [], views)]
    notes = [*loop_notes, *([HOLLOW_LATENCY_NOTE] if bounded else [])]
    if percentiles:
        charts.append(_chart(f"Latency, {loop_words}", percentiles, notes, views, first))
    loaded = any(along[0].axis in LOADS for along in views)
    if percentiles and loaded:
        title = f"Latency against throughput reached, {loop_words}"
        charts.append(_chart(title, percentiles, notes, views, first, across="throughput_rps"))
    charts.append(_chart("CPU time per request", [CPU], [], views))
    charts.append(_chart("Memory", [MEMORY], [], views))
    return {
        "views": [
            {
                "axis": AXIS_TITLES.get(along[0].axis, along[0].axis.replace("_", " ")),
                "panels": [view.title for view in along],
            }
            for along in views
        ],
        "charts": charts,
    }


def _chart(
    title: str,
    measures: Sequence[Measure],
    notes: Sequence[str],
    views: Sequence[Sequence[View]],
    first: int = 0,
    across: str = "",
) -> dict[str, Any]:
    return {
        "title": title,
        "note": " ".join(notes),
        "measures": [measure.label for measure in measures],
        "columns": [measure.column for measure in measures],
        "first": first,
        "figures": [[[figure_of(view, measure, across) for view in along] for along in views] for measure in measures],
    }

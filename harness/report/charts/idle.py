"""The idle ladder: throughput of the active connections against the idle ones beside them."""

from typing import TYPE_CHECKING

from harness.report.charts.selection import measured
from harness.report.charts.throughput import along

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

OTHER_AXES = ("loop", "connections", "message_size", "pipeline_depth")


def figure(cells: "DataFrame", title: str) -> "Figure | None":
    """Return the chart, or None where idle connections have one value only."""
    found = measured(cells, "throughput_rps")
    if found["idle_connections"].nunique() < 2:
        return None
    subject = "Throughput of the active connections against idle ones"
    return along(cells, found, title, "idle_connections", OTHER_AXES, subject)

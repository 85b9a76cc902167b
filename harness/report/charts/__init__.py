"""Charts of a run's cells: which there are, and where they are written.

The cells come with every statistic computed (see `harness.report.frame`); nothing here computes one. `look` says what
a backend looks like and how numbers are written, `selection` chooses what is drawn, `sheet` lays a figure out, `plots`
draws points with names, and each other file is one chart.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report.charts import cpu, idle, latency, load, scaling, throughput
from harness.report.charts.look import drawing
from harness.report.charts.selection import LARGE, by_scenario
from harness.report.charts.sheet import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Draw = Callable[["DataFrame", str], "Figure | None"]

CHARTS: dict[str, Draw] = {
    "throughput": throughput.figure,
    "latency": latency.figure,
    "cpu-per-request": cpu.figure,
    "idle-ladder": idle.figure,
}
"""File name -> what draws it, or finds nothing to draw."""

MOST_PICTURES = 4
"""Charts of a run of more than `LARGE` cells: throughput of each scenario first. The interactive report has all."""


def draw_charts(
    cells: "DataFrame",
    out_dir: Path,
    title: str,
    growths: "DataFrame | None" = None,
    capacities: "DataFrame | None" = None,
) -> list[Path]:
    """Write every chart that the cells have data for, as PNG and SVG.

    Args:
        cells: What `harness.report.frame.cells` returns, one row a cell.
        out_dir: Folder to write to; made if it is missing. A run of several scenarios has its charts once a scenario,
            up to `MOST_PICTURES` if it is large.
        title: What stands above each chart.
        growths: What `harness.scaling.growths` returns for the cells; None leaves out the chart of it.
        capacities: What `harness.capacity.capacities` returns for their run: of a search for capacity, whose trials all
            have rates of their own, other charts than that of latency against the rate show the closed loop only.

    Returns:
        The files written, the PNG of a chart before its SVG; none where no cell has a number.

    Raises:
        OSError: The folder cannot be written.
    """
    written: list[Path] = []
    scenarios = list(by_scenario(cells, title))
    searched = capacities is not None and len(capacities) > 0
    charts = {name: _in_closed_loop(draw) if searched else draw for name, draw in CHARTS.items()}
    charts["latency-rate"] = lambda chosen, heading: load.figure(chosen, heading, capacities)
    if growths is not None:
        charts["scaling"] = lambda chosen, heading: scaling.figure(chosen, growths, heading)
    most = MOST_PICTURES if len(cells) > LARGE else len(scenarios) * len(charts)
    with drawing():
        for name, draw in charts.items():
            for prefix, heading, chosen in scenarios:
                figure = draw(chosen, heading) if most else None
                if figure is not None:
                    written += write(figure, out_dir, prefix + name)
                    most -= 1
    return written


def _in_closed_loop(draw: Draw) -> Draw:
    return lambda cells, title: draw(cells[cells["loop"] == "closed"].drop(columns="rate", errors="ignore"), title)

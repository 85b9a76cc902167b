"""How cost grows: what was measured along an axis of the load, and the function that was fitted to it."""

from typing import TYPE_CHECKING

import numpy as np

from harness.report.charts.look import Look, duration, looks, size
from harness.report.charts.plots import label_ends, log_axis
from harness.report.charts.selection import conditions, drawn_panels, measured, missing_notes, panels
from harness.report.charts.sheet import Grid, lay_out, text_width
from harness.scaling import MEASURES, NAMES, POINTS_NEEDED, UNKNOWN, axes_in_order, growth_of, observations, records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from harness.scaling import Growth

OTHERS = ("loop", "message_size", "pipeline_depth", "connections", "idle_connections")


def figure(cells: "DataFrame", growths: "DataFrame", title: str) -> "Figure | None":
    """Return the chart of the axis with most verdicts, or None where there is none: a column a measure.

    Args:
        cells: Those of one scenario, with the column `series`.
        growths: What `harness.scaling.growths` returned for them; rows of other scenarios do not matter.
        title: Stands on top.
    """
    found = measured(cells, "throughput_rps")
    growths = growths[growths["scenario"].isin(cells["scenario"])]
    axes_known = axes_in_order(growths)
    if found.empty or not axes_known:
        return None
    axis = axes_known[0]
    growths = growths[growths["axis"] == axis]
    known = growths[growths["model"] != UNKNOWN]
    measures = [measure for measure in MEASURES if measure in set(known["measure"])]
    others = tuple(name for name in OTHERS if name != axis)
    chosen, left_out = drawn_panels(panels(found, others, axis))
    styles = looks(zip(found["series"], found["backend"], strict=True))
    names = {f"{series}: {model}" for series in styles for model in set(known["model"])}
    grid = Grid(
        rows=len(chosen),
        columns=len(measures),
        width=3.3,
        height=max(3.4, 0.2 * len(styles)),
        left=0.95,
        right=1.0 + max(map(text_width, names)),
    )
    subject = axis.replace("_", " ")
    sheet, axes = lay_out(
        grid,
        title,
        f"How cost grows with {subject} · lines: fitted functions · {conditions(found, others)}",
        share_y=False,
        notes=[
            f"Bars: 95% confidence intervals. No line: fewer than {POINTS_NEEDED} values, or no function fits.",
            *left_out,
            *missing_notes(cells),
        ],
    )
    for number, place in enumerate(axes):
        panel, measure = chosen[number // len(measures)], measures[number % len(measures)]
        drawn = _draw(place, panel.cells, growths[growths["measure"] == measure], axis, measure, styles)
        place.set_title(f"{NAMES[measure]}, {panel.title}" if panel.title else NAMES[measure])
        place.set_xlabel(subject)
        _value_axis(place, measure)
        log_axis(place, "x", found[axis])
        label_ends(place, drawn)
    return sheet


def _draw(
    place: "Axes", cells: "DataFrame", growths: "DataFrame", axis: str, measure: str, styles: dict[str, Look]
) -> dict[str, Look]:
    """Draw points and functions of one measure; return the look of each line by its label."""
    drawn = {}
    for series, rows in cells.groupby("series"):
        look = styles[str(series)]
        seen = observations(rows, axis, measure)
        for each in seen:
            place.vlines(each.at, each.low, each.high, color=look.colour, linewidth=1.2)
        place.plot(
            [each.at for each in seen],
            [each.value for each in seen],
            linestyle="",
            marker=look.marker,
            markersize=6,
            color=look.colour,
            label="_measured",
            zorder=3,
        )
        fitted = _of(growths, rows, axis)
        if fitted is not None and seen:
            n = _steps(min(each.at for each in seen), max(each.at for each in seen))
            if not np.isnan(fitted.at(n[0])):
                label = f"{series}: {fitted.model}"
                values = [fitted.at(each) for each in n]
                place.plot(n, values, color=look.colour, linestyle=look.line, linewidth=1.6, label=label)
                drawn[label] = look
    return drawn


def _of(growths: "DataFrame", cells: "DataFrame", axis: str) -> "Growth | None":
    """Return what was found of these cells of one series."""
    keys = [name for name in growths.columns if name in cells.columns and name != axis]
    rows = records(growths[(growths[keys] == cells.iloc[0][keys]).all(axis=1)])
    return growth_of(rows[0]) if rows else None


def _steps(first: float, last: float) -> list[float]:
    """Return values of the axis, close together wherever the scale shows them."""
    positive = first or 1.0
    return [*([0.0] if not first else []), *np.geomspace(positive, last, 200).tolist()]


def _value_axis(place: "Axes", measure: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    write = size if measure == "rss_bytes" else duration
    low, high = place.dataLim.intervaly
    middle, reach = (low * high) ** 0.5, max((high / low) ** 0.5 * 1.2, 3**0.5)  # what hardly rises must not look steep
    place.set_ylim(middle / reach, middle * reach)
    place.set_yscale("log")
    if measure == "rss_bytes":
        place.yaxis.set_major_locator(LogLocator(base=2))
    else:
        place.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    place.yaxis.set_minor_formatter(NullFormatter())
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))

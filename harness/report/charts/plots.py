"""Points with names and intervals: as lines over an axis, or as rows where there is no axis to go along."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.report.charts.look import GREY, Look, count, duration
from harness.report.charts.selection import Panel
from harness.report.charts.sheet import SMALL

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform
    from pandas import DataFrame

LABEL_GAP = 0.2
"""Inches from one direct label to the next."""

APART = 4.5
"""Points from one series' interval to the next at the same step."""

BREADTH = 30.0
"""Points that the intervals of one step take at most."""

DIRECT_PANELS = 2
"""Panels up to which lines are labelled at their ends; with more, one legend for all leaves them the room."""


def lines(axes: "Axes", cells: "DataFrame", x: str, y: str, looks: Mapping[str, Look], interval: str = "") -> None:
    """Draw a line a series through its points; a point that is missing is a gap, not a bridge.

    With intervals, the series stand side by side at each step, so that no interval hides another.

    Args:
        axes: Where to draw.
        cells: Rows with the columns `series`, `lower_bound` and those named.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        looks: Look of each series.
        interval: Beginning of the names of the columns with the interval's ends (`_low`, `_high`), or empty.
    """
    steps = sorted(cells[x].unique())
    names = sorted(set(cells["series"].astype(str)))
    breadth = min(BREADTH, 0.45 * _width(axes) / max(1, len(steps)))
    apart = min(APART, breadth / max(1, len(names) - 1)) if interval else 0.0
    for name, rows in cells.sort_values(x).groupby("series"):
        look = looks[str(name)]
        place = _beside(axes, apart * (names.index(str(name)) - (len(names) - 1) / 2))
        found = dict(zip(rows[x], rows[y], strict=True))
        [line] = axes.plot(
            steps,
            [found.get(step, math.nan) for step in steps],
            color=look.colour,
            linestyle=look.line,
            linewidth=1.8,
            label=str(name),
        )
        drawn: list[Artist] = [line, *_points(axes, rows, x, y, look)]
        if interval:
            low, high = rows[f"{interval}_low"], rows[f"{interval}_high"]
            drawn.append(axes.vlines(rows[x], low, high, color=look.colour, linewidth=1.2))
        for artist in drawn:
            artist.set_transform(place)  # only now, because the limits of the axes are those of the data


def _width(axes: "Axes") -> float:
    """Return the width of a panel in points."""
    return float(axes.get_position().width * axes.get_figure().get_size_inches()[0] * 72)  # type: ignore[union-attr]


def _beside(axes: "Axes", points: float) -> "Transform":
    """Return the transformation of data that shifts what is drawn to the right by this many points."""
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(points / 72, 0, axes.get_figure().dpi_scale_trans)  # type: ignore[union-attr]


def _points(axes: "Axes", rows: "DataFrame", x: str, y: str, look: Look) -> "list[Artist]":
    """Draw the markers, hollow where the number is a lower bound only, and return them."""
    drawn: list[Artist] = []
    for bound in (False, True):
        chosen = rows[rows["lower_bound"] == bound]
        if not chosen.empty:
            drawn += axes.plot(
                chosen[x],
                chosen[y],
                linestyle="",
                marker=look.marker,
                markersize=7,
                markeredgewidth=1.5,
                markeredgecolor=look.colour,
                markerfacecolor="white" if bound else look.colour,
                label=HOLLOW if bound else "_measured",
                zorder=3,
            )
    return drawn


HOLLOW = "_lower bound"


def hollow_key(cells: "DataFrame", meaning: str) -> list["Artist"]:
    """Return the legend handle of hollow markers with what they mean for the number, if the cells have any."""
    from matplotlib.lines import Line2D

    if not cells["lower_bound"].any():
        return []
    label = f"hollow: the generator was the bottleneck, {meaning}"
    style: dict[str, Any] = {"marker": "o", "linestyle": "", "markeredgecolor": GREY, "markerfacecolor": "white"}
    return [Line2D([], [], markeredgewidth=1.5, markersize=7, label=label, **style)]


def label_ends(axes: "Axes", looks: Mapping[str, Look]) -> None:
    """Write each series' name right of the panel, at the height of its last point or as near as the others allow.

    To be called when the scales are final.
    """
    import numpy as np

    x_limits, y_limits = axes.get_xlim(), axes.get_ylim()
    height = axes.get_position().height * axes.get_figure().get_size_inches()[1]  # type: ignore[union-attr]
    ends = []
    for line in axes.get_lines():
        points: list[tuple[float, float]] = np.column_stack(line.get_data()).tolist()
        drawn = [point for point in points if not math.isnan(point[1])]
        if str(line.get_label()) in looks and drawn:
            inside = axes.transAxes.inverted().transform(axes.transData.transform(drawn[-1]))
            ends.append((float(inside[1]), str(line.get_label()), drawn[-1], line.get_transform()))
    ends.sort()
    furthest = max((end[2][0] for end in ends), default=0)
    places = spread([end[0] for end in ends], LABEL_GAP / height)
    for (_, name, point, where), place in zip(ends, places, strict=True):
        axes.annotate(
            name,
            xy=point,
            xycoords=where,
            xytext=(1.04, place),
            textcoords="axes fraction",
            va="center",
            color=looks[name].colour,
            fontsize=SMALL,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": looks[name].colour,
                "linewidth": 0.7,
                "linestyle": "-" if point[0] == furthest else (0, (1, 3)),  # no line that could be taken for data
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "patchA": None,  # it begins beside the text: to cut it off at the text's box would take the longest
            },
        )
    axes.set_xlim(x_limits)
    axes.set_ylim(y_limits)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places for labels, in the given ascending order, at least a gap apart and near to where they are wanted.

    Labels that crowd share their displacement: least squares by pooling adjacent violators (Barlow et al., 1972). All
    stay within 0 to 1 if they fit at all.
    """
    pools: list[list[float]] = []
    for number, place in enumerate(wanted):
        pools.append([place - number * gap])
        while len(pools) > 1 and _middle(pools[-2]) > _middle(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    level = [_middle(pool) for pool in pools for _ in pool]
    highest = max(0.0, 1 - gap * (len(wanted) - 1))
    return [min(max(place, 0.0), highest) + number * gap for number, place in enumerate(level)]


def _middle(pool: Sequence[float]) -> float:
    return sum(pool) / len(pool)


def rows_of(axes: "Axes", order: Sequence[str], *, named: bool) -> dict[str, int]:
    """Give each series a row, the first on top, named at the left; return the rows."""
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_yticks(range(len(order)), order, color="black")
    axes.tick_params(axis="y", length=0, labelleft=named)
    axes.grid(visible=False, axis="y")
    return {name: row for row, name in enumerate(order)}


def dots(
    axes: "Axes",
    cells: "DataFrame",
    value: str,
    rows: Mapping[str, int],
    looks: Mapping[str, Look],
    interval: str,
    write: Callable[[float], str],
) -> None:
    """Draw a point a series in its row, with its interval and its number.

    Args:
        axes: Where to draw.
        cells: Rows with the columns `series`, `lower_bound` and those named.
        value: Column of the horizontal axis.
        rows: Row of each series.
        looks: Look of each series.
        interval: Beginning of the names of the columns with the interval's ends (`_low`, `_high`).
        write: Makes the text of a number.
    """
    placed = cells.assign(row=[rows[name] for name in cells["series"]])
    for name, chosen in placed.groupby("series"):
        look = looks[str(name)]
        axes.hlines(chosen["row"], 0, chosen[value], color=look.colour, linewidth=1, alpha=0.35)
        axes.hlines(
            chosen["row"], chosen[f"{interval}_low"], chosen[f"{interval}_high"], color=look.colour, linewidth=3
        )
        _points(axes, chosen, value, "row", look)
    say_missing(axes, rows, cells)
    for row in placed.to_dict("records"):
        furthest = max(end for end in (row[value], row[f"{interval}_high"]) if not math.isnan(end))
        text = ("≥ " if row["lower_bound"] else "") + write(row[value])
        axes.annotate(text, (furthest, row["row"]), (9, 0), textcoords="offset points", va="center", fontsize=SMALL)


def say_missing(axes: "Axes", rows: Mapping[str, int], cells: "DataFrame") -> None:
    """Say in the rows of those series that have no point here that it is missing, not 0."""
    for name in rows.keys() - set(cells["series"]):
        style: dict[str, Any] = {"va": "center", "color": GREY, "fontsize": SMALL, "fontstyle": "italic"}
        axes.text(0.02, rows[name], "not shown", transform=axes.get_yaxis_transform(), **style)


def interval_key(cells: "DataFrame", interval: str, remark: str = "") -> list["Artist"]:
    """Return the legend handle of the bars through points with what there is to remark, if any cell has an interval."""
    from matplotlib.lines import Line2D

    if not cells[f"{interval}_low"].notna().any():
        return []
    label = f"95% confidence interval of the median{remark}"
    return [Line2D([], [], color=GREY, marker="|", markersize=11, linestyle="", label=label)]


def best_first(chosen: Sequence[Panel], column: str, *, ascending: bool) -> list[str]:
    """Return the names of all series, the best of the first panel on top; those missing there follow by the next."""
    ordered = [panel.cells.sort_values([column, "series"], ascending=[ascending, True])["series"] for panel in chosen]
    return list(dict.fromkeys(name for names in ordered for name in names))


def top_down(panel: Panel, looks: Mapping[str, Look], x: str, y: str) -> dict[str, Look]:
    """Return the looks in the order in which a panel's lines end, from the top; those that end early come last."""
    ordered = panel.cells.sort_values([x, y], ascending=False)["series"]
    return {name: looks[name] for name in dict.fromkeys([*ordered, *looks])}


def count_axis(axes: "Axes", which: str) -> None:
    """Write an axis's numbers shortly (10k), from 0 on."""
    from matplotlib.ticker import FuncFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))


def log_axis(axes: "Axes", which: str, values: Iterable[float]) -> None:
    """Make an axis logarithmic with a tick at each of these values that has room; from 0 on if 0 is among them."""
    import numpy as np
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    steps = sorted(set(values))
    positive = [step for step in steps if step > 0]
    if steps[0] == 0:
        # Linear up to the first step and logarithmic from there: 0 has a place, beside the others.
        scale: dict[str, Any] = {"value": "symlog", "linthresh": positive[0] if positive else 1, "linscale": 0.6}
    else:
        scale = {"value": "log"}
    (axes.set_xscale if which == "x" else axes.set_yscale)(**scale)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(_with_room(steps)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    if which == "x":
        scaled = axis.get_transform()
        low, high = scaled.transform(np.array([steps[0], steps[-1]], float))
        margin = (BREADTH / 2 + 6) / _width(axes)  # so that no marker is cut in two
        pad = (high - low) * margin / (1 - 2 * margin) or 0.1
        axes.set_xlim(*scaled.inverted().transform(np.array([low - pad, high + pad])))


def _with_room(steps: Sequence[float]) -> list[float]:
    """Leave out values whose labels would touch those before, keeping the last."""
    kept: list[float] = []
    span = math.log10(steps[-1] / next((step for step in steps if step > 0), 1)) if steps[-1] > 0 else 0.0
    for step in reversed(steps):
        if not kept or step == 0 or kept[-1] / step > 10 ** (span / 9):
            kept.append(step)
    return kept[::-1]


def duration_axis(axes: "Axes", which: str) -> None:
    """Make an axis of microseconds logarithmic, with times and their units at its ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    wide = high / low > (20 if which == "x" else 300)  # labels side by side need more room than those in a column
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10))) if wide else NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))

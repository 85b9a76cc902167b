"""How the HTML report writes numbers, points and verdicts, and makes names harmless where plotly reads markup."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.compare import Ratio
from harness.report.charts.look import duration, size
from harness.report.charts.selection import conditions, named_value, own_axes

if TYPE_CHECKING:
    from pandas import DataFrame

NOTHING = "\u2013"
"""Stands where there is no number."""

CONDITIONS = ("loop", "message_size", "pipeline_depth", "connections", "idle_connections")
"""Columns that tell the points of a scenario apart, beside its own axes."""


def known(value: Any) -> bool:  # noqa: ANN401 - whatever a cell of a table holds
    """Whether there is a number."""
    return isinstance(value, int | float) and math.isfinite(value)


def count_text(value: float) -> str:
    """Write a count or a rate in full: 85,312; small ones with a decimal."""
    if not known(value):
        return NOTHING
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def time_text(microseconds: float) -> str:
    """Write a time with its unit."""
    return duration(microseconds) if known(microseconds) else NOTHING


def size_text(count_of_bytes: float) -> str:
    """Write an amount of memory with its unit."""
    return ("-" if count_of_bytes < 0 else "") + size(abs(count_of_bytes)) if known(count_of_bytes) else NOTHING


def rate_text(cell: Mapping[str, Any]) -> str:
    """Write a cell's throughput, as a lower bound where the generator held it up."""
    bound = "≥ " if cell["lower_bound"] else ""
    return bound + count_text(cell["throughput_rps"]) if known(cell["throughput_rps"]) else NOTHING


def ratio_text(found: Ratio) -> str:
    """Write a ratio as a bound where it is one: 0.87, ≥ 1.2, ± 1.0 where it says nothing of the backends."""
    if not known(found.median):
        return NOTHING
    bound = "± " if found.at_least and found.at_most else "≥ " if found.at_least else "≤ " if found.at_most else ""
    return bound + factor_text(found.median)


def factor_text(value: float) -> str:
    """Write a factor, so precisely that one beside 1 does not look like 1."""
    text = f"{value:.2f}"
    return f"{value:.3f}" if text == "1.00" and value != 1 else text


def share_text(value: float, digits: int = 0) -> str:
    """Write a share or an excess: 12%, from 100% on as a factor."""
    return f"{value:.{digits}%}" if value < 1 else f"{value + 1:.1f}\u00d7"


def records(table: "DataFrame") -> list[dict[str, Any]]:
    """Return the rows of a table by the names of its columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def point_axes(cells: "DataFrame") -> list[str]:
    """Return the columns that tell the points of these cells of one scenario apart."""
    axes = dict.fromkeys((*CONDITIONS, *own_axes(cells)))
    return [axis for axis in axes if cells[cells["refusal"] == ""][axis].nunique() > 1]


def point_words(point: Mapping[str, Any], axes: list[str]) -> str:
    """Return the words for a point: the values of these axes."""
    return ", ".join(named_value(axis, point[axis]) for axis in axes)


def conditions_words(cells: "DataFrame") -> str:
    """Return the words for what the measured cells of one scenario have in common."""
    measured = cells[cells["refusal"] == ""]
    return conditions(measured, CONDITIONS) if len(measured) else ""


def plotly_text(text: str) -> str:
    """Return a text in which plotly sees no tag and no entity (it knows b, i, br, a, span, sub, sup and &lt;)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""What of the cells a chart shows: which rows, as which series, in which panels; and what is said about the rest."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.record import TRANSPORT_WORDS
from harness.report.charts.look import count, duration, size

if TYPE_CHECKING:
    from pandas import DataFrame

AXES: dict[str, Callable[[Any], str]] = {
    "loop": lambda value: f"{value} loop",
    "message_size": lambda value: f"{size(value)} messages",
    "pipeline_depth": lambda value: f"pipeline depth {value}",
    "connections": lambda value: f"{count(value)} connection{'' if value == 1 else 's'}",
    "idle_connections": lambda value: f"{count(value)} idle",
    "rate": lambda value: f"{count(value)} requests/s due",
    "rate_percent": lambda value: f"{value}% of capacity due",
    "requests_per_connection": lambda value: (
        f"{count(value)} request{'' if value == 1 else 's'} a connection" if value else "lasting connections"
    ),
    "slow_connections": lambda value: f"{count(value)} slow readers",
    "reply_delay_us": lambda value: f"replies {duration(value)} late",
    "cpu_work_us": lambda value: f"{duration(value)} of work",
    "transport": lambda value: f"over {TRANSPORT_WORDS.get(value, value)}",
}
"""Column -> how one of its values is named."""

NOTED_REASONS = 4
"""Reasons for missing numbers that are named below a chart; the table has them all."""


LARGE = 500
"""Cells from which on a report would take long to draw them all (matplotlib needs 2 ms for each, in each format)."""

MOST_CELLS = 125
"""Cells that a chart draws where there are more than `LARGE`, unless a single panel has more."""


@dataclass(frozen=True)
class Panel:
    """What one pair of axes shows.

    Attributes:
        title: What sets it apart from the other panels; empty if it is alone.
        cells: Its rows.
    """

    title: str
    cells: "DataFrame"


def own_axes(cells: "DataFrame") -> list[str]:
    """Return the columns of axes that only this scenario has."""
    from harness.report.frame import CELL_COLUMNS

    return [str(column) for column in cells.columns if column not in CELL_COLUMNS and column != "series"]


def named_value(axis: str, value: Any) -> str:  # noqa: ANN401 - whatever an axis holds
    """Return the words for one value of an axis."""
    return AXES[axis](value) if axis in AXES else f"{axis.replace('_', ' ')} {value}"


def by_scenario(cells: "DataFrame", title: str) -> Iterator[tuple[str, str, "DataFrame"]]:
    """Yield (prefix of file names, title, cells) of each scenario; a lone one needs no prefix."""
    names = list(dict.fromkeys(cells["scenario"]))
    for name in names:
        prefix = "" if len(names) == 1 else re.sub(r"[^\w.-]+", "-", name).strip(".-") + "-"
        yield prefix, title if len(names) == 1 else f"{title}: {name}", named(cells[cells["scenario"] == name])


def named(cells: "DataFrame") -> "DataFrame":
    """Return the cells with a column `series`: the backend, and what else tells two of its cells apart."""
    series = cells["backend"].astype(str)
    interpreter = cells["interpreter"].fillna("").astype(str)
    several = interpreter.where(interpreter != "").groupby(series).transform("nunique") > 1
    series = series.where(~several, series + " · " + interpreter)
    portable = cells["engine"] == "portable"
    if portable.any() and not portable[cells["refusal"] == ""].all():
        series = series.where(~portable, series + " (portable generator)")
    return cells.assign(series=series)


def measured(cells: "DataFrame", column: str) -> "DataFrame":
    """Return the rows that have a number in this column, of cells that did not fail on the way."""
    return cells[(cells["refusal"] == "") & cells[column].notna()]


def panels(cells: "DataFrame", columns: Sequence[str], along: str = "") -> list[Panel]:
    """Return one panel for each combination of columns, in ascending order, titled by those that vary.

    Args:
        cells: What is shown.
        columns: Axes of the load; those that only this scenario has are added.
        along: The axis that runs through each panel.
    """
    axes = [column for column in dict.fromkeys((*columns, *own_axes(cells))) if column != along]
    varying = [column for column in axes if cells[column].nunique() > 1]
    if not varying:
        return [Panel("", cells)]
    return [
        Panel(", ".join(named_value(column, value) for column, value in zip(varying, key, strict=True)), rows)
        for key, rows in cells.groupby(varying)
    ]


def drawn_panels(chosen: Sequence[Panel]) -> tuple[list[Panel], list[str]]:
    """Return as many panels as a chart has room for, from the first to the last, and a note if some are left out."""
    if sum(len(panel.cells) for panel in chosen) <= LARGE:
        return list(chosen), []
    most = max(1, MOST_CELLS // max(len(panel.cells) for panel in chosen))
    if len(chosen) <= most:
        return list(chosen), []
    kept = [chosen[number * (len(chosen) - 1) // max(1, most - 1)] for number in range(most)]
    return kept, [f"Drawn: {most} of {len(chosen)} combinations; report.html and cells.csv have all."]


def fixed_axes(cells: "DataFrame", columns: Sequence[str]) -> str:
    """Return the words for those of these columns that have one value, leaving out what is nothing special."""
    ordinary = {"pipeline_depth": 1, "idle_connections": 0, "rate": 0}
    values = {column: cells[column].unique() for column in (*columns, *own_axes(cells))}
    return ", ".join(
        named_value(column, found[0])
        for column, found in values.items()
        if len(found) == 1 and found[0] != ordinary.get(column)
    )


def conditions(cells: "DataFrame", columns: Sequence[str]) -> str:
    """Return the words for what all cells have in common: exchange, load, and generator."""
    words = [" and ".join(sorted(set(cells["exchange"].astype(str)))), fixed_axes(cells, columns)]
    if set(cells["engine"]) == {"portable"}:
        words.append("portable generator")
    return ", ".join(word for word in words if word)


def missing_notes(cells: "DataFrame") -> list[str]:
    """Return a line for each reason why cells have no number, naming them: the most frequent first."""
    refused = cells[cells["refusal"] != ""]
    reasons = refused["refusal"].astype(str).str.split().str.join(" ")
    notes = []
    for reason in reasons.value_counts().index[:NOTED_REASONS]:
        names: dict[str, list[str]] = {}
        for name, rows in refused[reasons == reason].groupby("series"):
            names.setdefault(_where(rows, cells), []).append(str(name))
        places = "; ".join(", ".join(them) + where for where, them in names.items())
        notes.append(f"Not shown: {places}: {reason}")
    if reasons.nunique() > NOTED_REASONS:
        notes.append(f"… and {reasons.nunique() - NOTED_REASONS} more reasons in the table.")
    return notes


def _where(rows: "DataFrame", cells: "DataFrame") -> str:
    """Return the words for the points of these rows of one series, leaving out the axes that do not matter."""
    points = 1
    words = []
    for axis in ("message_size", "pipeline_depth", "connections", "idle_connections", *own_axes(cells)):
        values = sorted(rows[axis].unique())
        points *= len(values)
        if len(values) < cells[axis].nunique():
            words.append(" and ".join(named_value(axis, value) for value in values))
    if points != len(rows):
        return f" ({len(rows)} points)"
    return f" ({', '.join(words)})" if words else ""

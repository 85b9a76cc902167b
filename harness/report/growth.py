"""How cost grows, in words and tables: what the terminal, Markdown and the HTML page show alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.charts.look import count, duration, size
from harness.report.charts.selection import named_value
from harness.scaling import (
    CONSTANT,
    INVERSE,
    IRREGULAR,
    LINEAR,
    LINEARITHMIC,
    LOGARITHMIC,
    MEASURES,
    NAMES,
    POINTS_NEEDED,
    QUADRATIC,
    UNKNOWN,
    Growth,
    growth_of,
    records,
)

if TYPE_CHECKING:
    from pandas import DataFrame

DOES = {
    LINEAR: "grows linearly",
    LOGARITHMIC: "grows logarithmically",
    LINEARITHMIC: "grows as n log n",
    QUADRATIC: "grows quadratically",
    INVERSE: "falls",
    CONSTANT: "stays constant",
    IRREGULAR: "follows none of the functions",
}
"""Model -> what the cost does; what grows is said first."""

TERMS = {LINEAR: "n", LOGARITHMIC: "log₂(1+n)", LINEARITHMIC: "n log₂(1+n)", QUADRATIC: "n²", INVERSE: "1/n"}

NAMED = 6
"""Backends named in one breath; of more, the number is given."""

LEGEND = (
    "fitted: a + b·g(n), neither below 0, by least squares of relative errors; R²: share of the variance explained; "
    "\u00d7: from the first to the last value of the axis; ±: furthest from the constant; or: cannot be ruled out; "
    "time per request: 1 over the throughput of a closed loop"
)


@dataclass(frozen=True, slots=True)
class GrowthTable:
    """How costs grow along one axis of one scenario.

    Attributes:
        title: Heads it.
        sentences: What it shows, where it shows one point only.
        columns: Heads of the columns.
        rows: The texts of a row each: the point where there are several, the backend, and each measure.
        formulas: The same with the fitted functions.
    """

    title: str
    sentences: list[str]
    columns: list[str]
    rows: list[list[str]]
    formulas: list[list[str]]


def growth_tables(growths: "DataFrame") -> list[GrowthTable]:
    """Return a table for each axis of each scenario; one in which everything has too few points has no rows.

    Args:
        growths: What `harness.scaling.growths` returned.
    """
    return [
        _table(str(scenario), str(axis), rows)
        for (scenario, axis), rows in growths.groupby(["scenario", "axis"], sort=False)
    ]


def _table(scenario: str, axis: str, rows: "DataFrame") -> GrowthTable:
    ends = f"{named_end(axis, rows['first'].min())} to {named_end(axis, rows['last'].max())}"
    title = f"{scenario}: how cost grows with {axis.replace('_', ' ')} ({ends})"
    if (rows["model"] == UNKNOWN).all():
        return GrowthTable(title, [f"{too_few(int(rows['points'].max()))}"], [], [], [])
    points = point_columns(rows, axis)
    measures = [measure for measure in MEASURES if (rows["points"][rows["measure"] == measure] > 0).any()]
    texts: list[list[str]] = []
    formulas: list[list[str]] = []
    for key, group in rows.groupby([*points, "backend"], sort=True):
        *place, backend = key if isinstance(key, tuple) else (key,)
        words = ", ".join(named_value(name, value) for name, value in zip(points, place, strict=True))
        head = [*([words] if points else []), str(backend)]
        found = {str(row["measure"]): row for row in records(group)}
        texts.append(head + [short(found[measure]) for measure in measures])
        formulas.append(head + [with_formula(found[measure]) for measure in measures])
    columns = [*(["point"] if points else []), "backend", *(NAMES[measure] for measure in measures)]
    of_each = [rows[rows["measure"] == measure] for measure in measures]
    sentences = [] if points else [sentence(_heading(str(each["measure"].iloc[0])), axis, each) for each in of_each]
    return GrowthTable(title, [each for each in sentences if each], columns, texts, formulas)


def _heading(measure: str) -> str:
    name = NAMES[measure]
    return name[0].upper() + name[1:]


def point_columns(rows: "DataFrame", axis: str) -> list[str]:
    """Return the other axes that have several values."""
    known = {"scenario", "axis", "first", "last", "backend", "measure", *Growth.__slots__, axis}
    return [str(name) for name in rows.columns if name not in known and rows[name].nunique() > 1]


def sentence(subject: str, axis: str, rows: "DataFrame") -> str:
    """Return how one cost grows, with the backends of which each is true; empty if nothing is known.

    Args:
        subject: What the cost is called.
        axis: What it grows with.
        rows: Of `harness.scaling.growths`, one a backend; more columns do no harm.
    """
    clauses: list[str] = []
    along = f" with {axis.replace('_', ' ')}"
    for model, does in DOES.items():
        names = [str(name) for name in rows.loc[rows["model"] == model, "backend"]]
        if names:
            clauses.append(f"{does}{'' if clauses else along} for {_listed(names)}")
    return f"{subject} {'; '.join(clauses)}." if clauses else ""


def _listed(names: Sequence[str]) -> str:
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def short(row: Mapping[str, Any]) -> str:
    """Return a verdict, the factor over the whole axis, and its goodness."""
    found = growth_of(row)
    if found.model == UNKNOWN:
        return too_few(found.points)
    if found.model in {CONSTANT, IRREGULAR}:
        return f"{found.model} ±{found.deviation:.0%}"
    factor = found.at(row["last"]) / found.at(row["first"])
    rivals = f" (or {', '.join(found.rivals)})" if found.rivals else ""
    return f"{found.model} \u00d7{factor:.3g}, R² {found.r_squared:.3f}{rivals}"


def with_formula(row: Mapping[str, Any]) -> str:
    """Return the same with the fitted function."""
    function = formula(row)
    return f"{short(row)}: {function}" if function else short(row)


def formula(row: Mapping[str, Any]) -> str:
    """Return the fitted function in the unit of the measure: 21 µs + 1.9 ns·n; empty if there is none."""
    found = growth_of(row)
    write: Callable[[float], str] = size if row["measure"] == "rss_bytes" else time_text
    if found.model == CONSTANT:
        return write(found.intercept)
    if found.model not in TERMS:
        return ""
    added = f"{write(found.slope)}·{TERMS[found.model]}"
    return f"{write(found.intercept)} + {added}" if found.intercept else added


def time_text(microseconds: float) -> str:
    """Write a time that may be less than a nanosecond."""
    return duration(microseconds) if microseconds >= 1 else f"{microseconds * 1e3:.3g} ns"


def too_few(points: int) -> str:
    """Say that there is no verdict, and what one needs."""
    return f"too few points: {points} ({POINTS_NEEDED} needed)" if points else "-"


def named_end(axis: str, value: float) -> str:
    """Write one value of an axis without its name."""
    return size(value) if axis == "message_size" else count(value)

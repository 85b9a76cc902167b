"""How a cost grows along an axis of the load: which simple function describes it, and how well. Pure.

A cost of n connections (or bytes) is taken to be `a + b * g(n)`, with neither a nor b below 0: whatever n is, a system
call and a reply cost something (a), and g says how what n adds grows. The functions are fitted by least squares of the
relative errors (Lawson, Hanson: Solving Least Squares Problems, chapter 23: non-negative coefficients), because the
noise of a measurement grows with what is measured, and compared by Akaike's criterion. (On fitting complexities to
measurements: Goldsmith, Aiken, Wilkerson: Measuring Empirical Computational Complexity, FSE 2007.)

How much values scatter is known beforehand, from their rounds and from `BETWEEN_STARTS`, so the criterion is the sum of
squared errors in units of that noise, plus 2 a coefficient. Where even the best function misses the values by more than
the noise, the noise is taken to be larger by that factor (Burnham, Anderson: Model Selection and Multimodel Inference,
2nd edition, section 2.5: QAIC).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

POINTS_NEEDED = 4
"""Different values of the axis that a verdict needs: two coefficients, and two values that could contradict them."""

BETWEEN_STARTS = 0.03
"""Relative noise that rounds do not show: each value of an axis has a process of its own, at a time of its own."""

INEXACT = 0.05
"""Relative error by which real systems depart from any such function, as caches overflow and replies share wakeups:
noise in the comparison of growing functions, which would otherwise be told apart by such traits."""

UNSUPPORTED = 10.0
"""A function whose criterion is worse than the best one's by more has essentially no support (Burnham, Anderson, 2.6).
Growth is only claimed where a constant is that bad: of equal costs it is claimed in less than one case in a hundred.
Of the functions that are not that bad the simplest is taken, and the others are named."""

DESCRIBES = 0.8
"""Share of the variance (R2) that a growing function must explain to be called a description at all."""

MISSES = 4.0
"""Errors in units of the noise, root mean square, from which a constant is no description either."""

NORMAL_95 = 1.96

CONSTANT, LINEAR, LOGARITHMIC, LINEARITHMIC, QUADRATIC, INVERSE = (
    "constant",
    "linear",
    "logarithmic",
    "n log n",
    "quadratic",
    "falling",
)
IRREGULAR = "irregular"
"""What no function describes."""

UNKNOWN = "unknown"
"""What has too few points."""

TERMS: dict[str, Callable[[Array], Array]] = {
    LINEAR: lambda n: n,
    LOGARITHMIC: lambda n: np.log2(1 + n),
    LINEARITHMIC: lambda n: n * np.log2(1 + n),
    QUADRATIC: lambda n: n**2,
    INVERSE: lambda n: 1 / np.maximum(n, 1),
}
"""Model -> what is added to the constant, per unit of the slope; the simplest first. What falls is a fixed cost that
more connections share."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was measured at one value of the axis.

    Attributes:
        at: Value of the axis, at least 0.
        value: What was measured, in any unit.
        low: Lower end of its 95% confidence interval; NaN if there is none.
        high: Upper end.
    """

    at: float
    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def noise(self) -> float:
        """Return its relative standard error: from its interval, and from what differs between starts."""
        width = self.high - self.low
        own = width / (2 * NORMAL_95) / self.value if math.isfinite(width) else 0.0
        return math.hypot(own, BETWEEN_STARTS)


@dataclass(frozen=True, slots=True)
class Growth:
    """How a cost grows.

    Attributes:
        model: "constant", one of `TERMS`, "irregular" if none of them describes it, or "unknown" if there are too few
            points.
        intercept: The part that does not depend on n, in the unit of what was measured; NaN without a model.
        slope: What its term adds for each unit of it, likewise.
        r_squared: Share of the variance of the relative errors about the best constant that the model explains; 0 of a
            constant, NaN if unknown.
        deviation: Largest relative error of the model, or of the best that is none; NaN if unknown.
        points: Different values of the axis.
        rivals: Less simple models that could describe it too.
    """

    model: str
    intercept: float
    slope: float
    r_squared: float
    deviation: float
    points: int
    rivals: tuple[str, ...] = ()

    def at(self, n: float) -> float:
        """Return what the model says of this value of the axis; NaN if there is no model."""
        if self.model == CONSTANT:
            return self.intercept
        if self.model not in TERMS:
            return math.nan
        return self.intercept + self.slope * float(TERMS[self.model](np.array([n], float))[0])


@dataclass(frozen=True, slots=True)
class _Fit:
    model: str
    intercept: float
    slope: float
    errors: Array

    def chi_squared(self, noise: Array) -> float:
        return float(((self.errors / noise) ** 2).sum())


def growth(observations: Sequence[Observation]) -> Growth:
    """Return which function describes these observations best.

    Args:
        observations: In any order; those that are not above 0 are left out.
    """
    known = [each for each in observations if math.isfinite(each.value) and each.value > 0]
    points = len({each.at for each in known})
    if points < POINTS_NEEDED:
        return Growth(UNKNOWN, math.nan, math.nan, math.nan, math.nan, points)
    n = np.array([each.at for each in known], float)
    values = np.array([each.value for each in known])
    noise = np.array([each.noise for each in known])
    constant = _fit(CONSTANT, np.ones((len(n), 1)), values, noise)
    growing = [_fit(model, np.column_stack([np.ones_like(n), term(n)]), values, noise) for model, term in TERMS.items()]
    chosen, *rivals = _supported(growing, np.hypot(noise, INEXACT))
    described = True
    best = min(each.chi_squared(noise) for each in growing)
    if (constant.chi_squared(noise) - best) / _excess(best, len(n)) - 2 <= UNSUPPORTED:
        chosen, rivals = constant, []
        described = constant.chi_squared(noise) <= MISSES**2 * len(n)
    r_squared = 0.0 if chosen is constant else 1 - float((chosen.errors**2).sum() / (constant.errors**2).sum())
    deviation = float(abs(chosen.errors).max())
    if not described or (chosen is not constant and r_squared < DESCRIBES):
        return Growth(IRREGULAR, math.nan, math.nan, r_squared, deviation, points)
    names = tuple(each.model for each in rivals)
    return Growth(chosen.model, chosen.intercept, chosen.slope, r_squared, deviation, points, names)


def _fit(model: str, terms: Array, values: Array, noise: Array) -> _Fit:
    """Return the non-negative coefficients of the terms that make the relative errors smallest."""
    from scipy.optimize import nnls

    unit = terms.max(axis=0)  # the solver needs columns of like size
    coefficients, _ = nnls(terms / unit / (values * noise)[:, None], 1 / noise)
    errors = terms / unit @ coefficients / values - 1
    found = [*(coefficients / unit), 0.0]
    return _Fit(model, float(found[0]), float(found[1]), errors)


def _supported(fits: Sequence[_Fit], noise: Array) -> list[_Fit]:
    """Return those that have support beside the best one, in their order."""
    best = min(each.chi_squared(noise) for each in fits)
    excess = _excess(best, len(noise))
    return [each for each in fits if (each.chi_squared(noise) - best) / excess <= UNSUPPORTED]


def _excess(best: float, points: int) -> float:
    """Return by how much the noise is larger than assumed, as a factor of its variance, if the best fit is right."""
    return max(1.0, best / (points - 2))


AXES = ("connections", "idle_connections", "message_size")
"""Axes of the load along which costs are looked at."""

MEASURES = ("cpu_us", "request_us", "rss_bytes")
"""What is looked at: CPU time of the server per request, time per request (of a closed loop: 1 over the throughput),
and resident memory of the server."""


NAMES = {"cpu_us": "CPU per request", "request_us": "time per request", "rss_bytes": "memory"}
"""What people call them."""


def growths(cells: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Return how every measure of every backend grows along every axis that has several values.

    Time per request is left out where the generator held the backend up, and in an open loop, whose rate is given.

    Args:
        cells: A row a cell, as in `harness.report.frame.Frames`.
        axes: Names of the columns that tell the points of a scenario apart.

    Returns:
        A row for each: `scenario`, `axis`, its `first` and `last` value, the other axes (missing: the one itself),
        `backend`, `measure`, and the fields of `Growth`, with `rivals` as one text.
    """
    measured = cells[(cells["refusal"] == "") & cells["throughput_rps"].notna()]
    rows = []
    for axis in AXES:
        others = [name for name in axes if name != axis]
        for _, scenario in measured.groupby("scenario", sort=False):
            if scenario[axis].nunique() < 2:
                continue
            for place, group in scenario.groupby(["scenario", *others, "backend"], sort=True):
                key = dict(zip(["scenario", *others, "backend"], place, strict=True))
                ends = {"first": group[axis].min(), "last": group[axis].max()}
                for measure in MEASURES:
                    found = growth(observations(group, axis, measure))
                    rows.append({**key, "axis": axis, **ends, "measure": measure, **_fields(found)})
    columns = ["scenario", "axis", "first", "last", *axes, "backend", "measure", *Growth.__slots__]
    table = pd.DataFrame(rows, columns=columns)
    numbers = [axis for axis in axes if axis in AXES]
    table[numbers] = table[numbers].astype("Int64")  # the axis itself has no value, the others keep whole ones
    return table


def observations(cells: pd.DataFrame, axis: str, measure: str) -> list[Observation]:
    """Return what the cells of one backend say of a measure along an axis."""
    names = {"cpu_us": "cpu", "rss_bytes": "rss"}
    if measure != "request_us":
        name = names[measure]
        columns = [axis, measure, f"{name}_low", f"{name}_high"]
        return [Observation(*map(float, row)) for row in cells[columns].itertuples(index=False)]
    usable = cells[(cells["loop"] == "closed") & ~cells["lower_bound"].astype(bool) & (cells["throughput_rps"] > 0)]
    return [
        Observation(float(at), 1e6 / rate, 1e6 / high, 1e6 / low if low else math.inf)
        for at, rate, low, high in usable[[axis, "throughput_rps", "throughput_low", "throughput_high"]].itertuples(
            index=False
        )
    ]


def _fields(found: Growth) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Growth.__slots__} | {"rivals": ", ".join(found.rivals)}


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table by the names of its columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def growth_of(row: Mapping[str, Any]) -> Growth:
    """Return what a row of `growths` says."""
    fields = {name: row[name] for name in Growth.__slots__}
    return Growth(**{**fields, "rivals": tuple(filter(None, str(fields["rivals"]).split(", ")))})


def axes_in_order(growths: pd.DataFrame) -> list[str]:
    """Return the axes of which something is known, those with the most verdicts first."""
    known = growths[growths["model"] != UNKNOWN]["axis"].value_counts()
    return sorted(known.index, key=lambda axis: (-known[axis], AXES.index(str(axis))))

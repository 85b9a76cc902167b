"""Backends against a baseline: the median of ratios paired within rounds, with its confidence interval. Pure.

Both trials of a pair ran within seconds of each other on the same machine, so what disturbed one mostly disturbed the
other, and their ratio is steadier than either.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness import stats

METRICS = {"throughput_rps": +1, "p50_us": -1, "p99_us": -1, "cpu_us": -1, "rss_bytes": -1}
"""Column of the trials' table -> whether more of it is better (+1) or worse (-1)."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A backend's value over the baseline's.

    Attributes:
        metric: Column of the trials' table.
        median: Median of the paired ratios; NaN if no round has both.
        low: Lower end of its confidence interval; NaN with fewer than `stats.ROUNDS_FOR_INTERVAL` pairs.
        high: Upper end.
        pairs: Rounds that have both.
        at_least: Whether the generator held the backend up, so that its throughput is a lower bound.
        at_most: Whether it held the baseline up, so that the ratio is an upper bound.
    """

    metric: str
    median: float
    low: float
    high: float
    pairs: int
    at_least: bool = False
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """Return better, worse, or undecided where the interval includes 1, or there is none, or a bound forbids it."""
        if math.isnan(self.low) or self.low <= 1 <= self.high:
            return "undecided"
        if self.at_most if self.low > 1 else self.at_least:
            return "undecided"
        return "better" if (self.low > 1) == (METRICS[self.metric] > 0) else "worse"


Trials = Mapping[str, NDArray[Any]]
"""One cell's trials as columns: `round`, `lower_bound`, and `METRICS`."""


def trials_by_cell(trials: pd.DataFrame, key: Sequence[str]) -> dict[tuple[Any, ...], Trials]:
    """Return the trials of each cell. Arrays, because pairing thousands of cells by pandas takes seconds.

    Args:
        trials: A row a trial, as in `harness.report.frame.Frames`.
        key: Columns that tell cells apart.
    """
    if not len(trials):
        return {}
    columns = {name: trials[name].to_numpy() for name in ("round", "lower_bound", *METRICS)}
    places: Mapping[Any, Any] = trials.groupby(list(key), sort=False).indices
    return {cell: {name: column[rows] for name, column in columns.items()} for cell, rows in places.items()}


def ratio(trials: Trials, baseline: Trials, metric: str) -> Ratio:
    """Return the ratio of one cell to another.

    Args:
        trials: Of the one cell.
        baseline: Of the other, at the same point.
        metric: One of `METRICS`.
    """
    base = dict(zip(baseline["round"], baseline[metric], strict=True))
    pairs = [
        (value, base[number]) for number, value in zip(trials["round"], trials[metric], strict=True) if number in base
    ]
    ratios = np.array([value / other for value, other in pairs if math.isfinite(value) and other > 0])
    if not len(ratios):
        return Ratio(metric, math.nan, math.nan, math.nan, 0)
    low, high = stats.median_interval(ratios)
    bounded = [metric == "throughput_rps" and bool(side["lower_bound"].any()) for side in (trials, baseline)]
    return Ratio(metric, float(np.median(ratios)), low, high, len(ratios), *bounded)


def ratios(trials: pd.DataFrame, cells: pd.DataFrame, axes: Sequence[str], baseline: str | None = None) -> pd.DataFrame:
    """Return the ratio of every cell that has trials to the baseline's at the same point, for each of `METRICS`.

    Args:
        trials: A row a trial, as in `harness.report.frame.Frames`.
        cells: A row a cell, likewise.
        axes: Names of the columns that tell the points of a scenario apart.
        baseline: Backend that the others are compared with; where it is None, or was not measured at a point, the
            fastest takes its place.

    Returns:
        A row a cell and metric: `scenario`, the axes, `backend`, `baseline`, the fields of `Ratio`, and `verdict`. The
        baseline has none itself.
    """
    point = ["scenario", *axes]
    rows = []
    measured = cells[cells["throughput_rps"].notna()]
    by_cell = trials_by_cell(trials, [*point, "backend"])
    for place, group in measured.groupby(point, sort=False):
        names = list(group.sort_values("throughput_rps", ascending=False)["backend"])
        chosen = baseline if baseline in names else names[0]
        for name in names:
            if name != chosen:
                sides = by_cell[*place, name], by_cell[*place, chosen]
                key = {**dict(zip(point, place, strict=True)), "backend": name, "baseline": chosen}
                found = (ratio(*sides, metric) for metric in METRICS)
                rows += [{**key, **_fields(each), "verdict": each.verdict} for each in found]
    columns = [*point, "backend", "baseline", *Ratio.__slots__, "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _fields(found: Ratio) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Ratio.__slots__}

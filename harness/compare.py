"""Backends against a baseline: the median of ratios paired within rounds, with its confidence interval. Pure.

Both trials of a pair ran within seconds of each other on the same machine, so what disturbed one mostly disturbed the
other, and their ratio is steadier than either.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness import stats

METRICS = {"throughput_rps": +1, "p50_us": -1, "p99_us": -1, "cpu_us": -1, "rss_bytes": -1}
"""Column of the trials' table -> whether more of it is better (+1) or worse (-1)."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A backend's value over the baseline's.

    Attributes:
        metric: Column of the trials' table.
        median: Median of the paired ratios; NaN if no round has both.
        low: Lower end of its confidence interval; NaN with fewer than three pairs.
        high: Upper end.
        pairs: Rounds that have both.
    """

    metric: str
    median: float
    low: float
    high: float
    pairs: int

    @property
    def verdict(self) -> str:
        """Return better, worse, or undecided where the interval includes 1 or there is none."""
        if math.isnan(self.low) or self.low <= 1 <= self.high:
            return "undecided"
        return "better" if (self.low > 1) == (METRICS[self.metric] > 0) else "worse"


def ratio(trials: pd.DataFrame, baseline: pd.DataFrame, metric: str) -> Ratio:
    """Return the ratio of one cell to another.

    Args:
        trials: Rows of the one cell in `harness.report.frame.Frames.trials`.
        baseline: Rows of the other, at the same point.
        metric: One of `METRICS`.
    """
    pairs = trials[["round", metric]].merge(baseline[["round", metric]], on="round", suffixes=("", "_base")).dropna()
    ratios = (pairs[metric] / pairs[f"{metric}_base"]).replace([np.inf, -np.inf], np.nan).dropna().to_numpy()
    if not len(ratios):
        return Ratio(metric, math.nan, math.nan, math.nan, 0)
    low, high = stats.median_interval(ratios)
    return Ratio(metric, float(np.median(ratios)), low, high, len(ratios))

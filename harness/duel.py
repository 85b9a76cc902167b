"""Which of two is better: the evidence of a duel, looked at until it is clear. Pure.

Two processes of the same program differ by a percent or two for as long as they live (where the loader put things,
which seed the hashes have), so trials of one pair of processes are not independent evidence of the program. A duel
therefore starts both sides afresh again and again. What counts is one value a start: the median of the ratios paired
within its rounds; and the interval is Student's, of the logarithms of these values. (Kalibera, Jones: Rigorous
Benchmarking in Reasonable Time, ISMM 2013, on repeating at the level that varies.) Rounds in which something else took
the CPU of either side count only where a start has no others: who was hit says nothing of the program.

Whoever looks at growing evidence again and again finds a winner by chance sooner or later. So the duel looks only after
the numbers of starts in `LOOKS`, and each look may err with a share of `ERROR` only (Bonferroni).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.compare import METRICS
from harness.record import Record
from harness.report.frame import tabulate
from harness.stopping import Enough

LOOKS = (5, 7, 10, 14, 20, 28)
"""Numbers of starts after which there may be an answer; the last one ends the duel."""

ERROR = 0.01
"""Probability that two that are alike are told apart in any look of a duel."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a duel has shown so far.

    Attributes:
        metric: Column of the trials' table.
        ratio: Value of the first over that of the second: geometric mean over the starts; NaN if there are none.
        low: Lower end of its interval; NaN before the first look.
        high: Upper end.
        starts: Fresh starts of both that the answer rests on.
        equal_within: Share within which two count as equal.
    """

    metric: str
    ratio: float
    low: float
    high: float
    starts: int
    equal_within: float

    @property
    def outcome(self) -> str:
        """Return what the first is: better, worse, equal or undecided."""
        if math.isnan(self.low):
            return "undecided"
        if self.low > 1 or self.high < 1:
            return "better" if (self.low > 1) == (METRICS[self.metric] > 0) else "worse"
        if 1 - self.equal_within <= self.low and self.high <= 1 + self.equal_within:
            return "equal"
        return "undecided"

    @property
    def final(self) -> bool:
        """Return whether this is what the last look gave: no more starts follow."""
        return self.starts == LOOKS[-1]


def start_ratios(trials: pd.DataFrame, first: str, second: str, metric: str, rounds_per_start: int) -> list[float]:
    """Return one ratio for each start: the median of those of its rounds, the undisturbed ones if there are any.

    Args:
        trials: A row a trial, as in `harness.report.frame.Frames`, of one point.
        first: Label of the one.
        second: Label of the other.
        metric: One of `harness.compare.METRICS`.
        rounds_per_start: Rounds between two starts.
    """
    wide = trials.pivot(index="round", columns="backend", values=metric)
    if first not in wide or second not in wide:
        return []
    ratios = (wide[first] / wide[second]).replace([np.inf, 0.0], np.nan).dropna()
    undisturbed = ratios[~trials.groupby("round")["disturbed"].any().reindex(ratios.index)]
    every, best = (each.groupby(each.index // rounds_per_start).median() for each in (ratios, undisturbed))
    return [float(each) for each in best.reindex(every.index).fillna(every)]


def judge(ratios: Sequence[float], metric: str, equal_within: float) -> Answer:
    """Return the answer that the ratios of the starts give at the last look they reach.

    Args:
        ratios: One for each start.
        metric: What was measured.
        equal_within: Share within which two count as equal.
    """
    from scipy.stats import t

    count = max((look for look in LOOKS if look <= len(ratios)), default=0)
    if not count:
        middle = math.exp(float(np.log(ratios).mean())) if ratios else math.nan
        return Answer(metric, middle, math.nan, math.nan, len(ratios), equal_within)
    logs = np.log(np.asarray(ratios[:count]))
    mean = float(logs.mean())
    reach = float(t.ppf(1 - ERROR / len(LOOKS) / 2, count - 1)) * float(logs.std(ddof=1)) / math.sqrt(count)
    return Answer(metric, math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), count, equal_within)


def answer(
    records: Sequence[Record], first: str, second: str, metric: str, rounds_per_start: int, equal_within: float
) -> Answer:
    """Return what these records of one point show; see `judge`."""
    trials = tabulate(records).trials
    return judge(start_ratios(trials, first, second, metric, rounds_per_start), metric, equal_within)


def clear(first: str, second: str, metric: str, rounds_per_start: int, equal_within: float) -> Enough:
    """Return a rule: enough once a look of the duel gives an answer."""

    def enough(records: Sequence[Record]) -> bool:
        last = max((record.round for record in records), default=-1) + 1
        starts, begun = divmod(last, rounds_per_start)
        if begun or starts not in LOOKS:
            return False
        found = answer(records, first, second, metric, rounds_per_start, equal_within)
        return starts == LOOKS[-1] or found.outcome != "undecided"

    return enough

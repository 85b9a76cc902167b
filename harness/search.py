"""The search for the highest rate that holds an objective, as rules alone: told outcomes, it says which rate is next.

A trial near the limit holds by chance, with a probability that falls from one to nothing as the rate grows. What is
sought is the rate at which half of the trials hold. Of that rate and of how steeply the probability falls, all that is
known is a distribution over a grid; each trial multiplies it by its likelihood, and the next trial is made where the
outcome is most uncertain. That is the method of psychophysics for thresholds of perception (Watson, Pelli: QUEST,
Perception & Psychophysics 33, 1983; Kontsevich, Tyler: Bayesian Adaptive Estimation of Psychometric Slope and
Threshold, Vision Research 39, 1999), and bisection by noisy answers (Horstein, IEEE Transactions on Information Theory
9, 1963). The interval is the central 95% of the distribution.
"""

import math
import random
from dataclasses import dataclass
from enum import Enum

import numpy as np

STEP = 0.0025
"""From one rate of the grid to the next, as a share."""

WIDTHS = tuple(np.geomspace(0.003, 0.15, 9).tolist())
"""Relative changes of the rate over which the odds of holding change by a factor of e."""

LAPSE = 0.02
"""Probability of an outcome that has nothing to do with the rate: another program, a pause."""

GUESS_SHARE = 0.8
"""Where the search begins, as a share of the throughput in a closed loop."""

GUESS_SPREAD = 0.3
"""Relative error of that guess: half of all capacities are taken to be within it. The distribution is Cauchy's, which
rules nothing out."""

TAIL = 0.025

QUARTERS = (0.25, 0.75)
"""Quantiles of the distribution between which the next rate is drawn, so that the slope is learnt too."""

FEWEST = 8
"""Trials that an answer needs at least, two of which must have held and two not."""

GENERATOR_TRIES = 3
"""Trials in a row that the generator spoils before its rate counts as out of reach."""

STEP_BACK = 0.8
"""Share of such a rate that is tried next."""


class Outcome(Enum):
    """What a trial says."""

    HELD = "held"
    MISSED = "missed"
    GENERATOR = "the generator was the bottleneck"
    DISTURBED = "disturbed"

    @property
    def counts(self) -> bool:
        """Whether it says something of the server."""
        return self in {Outcome.HELD, Outcome.MISSED}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is known of the capacity.

    Attributes:
        kind: "capacity"; "at least" where it held at the highest rate that could be tried; "below" where it did not
            hold at the lowest; "unknown" where no trial counts, or where the search ended before it was between two.
        rate_rps: The capacity, or that bound; NaN if unknown.
        low_rps: Lower end of its 95% interval; NaN without one.
        high_rps: Upper end.
        precise: Whether the interval is as narrow as was asked for, or the bound is certain.
    """

    kind: str
    rate_rps: float
    low_rps: float
    high_rps: float
    precise: bool


class CapacitySearch:
    """A search in progress."""

    def __init__(self, closed_rps: float, lowest_rps: float, highest_rps: float, precision: float, seed: int) -> None:
        """Begin.

        Args:
            closed_rps: Throughput in a closed loop, from which the guess is made.
            lowest_rps: Lowest rate that may be tried.
            highest_rps: Highest rate that may be tried.
            precision: Half of the interval's width, as a share of the rate, at which the search ends.
            seed: Of the choice of rates; what is known from outcomes does not depend on it.
        """
        self._precision = precision
        self._random = random.Random(seed)
        self._lowest, self._highest = math.log(lowest_rps), math.log(highest_rps)
        self._rates = np.arange(self._lowest - 0.7, self._highest + 0.7, STEP)
        distance = (self._rates - math.log(GUESS_SHARE * closed_rps)) / GUESS_SPREAD
        self._weights = np.repeat((1 / (1 + distance**2))[:, None], len(WIDTHS), axis=1)
        self._weights /= self._weights.sum()
        self._told: dict[Outcome, list[float]] = {outcome: [] for outcome in Outcome}
        self._spoilt: list[float] = []

    def tell(self, rate_rps: float, outcome: Outcome) -> None:
        """Take in what a trial at this rate has shown."""
        self._told[outcome].append(rate_rps)
        if outcome is Outcome.GENERATOR:
            self._spoilt.append(rate_rps)
            if len(self._spoilt) == GENERATOR_TRIES:
                self._highest = max(self._lowest, min(self._highest, math.log(STEP_BACK * min(self._spoilt))))
                self._spoilt = []
        if not outcome.counts:
            return
        self._spoilt = []
        distance = (self._rates[:, None] - math.log(rate_rps)) / np.array(WIDTHS)
        holds = LAPSE + (1 - 2 * LAPSE) / (1 + np.exp(-np.clip(distance, -50, 50)))
        self._weights *= holds if outcome is Outcome.HELD else 1 - holds
        self._weights /= self._weights.sum()

    def next_rate(self) -> float:
        """Return the rate at which the next trial says most, in requests per second."""
        bracketed = self._told[Outcome.HELD] and self._told[Outcome.MISSED]
        share = self._random.uniform(*QUARTERS) if bracketed else 0.5
        return math.exp(min(max(self._quantile(share), self._lowest), self._highest))

    @property
    def done(self) -> bool:
        """Whether the answer is as precise as it was to be."""
        return self.estimate().precise

    @property
    def reachable_rps(self) -> float:
        """Return the highest rate that can be tried, as far as is known."""
        return math.exp(self._highest)

    def estimate(self) -> Estimate:
        """Return what is known so far."""
        held, missed = self._told[Outcome.HELD], self._told[Outcome.MISSED]
        low, middle, high = (math.exp(self._quantile(share)) for share in (TAIL, 0.5, 1 - TAIL))
        if not held and not missed:
            return Estimate("unknown", math.nan, math.nan, math.nan, precise=False)
        # Beyond what can be tried, the distribution is the guess and no evidence.
        if held and middle >= math.exp(self._highest) * (1 - self._precision):
            certain = low >= math.exp(self._highest) * (1 - 2 * self._precision) and len(held) >= GENERATOR_TRIES
            return Estimate("at least", min(low, max(held)), math.nan, math.nan, precise=certain)
        if missed and middle <= math.exp(self._lowest) * (1 + self._precision):
            certain = high <= math.exp(self._lowest) * (1 + 2 * self._precision) and len(missed) >= GENERATOR_TRIES
            return Estimate("below", max(high, min(missed)), math.nan, math.nan, precise=certain)
        if not held or not missed:
            kind, bound = ("at least", max(held)) if held else ("below", min(missed))
            return Estimate(kind, bound, math.nan, math.nan, precise=False)
        enough = len(held) + len(missed) >= FEWEST and min(len(held), len(missed)) >= 2
        return Estimate("capacity", middle, low, high, enough and high - low <= 2 * self._precision * middle)

    def _quantile(self, share: float) -> float:
        """Return a quantile of the distribution of the capacity, as the logarithm of the rate."""
        up_to = np.cumsum(self._weights.sum(axis=1))
        return float(self._rates[min(int(np.searchsorted(up_to, share)), len(self._rates) - 1)])

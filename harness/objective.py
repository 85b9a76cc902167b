"""What a service promises, such as "p99 < 5ms and errors < 0.1%": read from text, and whether a trial kept it. Pure."""

import math
import re
from dataclasses import dataclass

from harness.loadgen.spec import TrialResult
from harness.stats import SAMPLES_BEYOND, decode, percentile_of_all_ns

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}

GRAMMAR = re.compile(
    r"\s*p(?P<percent>50|90|99|99\.9)\s*<\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|s)\s*"
    r"(?:\s+and\s+errors\s*<\s*(?P<errors>\d+(?:\.\d+)?)\s*%\s*)?"
)

SAMPLES_TWICE = 2
"""Times the samples that a percentile needs at least, so that a trial's own chance does not decide."""

LONGEST_TRIAL_S = 10.0
"""Length that a trial may have, in seconds."""


class ObjectiveError(Exception):
    """A text that is no objective, in one line with the way out."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What must hold.

    Attributes:
        percent: Which percentile of the latency, such as 99.
        limit_s: What it must stay below, in seconds.
        errors: Share of the due requests that may fail, exclusive; None: they may fail, but count as too late.
        text: The objective as it was written.
    """

    percent: float
    limit_s: float
    errors: float | None
    text: str

    @property
    def samples(self) -> int:
        """Return how many requests a trial needs."""
        needed = SAMPLES_TWICE * SAMPLES_BEYOND * 100 / (100 - self.percent)
        return math.ceil(max(needed, SAMPLES_TWICE / self.errors if self.errors else 0) - 1e-6)

    def trial_s(self, rate_rps: float, shortest_s: float) -> float:
        """Return how long a trial at this rate must be."""
        return max(shortest_s, self.samples / rate_rps)

    @property
    def lowest_rps(self) -> float:
        """Return the lowest rate at which a trial of `LONGEST_TRIAL_S` suffices."""
        return self.samples / LONGEST_TRIAL_S

    def latency_s(self, result: TrialResult) -> float:
        """Return the percentile in seconds, where requests that were never answered count as infinitely late.

        NaN if there were too few requests for it.
        """
        return percentile_of_all_ns(decode(result.latency), result.due, self.percent) / 1e9

    def holds(self, result: TrialResult) -> bool | None:
        """Return whether a trial kept the objective; None if it had too few requests to tell."""
        latency_s = self.latency_s(result)
        if math.isnan(latency_s):
            return None
        failed = sum(result.errors.values()) / result.due
        return latency_s < self.limit_s and (self.errors is None or failed < self.errors)


def parse_objective(text: str) -> Objective:
    """Return the objective that a text says.

    Raises:
        ObjectiveError: It says none.
    """
    match = GRAMMAR.fullmatch(text)
    if match is None:
        raise ObjectiveError(
            f"{text!r} is no objective: it must be p50, p90, p99 or p99.9, <, and a duration in us, ms or s, and may "
            "go on with a share of errors: 'p99 < 5ms' or 'p99.9 < 20ms and errors < 0.1%'"
        )
    limit_s = float(match["limit"]) * SECONDS[match["unit"]]
    errors = float(match["errors"]) / 100 if match["errors"] else None
    if not limit_s or errors == 0:
        raise ObjectiveError(f"{text!r} can never hold: nothing is below 0, so the limit must be above")
    return Objective(float(match["percent"]), limit_s, errors, text.strip())

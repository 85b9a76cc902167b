"""When enough rounds of a point are measured. Pure."""

import statistics
from collections.abc import Callable, Sequence

from harness import stats
from harness.record import Record

Enough = Callable[[Sequence[Record]], bool]
"""Says whether the records of a point suffice."""


def throughputs(records: Sequence[Record]) -> dict[str, dict[int, float]]:
    """Return requests per second by label and round, of all usable trials."""
    found: dict[str, dict[int, float]] = {}
    for record in records:
        if record.usable and record.result is not None:
            found.setdefault(record.label, {})[record.round] = record.result.replied / record.result.duration_s
    return found


def precise(precision: float, baseline: str | None) -> Enough:
    """Return a rule: enough once the interval of each ratio to the baseline is narrow.

    Args:
        precision: How far each end of an interval may be from its median, as a share of it.
        baseline: Label of the baseline; None, or one that is not there, takes the fastest.
    """

    def enough(records: Sequence[Record]) -> bool:
        measured = throughputs(records)
        medians = {label: statistics.median(rounds.values()) for label, rounds in measured.items()}
        if len(medians) < 2:
            return True
        chosen = baseline if baseline in medians else max(medians, key=lambda label: medians[label])
        base = measured[chosen]
        for label, rounds in measured.items():
            ratios = [rate / base[number] for number, rate in rounds.items() if base.get(number)]
            if label == chosen or not ratios or medians[label] == 0:
                continue
            low, high = stats.median_interval(ratios)
            middle = statistics.median(ratios)
            if not max(middle - low, high - middle) <= precision * middle:  # also where there is no interval yet
                return False
        return True

    return enough

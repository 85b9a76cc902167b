"""Who leads at each point of a scenario, by how much and at what cost: what the summary says in words.

A backend leads alone only where every other is shown to be behind it, which `harness.compare` decides.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.compare import METRICS, Ratio, Trials, ratio, trials_by_cell
from harness.report.charts.selection import measured
from harness.report.html.words import (
    count_text,
    known,
    point_axes,
    point_words,
    rate_text,
    records,
    share_text,
    time_text,
)
from harness.stats import ROUNDS_FOR_INTERVAL

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.report.frame import Frames

NAMED = 4
"""Backends named in one breath; of more, the number is given."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What the backends of a scenario are ranked by.

    Attributes:
        column: Of the frames' tables; one of `harness.compare.METRICS`.
        title: Heads the column of values.
        best: What is said of the leader.
    """

    column: str
    title: str
    best: str


THROUGHPUT = Measure("throughput_rps", "requests/s", "is fastest")
LATENCIES = (
    Measure("p99_us", "p99 latency", "has the lowest p99 latency"),
    Measure("p50_us", "p50 latency", "has the lowest p50 latency"),
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Who leads at one point.

    Attributes:
        title: What sets the point apart within its scenario.
        leaders: The best, and all that are not shown to be behind it.
        trailing: Those that are, the best of them first.
        behind: The first of them; empty if there is none.
        value: The best one's value.
        interval: Its confidence interval; empty if there is none.
        lead: How far the best is ahead of `behind`, with the interval; empty if there is none.
        lead_share: The same as a number: 0.1 is ahead by 10%; NaN if there is none.
        cpu: The best one's CPU time per request.
        cheapest: Who needs the least CPU time per request, and how much.
        reason: Why no one leads alone; empty if one does.
        compared: Backends that have a number here.
    """

    title: str
    leaders: Sequence[str]
    trailing: Sequence[str]
    behind: str
    value: str
    interval: str
    lead: str
    lead_share: float
    cpu: str
    cheapest: str
    reason: str
    compared: int


def standings(frames: "Frames", scenario: str) -> tuple[Measure, list[Standing]]:
    """Return what one scenario is ranked by, and who leads at each of its points, in the points' order."""
    cells = measured(frames.cells[frames.cells["scenario"] == scenario], "throughput_rps")
    if cells.empty:
        return THROUGHPUT, []
    trials = frames.trials[frames.trials["scenario"] == scenario]
    measure = _measure(cells, trials)
    by_cell = trials_by_cell(trials, [*frames.axes, "backend"])
    shown = point_axes(cells)
    found = []
    for place, group in cells.groupby(list(frames.axes), sort=True):
        rows = records(group)
        title = point_words(rows[0], shown)
        at_point = {str(name): by_cell[*place, name] for name in group["backend"]}
        found.append(_standing(title, rows, at_point, measure))
    return measure, found


def _measure(cells: "DataFrame", trials: "DataFrame") -> Measure:
    """Return throughput for closed loops; for open ones, whose rate is given, the latency that all cells support."""
    if "open" not in set(cells["loop"]):
        return THROUGHPUT
    supported = (each for each in LATENCIES if cells[each.column].notna().all() and trials[each.column].notna().all())
    return next(supported, LATENCIES[-1])


def _standing(
    title: str, cells: Sequence[Mapping[str, Any]], trials: Mapping[str, Trials], measure: Measure
) -> Standing:
    sign = METRICS[measure.column]
    ordered = sorted(cells, key=lambda cell: -sign * cell[measure.column] if known(cell[measure.column]) else math.inf)
    by_name = {str(cell["backend"]): cell for cell in ordered}
    best = next(iter(by_name))
    ahead = _against(best, trials, measure)
    for other, found in ahead.items():
        if found.verdict == "worse":  # pair by pair another one is ahead, whatever the medians say
            best, ahead = other, _against(other, trials, measure)
            break
    shown = [name for name in by_name if name != best and _shows(ahead[name], by_name[best], by_name[name], measure)]
    leaders = [best, *(name for name in by_name if name != best and name not in shown)]
    behind = shown[0] if shown else ""
    cell = by_name[best]
    throughput = measure is THROUGHPUT
    low, high = cell["throughput_low"], cell["throughput_high"]
    cheapest = min(cells, key=lambda each: each["cpu_us"] if known(each["cpu_us"]) else math.inf)
    return Standing(
        title=title,
        leaders=leaders,
        trailing=shown,
        behind=behind,
        value=rate_text(cell) if throughput else _latency_text(cell, measure),
        interval=f"{count_text(low)} to {count_text(high)}" if throughput and known(low) else "",
        lead=_lead_text(ahead[behind], measure) if behind else "",
        lead_share=_excess(ahead[behind].median, measure) if behind else math.nan,
        cpu=time_text(cell["cpu_us"]),
        cheapest=f"{cheapest['backend']} {time_text(cheapest['cpu_us'])}" if known(cheapest["cpu_us"]) else "",
        reason=_reason(leaders[1:], ahead, by_name, measure),
        compared=len(cells),
    )


def _latency_text(cell: Mapping[str, Any], measure: Measure) -> str:
    bound = " (generator-bound)" if cell["lower_bound"] else ""
    return time_text(cell[measure.column]) + bound


def _against(best: str, trials: Mapping[str, Trials], measure: Measure) -> dict[str, Ratio]:
    """Return the best one's ratio to each of the others."""
    return {name: ratio(trials[best], rows, measure.column) for name, rows in trials.items() if name != best}


def _shows(found: Ratio, best: Mapping[str, Any], other: Mapping[str, Any], measure: Measure) -> bool:
    """Whether this ratio shows the best to be ahead. A latency that includes the generator's own shows nothing."""
    bounded = measure is not THROUGHPUT and (best["lower_bound"] or other["lower_bound"])
    return found.verdict == "better" and not bounded


def _reason(
    tied: Sequence[str], ahead: Mapping[str, Ratio], cells: Mapping[str, Mapping[str, Any]], measure: Measure
) -> str:
    if not tied:
        return ""
    if all(ahead[name].pairs < ROUNDS_FOR_INTERVAL for name in tied):
        return f"fewer than {ROUNDS_FOR_INTERVAL} common rounds"
    if any(ahead[name].low <= 1 <= ahead[name].high for name in tied):
        return "the interval includes 1"
    if any(cells[name]["lower_bound"] for name in tied) or measure is not THROUGHPUT:
        return "the generator was the bottleneck"
    return "the interval includes 1"


def _excess(value: float, measure: Measure) -> float:
    """Return by what share the best is ahead: more requests, or a longer time for the other."""
    return value - 1 if METRICS[measure.column] > 0 else 1 / value - 1


def _lead_text(found: Ratio, measure: Measure) -> str:
    low, high = sorted((_excess(found.low, measure), _excess(found.high, measure)))
    digits = 1 if low < 0.02 else 0
    interval = f"[{share_text(low, digits)} to {share_text(high, digits)}]"
    return f"{'≥ ' if found.at_least else ''}{share_text(_excess(found.median, measure), digits)} {interval}"


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a headline.

    Attributes:
        subject: Whom it is about, to be set in bold; may be empty.
        words: What is said.
    """

    subject: str
    words: str


def headline(measure: Measure, found: Sequence[Standing]) -> list[Clause]:
    """Return the one sentence that sums a scenario up."""
    contested = [each for each in found if each.compared > 1]
    if not found:
        return [Clause("", "Nothing was measured.")]
    if not contested:
        return [Clause(found[0].leaders[0], "was measured alone: there is nothing to compare.")]
    alone = [each for each in contested if len(each.leaders) == 1]
    clauses = []
    for name, wins in Counter(each.leaders[0] for each in alone).most_common():
        leads = [each.lead_share for each in alone if each.leaders[0] == name]
        words = f"{measure.best} {_where(wins, len(contested))}, by {_range(leads)}"
        clauses.append(Clause(name, words))
    tied = [each for each in contested if len(each.leaders) > 1]
    if tied:
        names = _names(dict.fromkeys(name for each in tied for name in each.leaders))
        start = "no" if clauses else "No"
        where = _where(len(tied), len(contested))
        clauses.append(Clause("", f"{start} difference shown between the leaders {where} ({names})"))
    behind = Counter(name for each in tied for name in each.trailing)
    for name, times in behind.most_common(NAMED):
        clauses.append(Clause(name, f"is behind them {_where(times, len(contested))}"))
    return clauses


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed) if len(listed) <= NAMED else f"{len(listed)} backends"


def _where(points: int, of: int) -> str:
    if of == 1:
        return "at the one point"
    return f"at all {of} points" if points == of else f"at {points} of {of} points"


def _range(shares: Sequence[float]) -> str:
    low, high = min(shares), max(shares)
    texts = list(dict.fromkeys(share_text(share, 1 if low < 0.02 else 0) for share in (low, high)))
    return " to ".join(texts)

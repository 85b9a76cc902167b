"""Capacity under an objective: what the trials of a run say of each backend at each point. Pure.

A run's trials in a closed loop say where the search begins, and those in an open loop are told to it in the order of
their records: whoever reads the records comes to the answer that the run came to.
"""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.loadgen.spec import MAX_RATE_RPS
from harness.objective import LONGEST_TRIAL_S, Objective, ObjectiveError, parse_objective
from harness.record import Record
from harness.search import GUESS_SHARE, CapacitySearch, Estimate, Outcome
from harness.stats import decode, merge, percentile_of_all_ns
from harness.verdict import BUSY

HIGHEST_SHARE = 10.0
"""Highest rate that is tried, as a share of the throughput in a closed loop. A server may do far more than that: there,
its replies have to wake a generator that sleeps, at its own cost."""

NEAR = 1.02
"""How far above the interval a trial that missed may be to tell what limits the capacity."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search for capacity was asked.

    Attributes:
        objective: What must hold.
        precision: Half of the interval's width at which a search ends, as a share of the rate.
    """

    objective: Objective
    precision: float

    def to_json(self) -> dict[str, Any]:
        """Return what a run's manifest says of it."""
        return {"slo": self.objective.text, "precision": self.precision}

    @classmethod
    def of_run(cls, manifest: Mapping[str, Any]) -> "Asked | None":
        """Return what the manifest says; None if the run was no search for capacity, or it is damaged."""
        raw = manifest.get("capacity")
        if not isinstance(raw, Mapping) or not isinstance(raw.get("precision"), float):
            return None
        try:
            return cls(parse_objective(str(raw.get("slo"))), raw["precision"])
        except ObjectiveError:
            return None

    def search(self, closed_rps: float, seed: int = 0) -> CapacitySearch:
        """Return a search that begins.

        Args:
            closed_rps: Throughput in a closed loop.
            seed: Of the choice of rates.

        Raises:
            ObjectiveError: The trials would have to be too long.
        """
        lowest_rps = max(1.0, self.objective.lowest_rps)
        if GUESS_SHARE * closed_rps < lowest_rps:
            longest_s = self.objective.samples / (GUESS_SHARE * closed_rps)
            raise ObjectiveError(
                f"{self.objective.text!r} needs {self.objective.samples:,} requests a trial: at {closed_rps:,.0f} "
                f"requests/s in a closed loop that would take {longest_s:,.0f} s, and at most {LONGEST_TRIAL_S:.0f} s "
                "are allowed: choose a lower percentile"
            )
        highest_rps = min(MAX_RATE_RPS, max(HIGHEST_SHARE * closed_rps, 2 * lowest_rps))
        return CapacitySearch(closed_rps, lowest_rps, highest_rps, self.precision, seed)


@dataclass(frozen=True, slots=True)
class Answer:
    """The capacity of one backend at one point.

    Attributes:
        scenario: Name of the scenario.
        backend: Its label.
        point: Value of every axis but the rate.
        estimate: What is known of the capacity.
        latency_us: The objective's percentile over all trials that held within the interval, or nearest below it; NaN
            if none held.
        closed_rps: Throughput in a closed loop; NaN if it was not measured.
        limited_by: What keeps the backend from more, in words.
        counted: Trials that say something of the server.
        repeated: Trials that do not, because the generator or something else spoilt them.
        reason: Why there is no answer, or empty.
    """

    scenario: str
    backend: str
    point: Mapping[str, int | str]
    estimate: Estimate
    latency_us: float
    closed_rps: float
    limited_by: str
    counted: int
    repeated: int
    reason: str = ""


def outcome(record: Record, objective: Objective) -> Outcome:
    """Return what a usable trial in an open loop says.

    What the generator or something else on the machine did can make a server look worse, not better: a trial that held
    in spite of it counts, and so does one in which the server used all of its CPU and the queue grew. Others say
    nothing. A generator that something else kept from running is no limit.
    """
    if record.result is None:
        raise ValueError("a record without a result says nothing")
    kinds = {verdict.kind for verdict in record.verdicts}
    holds = objective.holds(record.result)
    if holds and "overloaded" not in kinds:
        return Outcome.HELD
    saturated = record.server is not None and record.server.cpu_s >= BUSY * record.result.duration_s
    if "overloaded" in kinds and saturated:
        return Outcome.MISSED
    if "disturbed" in kinds or holds is None:
        return Outcome.DISTURBED
    return Outcome.GENERATOR if "generator-bound" in kinds else Outcome.MISSED


def closed_rps(records: Sequence[Record]) -> float:
    """Return the median throughput of the trials in a closed loop; NaN if there is none."""
    closed = [
        each.result.replied / each.result.duration_s
        for each in records
        if each.usable and each.result is not None and each.result.loop == "closed"
    ]
    return max(1.0, statistics.median(closed)) if closed else math.nan


def answers(records: Sequence[Record], asked: Asked) -> list[Answer]:
    """Return the capacity of every backend at every point, in the order in which they were first measured."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        point = {axis: value for axis, value in record.point.items() if axis != "rate"}
        groups.setdefault((record.scenario, record.label, *sorted(point.items())), []).append(record)
    return [_answer(group, asked) for group in groups.values()]


def _open(record: Record) -> bool:
    return record.result is not None and record.result.loop == "open"


def _answer(records: Sequence[Record], asked: Asked) -> Answer:
    first = records[0]
    point = {axis: value for axis, value in first.point.items() if axis != "rate"}
    closed = closed_rps(records)
    failures = [f"{each.kind}: {each.reason}" for record in records for each in record.verdicts if each.void]
    estimate = Estimate("unknown", math.nan, math.nan, math.nan, precise=False)
    reason = failures[0] if failures else ""
    trials: list[tuple[Record, Outcome]] = []
    if not math.isnan(closed):
        try:
            search = asked.search(closed)
        except ObjectiveError as fault:
            reason = str(fault)
        else:
            trials = [(each, outcome(each, asked.objective)) for each in records if each.usable and _open(each)]
            for record, said in trials:
                search.tell(float(record.point.get("rate", 0)), said)
            estimate = search.estimate()
    seen = Counter(said for _, said in trials)
    counted = seen[Outcome.HELD] + seen[Outcome.MISSED]
    if estimate.kind == "unknown" and not reason:
        reason = "every trial was spoilt by the generator or something else" if trials else "no trial was made"
    return Answer(
        first.scenario,
        first.label,
        point,
        estimate,
        _latency_us(trials, estimate, asked.objective),
        closed,
        _limited_by(trials, estimate),
        counted,
        len(trials) - counted,
        reason,
    )


def _latency_us(trials: Sequence[tuple[Record, Outcome]], estimate: Estimate, objective: Objective) -> float:
    """Return the percentile over the trials that held, of those within the interval if any did."""
    held = [record for record, said in trials if said is Outcome.HELD]
    near = [record for record in held if estimate.low_rps <= int(record.point["rate"]) <= estimate.high_rps]
    if not near:
        highest = max((int(record.point["rate"]) for record in held), default=0)
        near = [record for record in held if int(record.point["rate"]) == highest]
    results = [record.result for record in near if record.result is not None]
    if not results:
        return math.nan
    latencies = merge(decode(result.latency) for result in results)
    return percentile_of_all_ns(latencies, sum(result.due for result in results), objective.percent) / 1e3


def _limited_by(trials: Sequence[tuple[Record, Outcome]], estimate: Estimate) -> str:
    """Return what the trials that missed just above the capacity say in the way."""
    generator = [record for record, said in trials if said is Outcome.GENERATOR]
    if estimate.kind == "at least":
        return "the generator" if generator else "nothing that was tried"
    top = (estimate.high_rps if estimate.kind == "capacity" else estimate.rate_rps) * NEAR
    missed = [record for record, said in trials if said is Outcome.MISSED and int(record.point["rate"]) <= top]
    if not missed:
        return ""
    overloaded = sum(any(each.kind == "overloaded" for each in record.verdicts) for record in missed)
    failing = sum(sum(record.result.errors.values()) > 0 for record in missed if record.result)
    words = "throughput: the queue grows" if 2 * overloaded > len(missed) else "latency"
    if not overloaded and 2 * failing > len(missed):
        words = "errors"
    busy = statistics.median(
        record.server.cpu_s / record.result.duration_s for record in missed if record.server and record.result
    )
    return f"{words}; server CPU {busy:.0%}"


COLUMNS = [
    "scenario",
    "backend",
    "slo",
    "kind",
    "rate_rps",
    "low_rps",
    "high_rps",
    "precise",
    "latency_us",
    "closed_rps",
    "limited_by",
    "counted",
    "repeated",
    "reason",
]


def capacities(records: Sequence[Record], manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Return the answers of a run as a table: `COLUMNS` and the axes; no row if the run was no search for capacity."""
    asked = Asked.of_run(manifest)
    if asked is None:
        return pd.DataFrame(columns=COLUMNS)
    rows = [
        {
            "scenario": each.scenario,
            "backend": each.backend,
            "slo": asked.objective.text,
            "kind": each.estimate.kind,
            "rate_rps": each.estimate.rate_rps,
            "low_rps": each.estimate.low_rps,
            "high_rps": each.estimate.high_rps,
            "precise": each.estimate.precise,
            "latency_us": each.latency_us,
            "closed_rps": each.closed_rps,
            "limited_by": each.limited_by,
            "counted": each.counted,
            "repeated": each.repeated,
            "reason": each.reason,
            **each.point,
        }
        for each in answers(records, asked)
    ]
    return pd.DataFrame(rows, columns=None if rows else COLUMNS)

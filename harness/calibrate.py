"""Whether this tool tells the truth on this machine: servers whose behaviour is known are measured.

What must come out is computed from the servers' rules alone (`cases`). Each case is measured twice: in an open loop,
where latency counts from when a request was due, and in a closed loop with one connection, which sends nothing while it
waits, and so hides most of what users would suffer: what it must say is computed too, and stands beside the truth.

Server and generator watch the clock without sleeping, so each needs a CPU that nothing else uses meanwhile. Where that
is allowed they have precedence over other processes; and a trial in which one of them had to wait for its CPU all the
same does not count as long as there are others. How long they waited, not what came out, decides which trials count.
"""

import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.loadgen.engines import reference_missing
from harness.loadgen.merge import merge
from harness.loadgen.spec import Arrivals, LoadSpec, TrialResult
from harness.machine import CpuSplit, waited_for_cpu_s
from harness.process import START_TIMEOUT_S, Child, GeneratorProcess, listen
from harness.stats import Histogram, decode, percentiles_ns
from scenarios.exchanges.echo import conversation

SIZE_BYTES = 64

SERVICE_S = 0.001
SLOW_SERVICE_S = 0.020
SLOW_EVERY = 100
STALL_S = 0.100
STALL_PERIOD_S = 1.0
LIMIT_RPS = 1000.0
OFFERED_RPS = 2000.0

NICENESS = -15
"""Of server and generator (nice(2)). More would starve the kernel's threads that carry packets: at -20 some replies
took 300 ms on a machine with two CPUs."""

CALM = 0.002
"""Share of a trial for which server or generator may wait for its CPU before the trial counts as disturbed."""

SHORT_TRIAL_S = 0.2
"""Length of trials where none need be longer: the shorter they are, the more of them nothing disturbs."""

PATIENCE = 3
"""Trials at most, for each that must be calm."""

TOLERANCE_S = 50e-6
"""Deviation that passes, whatever the expected value: what a request spends on its way is in no server's rule."""


class CalibrationError(Exception):
    """Calibration is impossible here, with the reason in one line."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One value that must come out.

    Attributes:
        percent: The percentile of latency, or None: replies per second.
        open_loop: Its value in an open loop, in seconds or replies per second: what is true.
        closed_loop: Its value in a closed loop with one connection: what such a tool says of the same server. None: it
            depends on the machine.
        share: Deviation from the expected value that passes, as a share of it.
    """

    percent: float | None
    open_loop: float
    closed_loop: float | None
    share: float

    @property
    def quantity(self) -> str:
        """Return what people call it."""
        return "replies/s" if self.percent is None else f"p{self.percent:g}"


@dataclass(frozen=True, slots=True)
class Case:
    """A server whose behaviour is known, and what must come out.

    Attributes:
        name: What the table calls it.
        rule: What the server does, in one sentence.
        behaviour: The same as arguments of `harness.loadgen.reference.serve`.
        arrivals: When requests are due in the open loop.
        connections: Connections of the open loop.
        duration_s: Time that is measured in each loop, in seconds.
        trial_s: Length of the trials that it consists of, in seconds.
        expectations: What must come out.
    """

    name: str
    rule: str
    behaviour: dict[str, float]
    arrivals: Arrivals
    connections: int
    duration_s: float
    expectations: tuple[Expectation, ...]
    trial_s: float = STALL_PERIOD_S


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Values are seconds, or replies per second where the quantity is "replies/s".

    Attributes:
        case: Name of the case.
        quantity: "p50", "p99" ... or "replies/s".
        expected: What is true.
        open_loop: What was measured in the open loop; NaN where there were too few samples.
        tolerance: Deviation of the open loop that passes, in the same unit.
        closed_expected: What a closed loop must say, or None where that depends on the machine.
        closed_loop: What was measured in the closed loop.
    """

    case: str
    quantity: str
    expected: float
    open_loop: float
    tolerance: float
    closed_expected: float | None
    closed_loop: float

    @property
    def passed(self) -> bool:
        """Whether the open loop tells the truth."""
        return abs(self.open_loop - self.expected) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Measured:
    """One case in both loops: for the table and for charts of whole distributions.

    Attributes:
        case: The case.
        open_loop: What the open loop saw.
        closed_loop: What the closed loop saw.
        waited: Share of the open loop's time for which server or generator, whichever was worse, waited for its CPU.
    """

    case: Case
    open_loop: TrialResult
    closed_loop: TrialResult
    waited: float = 0.0


def waiting_behind_stall_s(percent: float, stall_s: float, period_s: float) -> float:
    """Return a percentile of the time that requests at a steady rate wait for a server that stalls once a period.

    Who is due x seconds before the end of a stall waits for x; so a share of (stall - x) / period waits longer than x.
    """
    return max(0.0, stall_s - (100 - percent) / 100 * period_s)


def waiting_in_overload_s(percent: float, offered_rps: float, limit_rps: float, duration_s: float) -> float:
    """Return a percentile of the time until a reply, where more is offered than is served, evenly, for so long.

    The n-th request is due after n / offered and answered after n / limit: its latency grows evenly, from nothing to
    the difference at the end.
    """
    return percent / 100 * duration_s * (offered_rps / limit_rps - 1)


def cases(duration_s: float = 10.0) -> tuple[Case, ...]:
    """Return all cases.

    Args:
        duration_s: Time to measure each for, in seconds, whole periods of the stall; p99.9 needs 10.

    Raises:
        CalibrationError: The duration is no whole number of periods.
    """
    if duration_s < STALL_PERIOD_S or not math.isclose(duration_s % STALL_PERIOD_S, 0.0, abs_tol=1e-9):
        raise CalibrationError(f"duration is {duration_s:g} s, must be a whole number of seconds")
    stall = [(50.0, 0.02), (95.0, 0.05), (99.0, 0.05), (99.9, 0.05)]
    overload_s = min(duration_s, 3.0)
    return (
        Case(
            name="fixed service time",
            rule="every reply comes 1 ms after its request; requests do not wait for each other",
            behaviour={"service_ns": SERVICE_S * 1e9},
            arrivals=Arrivals("poisson", LIMIT_RPS / 2, seed=1),
            connections=50,
            duration_s=duration_s,
            expectations=tuple(Expectation(percent, SERVICE_S, SERVICE_S, 0.02) for percent in (50.0, 99.0)),
            trial_s=SHORT_TRIAL_S,
        ),
        Case(
            name="1% slow",
            rule="every reply comes after 1 ms, but every hundredth after 20 ms",
            behaviour={
                "service_ns": SERVICE_S * 1e9,
                "slow_every": SLOW_EVERY,
                "slow_service_ns": SLOW_SERVICE_S * 1e9,
            },
            arrivals=Arrivals("poisson", LIMIT_RPS / 2, seed=2),
            connections=50,
            duration_s=duration_s,
            expectations=(
                Expectation(50.0, SERVICE_S, SERVICE_S, 0.02),
                Expectation(98.0, SERVICE_S, SERVICE_S, 0.02),
                Expectation(99.5, SLOW_SERVICE_S, SLOW_SERVICE_S, 0.02),
            ),
            trial_s=SHORT_TRIAL_S,
        ),
        Case(
            name="stall",
            rule="replies come at once, but once a second the server does nothing at all for 100 ms",
            behaviour={"stall_ns": STALL_S * 1e9, "stall_period_ns": STALL_PERIOD_S * 1e9},
            arrivals=Arrivals("constant", 1000.0),
            connections=200,
            duration_s=duration_s,
            expectations=tuple(
                Expectation(percent, waiting_behind_stall_s(percent, STALL_S, STALL_PERIOD_S), 0.0, share)
                for percent, share in stall
            ),
        ),
        Case(
            name="rate limit",
            rule="at most 1,000 replies a second, evenly spaced; 2,000 requests a second are due",
            behaviour={"rate_rps": LIMIT_RPS},
            arrivals=Arrivals("constant", OFFERED_RPS),
            connections=200,
            duration_s=overload_s,
            expectations=(
                Expectation(None, LIMIT_RPS, LIMIT_RPS, 0.02),
                *(
                    Expectation(
                        percent,
                        waiting_in_overload_s(percent, OFFERED_RPS, LIMIT_RPS, overload_s),
                        1 / LIMIT_RPS,
                        0.02,
                    )
                    for percent in (50.0, 99.0)
                ),
            ),
            trial_s=overload_s,
        ),
    )


def rows(measured: Measured) -> list[Row]:
    """Return the lines of the table for one case."""
    case = measured.case
    open_latency, closed_latency = decode(measured.open_loop.latency), decode(measured.closed_loop.latency)
    table = []
    for expectation in case.expectations:
        expected = expectation.open_loop
        floor = 0.0 if expectation.percent is None else TOLERANCE_S
        table.append(
            Row(
                case=case.name,
                quantity=expectation.quantity,
                expected=expected,
                open_loop=_value(measured.open_loop, open_latency, expectation.percent),
                tolerance=max(floor, expectation.share * expected),
                closed_expected=expectation.closed_loop,
                closed_loop=_value(measured.closed_loop, closed_latency, expectation.percent),
            )
        )
    return table


def _value(result: TrialResult, latency: Histogram, percent: float | None) -> float:
    """Return a percentile in seconds, or replies per second where there is no percentile."""
    if percent is None:
        return result.replied / result.duration_s
    return percentiles_ns(latency, [percent])[0] / 1e9


def calibrate(
    engine: str,
    duration_s: float = 10.0,
    *,
    cpus: CpuSplit,
    observe: Callable[[Case], None] = lambda _: None,
) -> list[Measured]:
    """Measure every case.

    Args:
        engine: "native" or "portable".
        duration_s: Time to measure each for in either loop; whole seconds.
        cpus: Where the reference server, which keeps a CPU busy, and the generator run.
        observe: Is told of each case before it is measured.

    Raises:
        CalibrationError: There is no reference server here, or the duration is not right.
        ChildFailedError: The server or the generator died or hung.
    """
    if reason := reference_missing():
        raise CalibrationError(reason)
    measured = []
    for case in cases(duration_s):
        observe(case)
        open_loop, waited = _measure(engine, case, case.arrivals, case.connections, cpus)
        closed_loop, _ = _measure(engine, case, Arrivals(), 1, cpus)
        measured.append(Measured(case, open_loop, closed_loop, waited))
    return measured


def _measure(
    engine: str, case: Case, arrivals: Arrivals, connections: int, cpus: CpuSplit
) -> tuple[TrialResult, float]:
    """Start the reference server afresh and measure it in short trials, until enough of them were calm.

    Returns:
        The calm trials as one, filled up with those that were disturbed least where too few were calm; and the share
        of their time for which server or generator, whichever was worse, waited for its CPU.

    Raises:
        ChildFailedError: The server or the generator died or hung.
        CalibrationError: Not every request was answered.
    """
    talk = conversation(SIZE_BYTES)
    wanted = round(case.duration_s / case.trial_s)
    tries: list[tuple[float, TrialResult]] = []
    with tempfile.TemporaryDirectory() as folder, listen() as listener:
        host, port = listener.getsockname()
        load = LoadSpec(
            host,
            port,
            talk.request,
            talk.reply,
            connections,
            grace_s=case.trial_s + 2,
            arrivals=arrivals,
            busy_wait=cpus.apart(),
        )
        log = Path(folder) / "log"
        with (
            _reference_server(listener.fileno(), case, log, cpus.servers) as server,
            GeneratorProcess(load, engine, log, cpus=cpus.generators) as generator,
        ):
            for child in (server, generator):
                with contextlib.suppress(PermissionError):
                    os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
            generator.connect()
            while len(tries) < wanted * PATIENCE and sum(waited <= CALM for waited, _ in tries) < wanted:
                before = [waited_for_cpu_s(child.pid) for child in (server, generator)]
                result = generator.trial(case.trial_s)
                after = [waited_for_cpu_s(child.pid) for child in (server, generator)]
                if result.errors or result.fault:
                    raise CalibrationError(
                        f"{case.name}: {result.fault or result.errors}: the reference server makes no errors"
                    )
                waited_s = max(now - then for now, then in zip(after, before, strict=True))
                tries.append((waited_s / case.trial_s, result))
    calmest = sorted(tries, key=lambda each: each[0])[:wanted]
    results = [result for _, result in calmest]
    together = replace(merge(results), duration_s=sum(result.duration_s for result in results), processes=1)
    return together, sum(waited for waited, _ in calmest) / wanted


def _reference_server(listener_fd: int, case: Case, log: Path, cpus: Collection[int]) -> Child:
    server = Child(
        "the reference server",
        "harness.loadgen.reference.main",
        log,
        python=sys.executable,
        cpus=cpus,
        pass_fds=(listener_fd,),
    )
    order: dict[str, Any] = {"size": SIZE_BYTES, **{key: round(value) for key, value in case.behaviour.items()}}
    server.tell(order)
    try:
        server.hear(START_TIMEOUT_S)
    except BaseException:
        server.stop(timeout_s=0)
        raise
    return server

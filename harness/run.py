"""The sequence of a run: start the cells of a point, connect, verify, warm up, measure in rounds, record, stop.

Only this file knows the order. All cells of a point live at the same time; in each round every one has one trial, in
random order, while the others are idle, so that noise and drift of the machine fall on all alike. Where a scenario says
after how many rounds servers start afresh, the points take turns as well: there and back, for the same reason.
"""

import itertools
import random
import re
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psutil

from harness.generators import Generators
from harness.loadgen.spec import Arrivals, LoadSpec
from harness.machine import CpuSplit, steal_s, waited_for_cpu_s
from harness.plan import Cell, Plan
from harness.process import ChildFailedError, ServerProcess
from harness.record import Record, Verdict
from harness.scenario import Point
from harness.servers import start_server
from harness.stopping import Enough
from harness.store import RunFolder
from harness.usage import snapshot, usage
from harness.verdict import judge
from scenarios.conditions import Conditions
from scenarios.session import load_exchange

WARM_UP_TRIAL_S = 0.1
STEADY = 0.05
GRACE_S = 2.0
CAPACITY_TRIALS = 5
CAPACITY_TRIAL_S = 0.2


class Observer(Protocol):
    """Is told how a run goes."""

    def starting(self, point: Point, cells: int) -> None:
        """The cells of a point are being started and warmed up."""

    def recorded(self, record: Record) -> None:
        """A trial, a refusal or a failure was recorded."""

    def ended(self, point: Point) -> None:
        """A point has had all its rounds."""


@dataclass(slots=True)
class LiveCell:
    """A cell whose server and generator run."""

    cell: Cell
    server: ServerProcess
    generator: Generators
    rss_start_bytes: int


@dataclass(slots=True)
class PointState:
    """How far a point is.

    Attributes:
        point: The point.
        cells: Those that can go on.
        records: What was recorded of it.
        rounds: How many rounds it has had.
        rounds_s: Time that they took, in seconds.
        start_s: Time that the last start took.
        done: Whether no further round is to follow.
    """

    point: Point
    cells: list[Cell]
    records: list[Record] = field(default_factory=list)
    rounds: int = 0
    rounds_s: float = 0.0
    start_s: float = 0.0
    done: bool = False

    def fits(self, rest_s: float | None, start_s: float = 0.0) -> bool:
        """Return whether a round ends in this time, after a start that takes so much; a first one always fits."""
        return not self.rounds or rest_s is None or start_s + self.rounds_s / self.rounds <= rest_s


class Run:
    """One run of a plan into a folder."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        cpus: CpuSplit,
        engine: str,
        generators: int,
        seed: int,
        spins_per_s: float,
        observer: Observer,
        enough: Enough | None = None,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            plan: What to measure.
            folder: Where records and logs go.
            cpus: Who runs where.
            engine: Which generator: "native" or "portable".
            generators: Processes of it for each cell.
            seed: Of the order of trials and of arrivals.
            spins_per_s: Speed of `scenarios.conditions.spin` here, by which CPU work is set.
            observer: Who is told.
            enough: Says, after each round, whether a point's records suffice; None: its number of rounds does.
        """
        self._plan = plan
        self._folder = folder
        self._cpus = cpus
        self._engine = engine
        self._processes = generators
        self._order = random.Random(seed)
        self._seed = seed
        self._spins_per_s = spins_per_s
        self._observer = observer
        self._enough = enough
        self._records: list[Record] = []
        self._exchange = load_exchange(plan.scenario.exchange)
        self._logs = folder.path / "logs"
        self._logs.mkdir(exist_ok=True)

    def execute(self) -> None:
        """Measure every point. Whatever ends it, the cells' processes end with it.

        Raises:
            StoreError: A record could not be written.
        """
        for cells in self._plan.cells.values():
            for cell in cells:
                if cell.refusal:
                    self._keep(replace(self._blank(cell), verdicts=(Verdict("refused", cell.refusal),)))
        budget_s = self._plan.scenario.measure.budget
        deadline = None if budget_s is None else time.monotonic() + budget_s
        states = [
            PointState(point, [cell for cell in cells if not cell.refusal]) for point, cells in self._plan.cells.items()
        ]
        while states:
            for place, state in enumerate(states):
                rest_s = None if deadline is None else (deadline - time.monotonic()) / (len(states) - place)
                self._records = state.records
                self._measure_point(state, rest_s)
                if state.done:
                    self._observer.ended(state.point)
            states = [state for state in reversed(states) if not state.done]

    def _measure_point(self, state: PointState, budget_s: float | None) -> None:
        """Start the cells of a point and take the rounds of one start; only the point's first may exceed the budget."""
        measure = self._plan.scenario.measure
        began = time.monotonic()
        state.done = not state.cells or not state.fits(budget_s, state.start_s)
        if state.done:
            return
        self._observer.starting(state.point, len(state.cells))
        with ExitStack() as processes:
            live = self._start_all(state.cells, processes)
            state.start_s = time.monotonic() - began
            for taken in itertools.count(1):
                before = time.monotonic()
                self._order.shuffle(live)
                live = [each for each in live if self._trial(each, state.rounds, measure.duration)]
                state.cells = [each.cell for each in live]
                state.rounds += 1
                state.rounds_s += time.monotonic() - before
                rest_s = None if budget_s is None else budget_s - (time.monotonic() - began)
                state.done = not state.cells or not state.fits(rest_s) or self._suffices(state)
                if state.done or taken == measure.rounds_per_start:
                    return

    def _suffices(self, state: PointState) -> bool:
        return state.rounds >= self._plan.scenario.measure.rounds and (not self._enough or self._enough(state.records))

    def _start_all(self, cells: Sequence[Cell], processes: ExitStack) -> list[LiveCell]:
        return [started for cell in cells if (started := self._start(cell, processes)) is not None]

    def _start(self, cell: Cell, processes: ExitStack) -> LiveCell | None:
        """Start a cell, connect, verify and warm up; record and return None if that fails."""
        point = cell.point
        log = self._log(cell)
        server = None
        try:
            server = processes.enter_context(
                start_server(
                    cell.candidate.backend,
                    self._plan.scenario.exchange,
                    log,
                    cpus=self._cpus.servers,
                    python=cell.candidate.python,
                    root=cell.candidate.root,
                    conditions=self._conditions(point),
                    workers=cell.candidate.workers,
                    options=cell.candidate.options,
                    transport=point.transport,
                )
            )
            start = snapshot(server.pid)
            rate_rps = float(point.rate)
            if point.rate_percent:
                with self._connect(cell, server, log, Arrivals()) as closed:
                    self._warm_up(closed)
                    rate_rps = point.rate_percent / 100 * self._capacity_rps(closed)
            generator = processes.enter_context(self._connect(cell, server, log, self._arrivals(rate_rps)))
            self._warm_up(generator)
        except ChildFailedError as fault:
            self._keep(replace(self._blank(cell), verdicts=(self._failure(fault, server),)))
            return None
        if cell.restless:
            server.pause()
        return LiveCell(cell, server, generator, start.rss_bytes if start else 0)

    def _log(self, cell: Cell) -> Path:
        """Return where the output of a cell's processes goes."""
        words = [cell.candidate.label, *(str(getattr(cell.point, axis)) for axis in Point.__slots__)]
        return self._logs / f"{re.sub('[^a-zA-Z0-9_=.@-]+', '-', '-'.join(words))}.log"

    def _connect(self, cell: Cell, server: ServerProcess, log: Path, arrivals: Arrivals) -> Generators:
        """Start a generator, open its connections and see that replies are right.

        Raises:
            ChildFailedError: They are not, or something died or hung.
        """
        load = self._load(cell.point, server, arrivals)
        generator = Generators(load, self._engine, log, self._processes, cpus=self._cpus.generators)
        try:
            connected = generator.connect()
            if connected.errors or connected.fault:
                kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(connected.errors.items()))
                kind = "wrong replies" if connected.fault else "timed out" if server.alive else "crashed"
                words = "" if server.alive else f"; {server.last_words()}"
                raise ChildFailedError(kind, f"while connecting: {connected.fault or kinds}{words}")
        except BaseException:
            generator.stop(timeout_s=0)
            raise
        return generator

    def _load(self, point: Point, server: ServerProcess, arrivals: Arrivals) -> LoadSpec:
        conversation = self._exchange.conversation(point.message_size)
        load = self._plan.scenario.load
        return LoadSpec(
            host=server.address[0],
            port=server.address[1],
            authority=server.authority,
            request=conversation.request,
            reply=conversation.reply,
            connections=point.connections,
            idle_connections=point.idle_connections,
            pipeline_depth=point.pipeline_depth,
            grace_s=GRACE_S,
            arrivals=arrivals,
            think_time_s=load.think_time,
            requests_per_connection=point.requests_per_connection,
            half_close=load.half_close,
            connections_per_s=load.connections_per_second,
            slow_connections=point.slow_connections,
            slow_bytes_per_s=load.slow_rate if point.slow_connections else 0,
            busy_wait=self._cpus.apart(self._processes),
            fan_out=self._exchange.fan_out,
        )

    def _arrivals(self, rate_rps: float) -> Arrivals:
        load = self._plan.scenario.load
        return Arrivals(
            process=load.arrivals,
            rate_rps=rate_rps,
            period_s=load.burst_period,
            duty=load.burst_duty,
            seed=self._seed,
        )

    def _capacity_rps(self, closed: Generators) -> float:
        """Return what a warm cell answers in a closed loop: the median of a few trials."""
        trials = [closed.trial(CAPACITY_TRIAL_S) for _ in range(CAPACITY_TRIALS)]
        return max(1.0, statistics.median(trial.replied / trial.duration_s for trial in trials))

    def _conditions(self, point: Point) -> Conditions:
        request = self._exchange.conversation(point.message_size).request
        session = self._exchange.new_session()
        reply_size = len(session.receive(request.stamped(0))) or 1
        session.closed()
        return Conditions(
            reply_delay_s=point.reply_delay_us / 1e6,
            work_spins=round(point.cpu_work_us / 1e6 * self._spins_per_s),
            # What a session really sends: the generator's half may leave out a head that varies.
            reply_size=reply_size,
        )

    def _warm_up(self, generator: Generators) -> None:
        """Load the cell until two short trials in a row are alike, at most as long as the scenario allows."""
        deadline = time.monotonic() + self._plan.scenario.measure.warm_up
        before = 0
        while time.monotonic() < deadline:
            replied = generator.trial(WARM_UP_TRIAL_S).replied
            if before and abs(replied - before) <= STEADY * before:
                return
            before = replied

    def _trial(self, live: LiveCell, number: int, duration_s: float) -> bool:
        """Measure one trial and record it; return whether the cell can go on."""
        server = live.server
        if live.cell.restless:
            server.resume()
        steal_before_s = steal_s()
        before = snapshot(server.pid)
        waits = self._waits(live)
        record = replace(self._blank(live.cell), round=number)
        try:
            result = live.generator.trial(duration_s)
            after = snapshot(server.pid) if server.alive else None
            if before is None or after is None:
                raise ChildFailedError("crashed", server.last_words())
            used = usage(before, after, live.rss_start_bytes)
            waited_s = self._waited_s(live, waits, used.threads)
            verdicts = judge(
                result, used, max(1, len(self._cpus.servers)), waited_s, max(1, len(self._cpus.generators))
            )
            record = replace(record, result=result, server=used, verdicts=verdicts, waited_s=waited_s)
        except ChildFailedError as fault:
            record = replace(record, verdicts=(self._failure(fault, server),))
        if live.cell.restless:
            server.pause()
        record = replace(record, load_average=psutil.getloadavg()[0], steal_s=steal_s() - steal_before_s)
        self._keep(record)
        if not record.usable:
            server.stop(timeout_s=0)
            live.generator.stop(timeout_s=0)
        return record.usable

    def _waits(self, live: LiveCell) -> tuple[float, float]:
        return max(map(waited_for_cpu_s, live.generator.pids)), waited_for_cpu_s(live.server.pid)

    def _waited_s(self, live: LiveCell, before: tuple[float, float], server_threads: int) -> float:
        """Return for how long generator or server, whichever was worse, missed the CPU that was to be its own."""
        if not self._cpus.apart():
            return 0.0
        generator_s, server_s = (now - then for now, then in zip(self._waits(live), before, strict=True))
        # Threads of one server wait for each other: that is no disturbance but what is measured.
        return generator_s if server_threads > 1 else max(generator_s, server_s)

    def _failure(self, fault: ChildFailedError, server: ServerProcess | None) -> Verdict:
        """Return the verdict on a cell that failed, with the end of the server's log."""
        reason = str(fault)
        if server is not None and (tail := server.log_tail()) and tail.splitlines()[-1] not in reason:
            reason = f"{reason}; end of the log: {' | '.join(tail.splitlines()[-3:])}"
        return Verdict(fault.kind, reason)

    def _blank(self, cell: Cell) -> Record:
        """Return a record of this cell, now, in which nothing was measured."""
        traits = cell.candidate.backend.traits
        candidate = cell.candidate
        return Record(
            run=self._folder.path.name,
            scenario=self._plan.scenario.name,
            exchange=self._plan.scenario.exchange,
            backend=traits.name,
            label=candidate.label,
            family=traits.family,
            packages=dict(candidate.packages),
            interpreter=candidate.interpreter,
            workers=candidate.workers,
            options={**traits.options, **candidate.options},
            point=cell.point.to_json(),
            round=-1,
            started=datetime.now(UTC).astimezone().isoformat(timespec="milliseconds"),
            result=None,
            server=None,
        )

    def _keep(self, record: Record) -> None:
        self._folder.append(record)
        self._records.append(record)
        self._observer.recorded(record)

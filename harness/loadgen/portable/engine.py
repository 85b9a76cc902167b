"""The portable engine: the measuring loop in Python, on whatever multiplexer `selectors` finds."""

import contextlib
import os
import socket
import time
from collections import deque

from harness.loadgen.histogram import encode_counts
from harness.loadgen.portable.counting import new_counts
from harness.loadgen.portable.load import (
    GRACE,
    NEVER,
    OPENING,
    READ,
    RECEIVE_BYTES,
    SLICES,
    SPIN_NS,
    START_BATCH,
    WINDOW,
    Connection,
    Load,
)
from harness.loadgen.portable.pace import close_window, enlist, notice, pause, send_owed, wake_sleepers
from harness.loadgen.portable.reply import poll_events
from harness.loadgen.portable.tls import at_once, client_context, describe, say_goodbye
from harness.loadgen.portable.wire import fail, flush, hang_up, open_one, queue, watch
from harness.loadgen.schedule import due_times
from harness.loadgen.spec import ConnectResult, LoadSpec, TrialResult, left_without


def open_missing(load: Load, patience: int, deadline: int, interval: int) -> None:
    """Open and verify every connection that is not open, and give up when none makes progress.

    One is begun every `interval` nanoseconds, or some at a time where that is 0.

    Raises:
        EOFError: The control socket was closed.
    """
    load.phase = OPENING
    load.now = next_time = time.monotonic_ns()
    limit = load.now + patience
    missing = deque(connection for connection in load.connections if connection.socket is None)
    pending: list[Connection] = []
    while True:
        before = len(pending)
        pending = [connection for connection in pending if connection.verifying]
        if len(pending) < before or not pending:
            limit = load.now + patience
        while missing and (load.now >= next_time if interval else len(pending) < START_BATCH):
            connection = missing.popleft()
            open_one(load, connection)
            next_time += interval
            if connection.verifying:
                pending.append(connection)
        limit = min(limit, deadline)
        if not (pending or missing) or load.now >= limit:
            break
        horizon = min(limit, next_time) if interval and missing else limit
        poll_events(load, min(1.0, max(0, horizon - load.now) / 1e9))
        load.now = time.monotonic_ns()
    for connection in (*pending, *missing):
        fail(load, connection, "timed out")


def see_off(load: Load, limit: int) -> None:
    """Fan-out: wait until the server has closed the former publisher, or it would send its last to those that join.

    Raises:
        EOFError: The control socket was closed.
    """
    leaving = load.leaving
    while leaving is not None and time.monotonic_ns() < limit:
        load.selector.register(leaving, READ, load.connections[0])
        try:
            poll_events(load, max(0, limit - time.monotonic_ns()) / 1e9)
            if not leaving.recv(RECEIVE_BYTES):
                break
        except BlockingIOError:
            continue
        except ConnectionError:
            break
        finally:
            load.selector.unregister(leaving)
    if leaving is not None:
        leaving.close()
        load.leaving = None


def begin_slow(load: Load) -> None:
    """Have every slow reader read, and ask for as many replies as it may."""
    for connection in load.connections[load.first_slow :]:
        connection.reading = READ
        if connection.socket is not None:
            while connection.queued - connection.answered < load.depth:
                queue(load, connection, load.now)
            flush(load, connection)
        if connection.socket is not None:
            watch(load, connection, connection.interest | at_once(load))


def begin(load: Load, duration: int) -> None:
    """Open the window of a trial."""
    active = load.connections[: load.active]
    load.connection_times = new_counts()
    load.opened = 0
    for connection in active:
        connection.listed = False
        connection.owed = 0
        connection.last = connection.queued + load.churn if load.churn else NEVER
        if load.open_loop and connection.index < load.asking and connection.socket is not None:
            enlist(load, connection)
        if load.fan_out:
            connection.answered = active[0].queued  # the number of the next that it receives
    if load.fan_out and (active[0].socket is None or load.open_active == 1):
        hang_up(load)
    load.phase = WINDOW
    load.cpu = time.thread_time()
    load.start = load.now = time.monotonic_ns()
    load.end = load.start + duration
    load.slice_length = max(1, duration // SLICES)
    begin_slow(load)
    if load.think:
        # The first requests spread over one think time, so that connections do not march in step.
        places = load.asking * load.depth
        for number in range(places):
            pause(load, active[number % load.asking], load.start + load.think * number // places)
    if load.paced:
        notice(load)


def begin_connections(load: Load, replies: int) -> None:
    """Send the first requests of some connections more, at least as many as replies came in the round before.

    Not of all at once, or the first replies would wait for the last requests.
    """
    until = min(load.begun + max(START_BATCH, replies), load.asking)
    for connection in load.connections[load.begun : until]:
        if connection.socket is not None:
            load.now = time.monotonic_ns()
            connection.owed = load.depth
            send_owed(load, connection)
    load.begun = until


def measure(load: Load) -> None:
    """The measuring loop: from the start of the window to the end of the grace.

    Raises:
        EOFError: The control socket was closed.
    """
    found = 0
    while True:
        if load.phase is WINDOW and load.now >= load.end:
            close_window(load)
        if load.phase is GRACE and (
            (load.outstanding == 0 and not load.publications and load.taken == load.noticed and load.changing == 0)
            or load.now >= load.give_up
        ):
            return
        if load.open_active == 0:
            load.stopped = True
            return
        horizon = load.end if load.phase is WINDOW else load.give_up
        if load.sleepers:
            wake_sleepers(load)
            if load.sleepers:
                horizon = min(horizon, load.sleepers[0][0])
        spinning = load.busy and load.phase is WINDOW
        timeout_s = 0.0 if spinning else min(1.0, max(0, horizon - load.now) / 1e9)
        if load.phase is WINDOW and load.paced:
            if load.now >= load.next_due:
                notice(load)
            gap = min(horizon, load.next_due) - load.now - SPIN_NS
            spinning = spinning or gap <= 0
            timeout_s = 0.0 if spinning else gap // 1_000_000 / 1000
        elif load.phase is WINDOW and load.begun < load.asking:
            begin_connections(load, found)
            timeout_s = 0.0
        before = load.now
        found = poll_events(load, timeout_s)
        load.now = time.monotonic_ns()
        if spinning and not found:
            load.spun += load.now - before
            if load.busy:
                os.sched_yield()  # kernel threads that carry packets get the CPU at once, not at the end of a slice


def end_publications(load: Load) -> None:
    """Fan-out: give up what has not reached everybody. Then the next trial begins anew."""
    unanswered = sum(not publication.lost for publication in load.publications)
    if unanswered:
        load.errors["timed out"] = load.errors.get("timed out", 0) + unanswered
    load.outstanding = 0
    if load.publications:
        hang_up(load)
    load.publications.clear()
    for connection in load.connections[: load.active]:
        connection.sent = connection.answered = connection.queued
        connection.sent_bytes = connection.reply_bytes = 0
        connection.stamps.clear()
        connection.head.restart()


def finish(load: Load) -> None:
    """Close the window if the trial was cut short, and give up what is still unanswered."""
    if load.phase is WINDOW:
        load.end = load.now
        close_window(load)
    if load.taken < load.noticed:
        load.errors["timed out"] = load.errors.get("timed out", 0) + load.noticed - load.taken
        load.taken = load.noticed
    if load.fan_out:
        end_publications(load)
        return
    for connection in load.connections[: load.active]:
        if connection.queued != connection.answered or connection.connecting or connection.finishing:
            fail(load, connection, "timed out")


class PortableEngine:
    """Opens the connections of a cell and runs its trials.

    Args:
        spec: The load.
        control_fd: A socket whose end of file means: give up at once; -1 if there is none.

    Raises:
        ssl.SSLError: The authority is no certificate.
        ValueError: `host` is no IP address.
    """

    name = "portable"

    def __init__(self, spec: LoadSpec, control_fd: int = -1) -> None:
        self._spec = spec
        self._trials = 0
        self._load = Load(spec)
        self._load.tls = client_context(spec)
        self._negotiated = ""
        if control_fd >= 0:
            # A duplicate, because this object closes what it holds; the descriptor stays its owner's.
            self._load.control = socket.fromfd(control_fd, socket.AF_UNIX, socket.SOCK_STREAM)
            self._load.selector.register(self._load.control, READ, None)

    def connect(self) -> ConnectResult:
        """Open every connection and verify each with one request; the limits of time are the native engine's.

        Raises:
            EOFError: The control socket was closed.
        """
        load = self._load
        patience = round(self._spec.grace_s * 1e9)
        rate = self._spec.connections_per_s
        interval = int(1e9 / rate) if rate else 0
        load.restart()
        deadline = time.monotonic_ns() + patience + (10_000_000 + interval) * len(load.connections)
        open_missing(load, patience, deadline, interval)
        self._negotiated = next(filter(None, (describe(connection.socket) for connection in load.connections)), "")
        opened = [connection.socket is not None for connection in load.connections]
        return ConnectResult(
            connected=sum(opened[: load.active]),
            idle=sum(opened[load.active : load.first_slow]),
            slow=sum(opened[load.first_slow :]),
            errors=load.errors,
            fault=load.fault,
            connection_time=encode_counts(load.connection_times),
        )

    def trial(self, duration_s: float) -> TrialResult:
        """Open what broke since the last trial, then measure for this many seconds, and wait for stragglers.

        Raises:
            EOFError: The control socket was closed.
            ValueError: The duration is not above 0, or absurd.
        """
        if not 1e-9 <= duration_s <= 1e9:
            raise ValueError(f"duration_s is {duration_s:g}, must be above 0 and at most 1e9")
        load = self._load
        duration, grace = round(duration_s * 1e9), round(self._spec.grace_s * 1e9)
        load.restart()
        if load.open_loop:
            load.dues = due_times(self._spec.arrivals, duration_s, self._trials)[self._spec.part :: self._spec.parts]
        self._trials += 1
        load.phase = OPENING
        see_off(load, time.monotonic_ns() + grace)
        poll_events(load, 0)  # who closed since the last trial?
        open_missing(load, grace, time.monotonic_ns() + grace, 0)
        begin(load, duration)
        load.give_up = load.end + grace
        measure(load)
        finish(load)
        seconds = (load.end - load.start) / 1e9
        return TrialResult(
            engine=self.name,
            loop="open" if load.open_loop else "closed",
            duration_s=seconds,
            sent=load.sent,
            replied=load.replied,
            failed=load.failed,
            in_flight=load.in_flight,
            late=load.late,
            errors=load.errors,
            latency=encode_counts(load.latency.tobytes()),
            slices=load.slices,
            cpu_s=load.cpu,
            fault=load.fault,
            due=load.due if load.open_loop else load.sent,
            waiting=load.waiting,
            slip=encode_counts(load.slip.tobytes()) if load.paced else "",
            spun_s=load.spun / 1e9,
            stopped=f"{left_without(self._spec)} after {seconds:.3f} s" if load.stopped else "",
            opened=load.opened,
            connection_time=encode_counts(load.connection_times) if load.churn else "",
            slow_replied=load.slow_replied,
            tls=self._negotiated,
        )

    def close(self) -> None:
        """Close every connection."""
        for connection in self._load.connections:
            if connection.socket is not None:
                with contextlib.suppress(OSError):
                    say_goodbye(connection.socket)
                connection.socket.close()
                connection.socket = None
        if self._load.leaving is not None:
            self._load.leaving.close()
        self._load.selector.close()
        if self._load.control is not None:
            self._load.control.close()

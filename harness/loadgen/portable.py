"""The portable engine: the twin of `engine.pyx` in Python, for where the native one cannot be built.

The same interface, the same results and the same tests. It is slower, so it reaches its own limits sooner; every result
says which engine measured. The functions have the names of those in the native engine, which explains the design.
"""

import errno
import ipaddress
import selectors
import socket
import time
from array import array
from collections import deque

from harness.loadgen.framing import BODY, FAULTS, Head
from harness.loadgen.histogram import COUNTS, HIGHEST_NS, encode_counts, index_of
from harness.loadgen.schedule import due_times
from harness.loadgen.spec import ConnectResult, LoadSpec, TrialResult, sequence_offset
from scenarios.session import Message

RECEIVE_BYTES = 256 * 1024
SEND_BYTES = 64 * 1024
START_BATCH = 64
SPIN_NS = 1_100_000
"""The loop sleeps until this long before a request is due: selectors wait in whole milliseconds, rounded up."""

SLICES = 10
SHOWN = 16
NEVER = 2**63 - 1
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
OPENING, WINDOW, GRACE = "opening", "window", "grace"

KINDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.ETIMEDOUT: "timed out",
    errno.EMFILE: "no descriptors",
    errno.ENFILE: "no descriptors",
    errno.EADDRNOTAVAIL: "no ports",
    errno.EAGAIN: "no ports",
}


class _Template:
    """Copies of one message in a row, to be stamped with sequence numbers right before use."""

    __slots__ = ("data", "message", "size", "start", "stop", "view")

    def __init__(self, message: Message, copies: int) -> None:
        self.data = bytearray(message.data * copies)
        self.view = memoryview(self.data)
        self.size = len(message.data)
        self.start = message.sequence_at
        self.stop = self.start + message.sequence_width
        self.message = message

    def stamp(self, place: int, sequence: int) -> None:
        """Write a sequence number into the message at this place."""
        at = place * self.size
        self.data[at + self.start : at + self.stop] = self.message.stamp(sequence)


class _Connection:
    """One connection and where it stands."""

    __slots__ = (
        "answered", "connecting", "head", "index", "interest", "listed", "offset", "queued", "reply_bytes", "sent",
        "sent_bytes", "since", "socket", "verifying",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        self.head = Head()
        self.offset = sequence_offset(index)
        self.queued = self.sent = self.answered = 0
        self.sent_bytes = self.reply_bytes = 0
        self.since: deque[int] = deque()  # when each unanswered request was sent, or due
        self.socket: socket.socket | None = None
        self.interest = 0
        self.connecting = self.verifying = self.listed = False


class PortableEngine:
    """Opens the connections of a cell and runs its trials.

    Args:
        spec: The load.
        control_fd: A socket whose end of file means: give up at once; -1 if there is none.

    Raises:
        ValueError: `host` is no IP address.
    """

    name = "portable"

    def __init__(self, spec: LoadSpec, control_fd: int = -1) -> None:
        self._spec = spec
        version = ipaddress.ip_address(spec.host).version
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._batch = max(1, min(spec.pipeline_depth, SEND_BYTES // len(spec.request.data)))
        self._request = _Template(spec.request, self._batch)
        self._reply = _Template(spec.reply, 1)
        self._http = spec.reply.framing == "http"
        self._known_head = b""
        self._inbox = bytearray(RECEIVE_BYTES)
        self._inbox_view = memoryview(self._inbox)
        self._all = [_Connection(index) for index in range(spec.connections + spec.idle_connections)]
        self._active = self._all[: spec.connections]
        self._open_active = 0
        self._open_loop = spec.arrivals.open_loop
        self._think = round(spec.think_time_s * 1e9)
        self._paced = self._open_loop or self._think > 0
        self._trials = 0
        self._errors: dict[str, int] = {}
        self._fault = ""
        self._selector = selectors.DefaultSelector()
        self._control: socket.socket | None = None
        if control_fd >= 0:
            # A duplicate, because this object closes what it holds; the descriptor stays its owner's.
            self._control = socket.fromfd(control_fd, socket.AF_UNIX, socket.SOCK_STREAM)
            self._selector.register(self._control, READ, None)
        self._phase = OPENING
        self._now = 0
        self._outstanding = 0
        self._reset_counters()

    def _reset_counters(self) -> None:
        self._sent = self._replied = self._failed = self._in_flight = self._waiting = self._late = self._due = 0
        self._latency = array("Q", bytes(8 * COUNTS))
        self._slip = array("Q", bytes(8 * COUNTS))
        self._slices = [0] * SLICES
        self._spun = 0
        self._stopped = False
        # Open loop: dues[:taken] were sent, dues[taken:noticed] wait for a connection, the rest is not due yet.
        self._dues: array[int] = array("q")
        self._noticed = self._taken = 0
        self._free: deque[_Connection] = deque()
        self._pauses: deque[tuple[int, _Connection]] = deque()
        self._begun = 0
        self._next_due = NEVER
        self._start = 0
        self._end = 0
        self._give_up = 0
        self._slice_length = 1
        self._cpu = 0.0

    def connect(self) -> ConnectResult:
        """Open every connection and verify each with one request; the limits of time are the native engine's.

        Raises:
            EOFError: The control socket was closed.
        """
        patience = round(self._spec.grace_s * 1e9)
        self._errors, self._fault = {}, ""
        self._open_missing(patience, time.monotonic_ns() + patience + 10_000_000 * len(self._all))
        opened = [connection.socket is not None for connection in self._all]
        active = len(self._active)
        return ConnectResult(
            connected=sum(opened[:active]), idle=sum(opened[active:]), errors=self._errors, fault=self._fault
        )

    def trial(self, duration_s: float) -> TrialResult:
        """Open what broke since the last trial, then measure for this many seconds, and wait for stragglers.

        Raises:
            EOFError: The control socket was closed.
            ValueError: The duration is not above 0, or absurd.
        """
        if not 1e-9 <= duration_s <= 1e9:
            raise ValueError(f"duration_s is {duration_s:g}, must be above 0 and at most 1e9")
        duration, grace = round(duration_s * 1e9), round(self._spec.grace_s * 1e9)
        self._reset_counters()
        if self._open_loop:
            self._dues = due_times(self._spec.arrivals, duration_s, self._trials)
        self._trials += 1
        self._errors, self._fault = {}, ""
        self._phase = OPENING
        self._poll(0)  # who closed since the last trial?
        self._open_missing(grace, time.monotonic_ns() + grace)
        self._begin(duration)
        self._give_up = self._end + grace
        self._measure()
        self._finish()
        seconds = (self._end - self._start) / 1e9
        return TrialResult(
            engine=self.name,
            loop="open" if self._open_loop else "closed",
            duration_s=seconds,
            sent=self._sent,
            replied=self._replied,
            failed=self._failed,
            in_flight=self._in_flight,
            late=self._late,
            errors=self._errors,
            latency=encode_counts(self._latency.tobytes()),
            slices=list(self._slices),
            cpu_s=self._cpu,
            fault=self._fault,
            due=self._due if self._open_loop else self._sent,
            waiting=self._waiting,
            slip=encode_counts(self._slip.tobytes()) if self._paced else "",
            spun_s=self._spun / 1e9,
            stopped=f"no connection was left after {seconds:.3f} s" if self._stopped else "",
        )

    def close(self) -> None:
        """Close every connection."""
        for connection in self._all:
            if connection.socket is not None:
                connection.socket.close()
                connection.socket = None
        self._selector.close()
        if self._control is not None:
            self._control.close()

    def _fail(self, connection: _Connection, kind: str) -> None:
        """Close a connection that broke and count every request that was in flight on it."""
        lost = connection.queued - connection.answered
        self._errors[kind] = self._errors.get(kind, 0) + (lost or 1)
        self._outstanding -= lost
        if self._phase is WINDOW:
            self._failed += lost
        if connection.socket is not None:
            if connection.interest:
                self._selector.unregister(connection.socket)
            connection.socket.close()
            connection.socket = None
            if connection.index < len(self._active):
                self._open_active -= 1
        connection.sent = connection.answered = connection.queued
        connection.sent_bytes = connection.reply_bytes = connection.interest = 0
        connection.since.clear()
        connection.head.restart()
        connection.connecting = connection.verifying = False

    def _watch(self, connection: _Connection, interest: int) -> None:
        if connection.interest != interest and connection.socket is not None:
            connection.interest = interest
            self._selector.modify(connection.socket, interest, connection)

    def _flush(self, connection: _Connection) -> None:
        """Send what is queued, as far as the kernel takes it; the selector says when it takes more."""
        request = self._request
        assert connection.socket is not None
        while connection.sent < connection.queued:
            count = min(connection.queued - connection.sent, self._batch)
            for place in range(count):
                request.stamp(place, connection.offset + connection.sent + place)
            try:
                done = connection.socket.send(request.view[connection.sent_bytes : count * request.size])
            except (BlockingIOError, InterruptedError):
                self._watch(connection, READ | WRITE)
                return
            except OSError as fault:
                self._fail(connection, _kind_of(fault.errno))
                return
            whole_requests, connection.sent_bytes = divmod(connection.sent_bytes + done, request.size)
            connection.sent += whole_requests
        self._watch(connection, READ)

    def _queue(self, connection: _Connection, since: int) -> None:
        """Give a connection one more request, whose latency counts from `since`."""
        connection.since.append(since)
        connection.queued += 1
        self._outstanding += 1
        if self._phase is WINDOW:
            self._sent += 1

    def _note_fault(self, connection: _Connection, received: memoryview, excess: bool) -> None:
        """Keep words on the first wrong bytes."""
        if self._fault:
            return
        if excess:
            self._fault = (
                f"connection {connection.index}: {received[:SHOWN].hex(' ')} came after reply {connection.answered}, "
                "when nothing was owed"
            )
            return
        if connection.head.fault:
            quoted = bytes(received[:SHOWN])
            words = FAULTS[connection.head.fault]
            self._fault = f"connection {connection.index}, reply {connection.answered + 1}: {words}, at {quoted!r}"
            return
        expected = self._reply.data[connection.reply_bytes :]
        both = zip(expected, received, strict=False)
        skip = next((place for place, (one, other) in enumerate(both) if one != other), 0)
        length = min(SHOWN, len(received) - skip)
        self._fault = (
            f"connection {connection.index}, reply {connection.answered + 1}, byte {connection.reply_bytes + skip}: "
            f"expected {expected[skip : skip + length].hex(' ')}, received {received[skip : skip + length].hex(' ')}"
        )

    def _enlist(self, connection: _Connection) -> None:
        """Put a connection at the end of the line of those that can take a request, if it is not in it."""
        if not connection.listed:
            connection.listed = True
            self._free.append(connection)

    def _receive(self, connection: _Connection) -> None:
        """Take what has come, verify every byte, record latencies, and go on with the next requests."""
        assert connection.socket is not None
        kind = ""
        got = 0
        try:
            got = connection.socket.recv_into(self._inbox)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as fault:
            kind = _kind_of(fault.errno)
        self._now = time.monotonic_ns()
        if self._phase is WINDOW and self._now >= self._end:
            self._close_window()
        if kind or not got:
            self._fail(connection, kind or "closed")
            return
        complete = self._verify(connection, got)
        if complete < 0:
            self._fail(connection, "wrong")
        elif complete:
            self._count_replies(complete)
            self._go_on(connection, complete)

    def _verify(self, connection: _Connection, got: int) -> int:
        """Return how many replies these bytes complete, or -1 after noting what is wrong with them."""
        reply, view = self._reply, self._inbox_view
        at = complete = 0
        while at < got:
            if connection.answered == connection.queued:
                self._note_fault(connection, view[at:got], True)
                break
            if self._http and connection.head.state != BODY:
                at += self._take_head(connection.head, view[at:got])
                if connection.head.fault:
                    self._note_fault(connection, view[at:got], False)
                    break
                continue
            reply.stamp(0, connection.offset + connection.answered)
            piece = min(reply.size - connection.reply_bytes, got - at)
            if reply.view[connection.reply_bytes : connection.reply_bytes + piece] != view[at : at + piece]:
                self._note_fault(connection, view[at : at + piece], False)
                break
            at += piece
            connection.reply_bytes += piece
            if connection.reply_bytes == reply.size:
                connection.reply_bytes = 0
                if self._http:
                    connection.head.restart()
                since = connection.since.popleft()
                if self._phase is not OPENING:
                    self._latency[index_of(min(max(self._now - since, 0), HIGHEST_NS))] += 1
                connection.answered += 1
                complete += 1
        if at < got:  # the whole replies before the fault are good ones
            self._count_replies(complete)
            return -1
        return complete

    def _take_head(self, head: Head, data: memoryview) -> int:
        """Take the head of a response, or what has come of it, and return how many bytes that was."""
        # Servers say the same head again and again: comparing it is ten times as fast as reading it.
        size = len(self._known_head)
        if size and head.size == 0 and data[:size] == self._known_head:
            head.state = BODY
            return size
        whole = head.size == 0
        taken = head.take(data, self._reply.size)
        if whole and head.state == BODY and not head.fault:
            self._known_head = bytes(data[:taken])
        return taken

    def _count_replies(self, complete: int) -> None:
        self._outstanding -= complete
        if self._phase is WINDOW:
            self._slices[min(SLICES - 1, (self._now - self._start) // self._slice_length)] += complete
            self._replied += complete
        elif self._phase is GRACE:
            self._late += complete

    def _go_on(self, connection: _Connection, complete: int) -> None:
        """Give a connection its next requests after so many replies."""
        if self._phase is OPENING:
            connection.verifying = False
        elif self._open_loop:
            given = 0
            while self._taken < self._noticed and given < complete:
                self._queue(connection, self._start + self._dues[self._taken])
                self._taken += 1
                given += 1
            if given:
                self._flush(connection)
            if given < complete and connection.socket is not None:
                self._enlist(connection)
        elif self._phase is WINDOW:
            for _ in range(complete):
                if self._think:
                    self._pauses.append((self._now + self._think, connection))
                else:
                    self._queue(connection, self._now)
            if not self._think:
                self._flush(connection)

    def _close_window(self) -> None:
        """End the measured window: from here on nothing counts as throughput."""
        self._cpu = time.thread_time() - self._cpu
        self._phase = GRACE
        self._in_flight = self._outstanding
        self._pauses.clear()
        self._notice()
        if self._open_loop:
            self._waiting = self._due - self._sent

    def _notice(self) -> None:
        """Act on every request that is due: send it if a connection is free, leave it waiting if none is."""
        while self._noticed < len(self._dues):
            due = self._start + self._dues[self._noticed]
            if due > self._now:
                break
            self._slip[index_of(min(self._now - due, HIGHEST_NS))] += 1
            self._noticed += 1
            self._due += 1
            while self._free and self._taken + 1 == self._noticed:
                connection = self._free.popleft()
                connection.listed = False
                if connection.socket is None:  # broke while it was free
                    continue
                self._taken += 1
                self._queue(connection, due)
                self._flush(connection)
                if connection.socket is not None and len(connection.since) < self._spec.pipeline_depth:
                    self._enlist(connection)
            self._now = time.monotonic_ns()
        while self._pauses and self._pauses[0][0] <= self._now:
            due, connection = self._pauses.popleft()
            if connection.socket is None:
                continue
            self._now = time.monotonic_ns()
            self._slip[index_of(min(self._now - due, HIGHEST_NS))] += 1
            self._queue(connection, self._now)
            self._flush(connection)
        if self._noticed < len(self._dues):
            self._next_due = self._start + self._dues[self._noticed]
        else:
            self._next_due = self._pauses[0][0] if self._pauses else NEVER

    def _open_one(self, connection: _Connection) -> None:
        """Begin a connection without waiting for it."""
        try:
            connection.socket = socket.socket(self._family, socket.SOCK_STREAM)
        except OSError as fault:
            self._fail(connection, _kind_of(fault.errno))
            return
        if connection.index < len(self._active):
            self._open_active += 1
        connection.socket.setblocking(False)
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = connection.socket.connect_ex((self._spec.host, self._spec.port))
        if error not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._fail(connection, _kind_of(error))
            return
        connection.connecting = connection.verifying = True
        connection.interest = WRITE
        self._selector.register(connection.socket, WRITE, connection)

    def _finish_connecting(self, connection: _Connection) -> None:
        """Send the first request of a connection that was made, or say why it was not."""
        assert connection.socket is not None
        error = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(connection, _kind_of(error))
            return
        connection.connecting = False
        self._queue(connection, self._now)
        self._flush(connection)

    def _poll(self, timeout_s: float) -> int:
        """Wait for events and handle them, looking in between at the requests that come due."""
        ready = self._selector.select(timeout_s)
        for key, events in ready:
            connection: _Connection | None = key.data
            if connection is None:
                self._check_control()
            elif connection.socket is not None:  # it may have failed since it was reported
                if connection.connecting:
                    self._finish_connecting(connection)
                    continue
                if events & WRITE:
                    self._flush(connection)
                if connection.socket is not None and events & READ:
                    self._receive(connection)
            if self._paced and self._now >= self._next_due and self._phase is not OPENING:
                self._notice()
        return len(ready)

    def _check_control(self) -> None:
        """Raise EOFError if the control socket is at its end; a command that came early is left where it is."""
        assert self._control is not None
        try:
            ended = not self._control.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            ended = True
        if ended:
            raise EOFError("the control socket was closed")

    def _open_missing(self, patience: int, deadline: int) -> None:
        """Open and verify every connection that is not open, some at a time; give up when none makes progress."""
        self._phase = OPENING
        self._now = time.monotonic_ns()
        limit = self._now + patience
        missing = deque(connection for connection in self._all if connection.socket is None)
        pending: list[_Connection] = []
        while True:
            before = len(pending)
            pending = [connection for connection in pending if connection.verifying]
            if len(pending) < before:
                limit = self._now + patience
            while missing and len(pending) < START_BATCH:
                connection = missing.popleft()
                self._open_one(connection)
                if connection.verifying:
                    pending.append(connection)
            limit = min(limit, deadline)
            if not pending or self._now >= limit:
                break
            self._poll(min(1.0, (limit - self._now) / 1e9))
            self._now = time.monotonic_ns()
        for connection in (*pending, *missing):
            self._fail(connection, "timed out")

    def _begin(self, duration: int) -> None:
        """Open the window of a trial."""
        if self._open_loop:
            for connection in self._active:
                connection.listed = False
                if connection.socket is not None:
                    self._enlist(connection)
        self._phase = WINDOW
        self._cpu = time.thread_time()
        self._start = self._now = time.monotonic_ns()
        self._end = self._start + duration
        self._slice_length = max(1, duration // SLICES)
        if self._think:
            # The first requests spread over one think time, so that connections do not march in step.
            places = len(self._active) * self._spec.pipeline_depth
            for number in range(places):
                connection = self._active[number % len(self._active)]
                self._pauses.append((self._start + self._think * number // places, connection))
        if self._paced:
            self._notice()

    def _begin_connections(self, replies: int) -> None:
        """Send the first requests of some connections more, at least as many as replies came in the round before.

        Not of all at once, or the first replies would wait for the last requests.
        """
        batch = max(START_BATCH, replies)
        for connection in self._active[self._begun : self._begun + batch]:
            if connection.socket is not None:
                self._now = time.monotonic_ns()
                for _ in range(self._spec.pipeline_depth):
                    self._queue(connection, self._now)
                self._flush(connection)
        self._begun += batch

    def _measure(self) -> None:
        """The measuring loop: from the start of the window to the end of the grace."""
        found = 0
        while True:
            if self._phase is WINDOW and self._now >= self._end:
                self._close_window()
            if self._phase is GRACE and (
                (self._outstanding == 0 and self._taken == self._noticed) or self._now >= self._give_up
            ):
                return
            if self._open_active == 0:
                self._stopped = True
                return
            horizon = self._end if self._phase is WINDOW else self._give_up
            timeout_s = min(1.0, max(0, horizon - self._now) / 1e9)
            spinning = False
            if self._phase is WINDOW and self._paced:
                if self._now >= self._next_due:
                    self._notice()
                gap = min(horizon, self._next_due) - self._now - SPIN_NS
                spinning = gap <= 0
                timeout_s = max(0, gap) // 1_000_000 / 1000
            elif self._phase is WINDOW and self._begun < len(self._active):
                self._begin_connections(found)
                timeout_s = 0.0
            before = self._now
            found = self._poll(timeout_s)
            self._now = time.monotonic_ns()
            if spinning and not found:
                self._spun += self._now - before

    def _finish(self) -> None:
        """Close the window if the trial was cut short, and give up what is still unanswered."""
        if self._phase is WINDOW:
            self._end = self._now
            self._close_window()
        if self._taken < self._noticed:
            self._errors["timed out"] = self._errors.get("timed out", 0) + self._noticed - self._taken
            self._taken = self._noticed
        for connection in self._active:
            if connection.since:
                self._fail(connection, "timed out")


def _kind_of(error: int | None) -> str:
    return KINDS.get(error or 0, "unreachable")

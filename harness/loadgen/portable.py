"""The portable engine: the twin of `engine.pyx` in Python, for where the native one cannot be built.

The same interface, the same results and the same tests. It is slower, so it reaches its own limits sooner; every result
says which engine measured. The functions have the names of those in the native engine, which explains the design.
"""

import errno
import ipaddress
import selectors
import socket
import sys
import time
from array import array
from collections import deque

from harness.loadgen.framing import BODY, FAULTS, Head
from harness.loadgen.histogram import COUNTS, HIGHEST_NS, encode_counts, index_of
from harness.loadgen.schedule import due_times
from harness.loadgen.spec import UNIX, ConnectResult, LoadSpec, TrialResult, sequence_offset
from scenarios.session import Message

RECEIVE_BYTES = 256 * 1024
SEND_BYTES = 64 * 1024
START_BATCH = 64
SPIN_NS = 1_100_000
"""The loop sleeps until this long before a request is due: selectors wait in whole milliseconds, rounded up."""

SLICES = 10
SHOWN = 16
SOURCES = 64
SLOW_BUFFER = 4096
NEVER = 2**63 - 1
NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""The option's number on Linux, where `socket` does not name it before Python 3.12 (ip(7))."""

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
        "answered", "began", "connecting", "finishing", "head", "index", "interest", "last", "listed", "offset", "owed",
        "queued", "reading", "reply_bytes", "sent", "sent_bytes", "since", "slow", "socket", "verifying",
    )  # fmt: skip

    def __init__(self, index: int, offset: int, slow: bool) -> None:
        self.index = index
        self.slow = slow
        self.head = Head()
        self.offset = offset
        self.queued = self.sent = self.answered = 0
        self.sent_bytes = self.reply_bytes = 0
        self.since: deque[int] = deque()  # when each unanswered request was sent, or due
        self.socket: socket.socket | None = None
        self.interest = 0
        self.reading = READ  # or 0 while a slow reader pauses
        self.last = NEVER  # requests after which it is replaced, counted like `queued`
        self.owed = 0  # closed loop: requests that it has to send as soon as it can
        self.began = 0  # when it began to connect
        self.connecting = self.finishing = self.verifying = self.listed = False


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
        self._family, self._address, self._loopback = _address_of(spec)
        self._source = 0  # which of the source addresses is in use
        self._batch = max(1, min(spec.pipeline_depth, SEND_BYTES // len(spec.request.data)))
        self._request = _Template(spec.request, self._batch)
        self._reply = _Template(spec.reply, 1)
        self._http = spec.reply.framing == "http"
        self._known_head = b""
        self._inbox = bytearray(RECEIVE_BYTES)
        self._inbox_view = memoryview(self._inbox)
        first_slow = spec.connections + spec.idle_connections
        self._all = [
            _Connection(index, sequence_offset(spec.first_connection + index), index >= first_slow)
            for index in range(first_slow + spec.slow_connections)
        ]
        self._slow = self._all[first_slow:]
        self._slow_bytes, self._slow_pause = spec.slow_reading() if spec.slow_connections else (0, 0)
        self._changing = 0  # connections that are connecting or finishing
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
        self._connection_times = array("Q", bytes(8 * COUNTS))
        self._opened = self._slow_replied = 0
        self._slices = [0] * SLICES
        self._spun = 0
        self._stopped = False
        # Open loop: dues[:taken] were sent, dues[taken:noticed] wait for a connection, the rest is not due yet.
        self._dues: array[int] = array("q")
        self._noticed = self._taken = 0
        self._free: deque[_Connection] = deque()
        self._pauses: deque[tuple[int, _Connection]] = deque()
        self._sleepers: deque[tuple[int, _Connection]] = deque()
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
        rate = self._spec.connections_per_s
        interval = int(1e9 / rate) if rate else 0
        self._errors, self._fault = {}, ""
        self._reset_counters()
        deadline = time.monotonic_ns() + patience + (10_000_000 + interval) * len(self._all)
        self._open_missing(patience, deadline, interval)
        opened = [connection.socket is not None for connection in self._all]
        active, first_slow = len(self._active), len(self._all) - len(self._slow)
        return ConnectResult(
            connected=sum(opened[:active]),
            idle=sum(opened[active:first_slow]),
            errors=self._errors,
            fault=self._fault,
            slow=sum(opened[first_slow:]),
            connection_time=encode_counts(self._connection_times),
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
            self._dues = due_times(self._spec.arrivals, duration_s, self._trials)[self._spec.part :: self._spec.parts]
        self._trials += 1
        self._errors, self._fault = {}, ""
        self._phase = OPENING
        self._poll(0)  # who closed since the last trial?
        self._open_missing(grace, time.monotonic_ns() + grace, 0)
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
            opened=self._opened,
            connection_time=encode_counts(self._connection_times) if self._spec.requests_per_connection else "",
            slow_replied=self._slow_replied,
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
        if not connection.slow:
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
        connection.owed = 0
        self._changing -= connection.connecting or connection.finishing
        connection.connecting = connection.verifying = connection.finishing = False

    def _watch(self, connection: _Connection, interest: int) -> None:
        before = connection.interest
        if before != interest and connection.socket is not None:
            connection.interest = interest
            if not interest:
                self._selector.unregister(connection.socket)
            elif before:
                self._selector.modify(connection.socket, interest, connection)
            else:
                self._selector.register(connection.socket, interest, connection)

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
                self._watch(connection, connection.reading | WRITE)
                return
            except OSError as fault:
                self._fail(connection, _kind_of(fault.errno))
                return
            whole_requests, connection.sent_bytes = divmod(connection.sent_bytes + done, request.size)
            connection.sent += whole_requests
        self._watch(connection, connection.reading)

    def _queue(self, connection: _Connection, since: int) -> None:
        """Give a connection one more request, whose latency counts from `since`."""
        connection.since.append(since)
        connection.queued += 1
        if not connection.slow:
            self._outstanding += 1
            if self._phase is WINDOW:
                self._sent += 1

    def _can_take(self, connection: _Connection) -> bool:
        """Whether a connection can take one more request."""
        return (
            connection.socket is not None
            and not connection.connecting
            and connection.queued < connection.last
            and len(connection.since) < self._spec.pipeline_depth
        )

    def _send_owed(self, connection: _Connection) -> None:
        """Send what a connection owes, as far as it may: not while it connects, and no more than its last request."""
        if connection.connecting or connection.finishing:
            return
        while connection.owed and connection.queued < connection.last:
            connection.owed -= 1
            self._queue(connection, self._now)
        self._flush(connection)

    def _take_waiting(self, connection: _Connection, most: int) -> int:
        """Give a connection requests that were due and wait for one, at most so many; return how many there were."""
        number = 0
        while self._taken < self._noticed and number < most and connection.queued < connection.last:
            self._queue(connection, self._start + self._dues[self._taken])
            self._taken += 1
            number += 1
        if number:
            self._flush(connection)
        return number

    def _replacing(self) -> bool:
        """Whether connections that had their requests are replaced: in the window, and while requests wait for one."""
        return self._phase is WINDOW or self._taken < self._noticed

    def _retire(self, connection: _Connection) -> None:
        """End a connection that has had its requests: by half-closing it, where that is asked for."""
        assert connection.socket is not None
        if not self._spec.half_close:
            self._close_one(connection)
            return
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError as fault:
            self._fail(connection, _kind_of(fault.errno))
        else:
            connection.finishing = True
            self._changing += 1

    def _close_one(self, connection: _Connection) -> None:
        """Close a connection that has had its requests, and open one in its place."""
        assert connection.socket is not None
        self._selector.unregister(connection.socket)
        connection.socket.close()
        connection.socket = None
        self._open_active -= 1
        self._changing -= connection.finishing
        connection.finishing = False
        if self._replacing():
            self._open_one(connection)

    def _rest(self, connection: _Connection) -> None:
        """Have a slow reader read no more until its pause is over."""
        self._sleepers.append((self._now + self._slow_pause, connection))
        connection.reading = 0
        self._watch(connection, connection.interest & WRITE)

    def _wake_sleepers(self) -> None:
        """Let the slow readers whose pause is over read again."""
        while self._sleepers and self._sleepers[0][0] <= self._now:
            connection = self._sleepers.popleft()[1]
            if connection.socket is not None:
                connection.reading = READ
                self._watch(connection, connection.interest | READ)

    def _count_time(self, counts: "array[int]", time_ns: int) -> None:
        """Count a time in nanoseconds in a histogram."""
        counts[index_of(min(max(time_ns, 0), HIGHEST_NS))] += 1

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
        limit = self._slow_bytes if connection.slow and self._phase is not OPENING else RECEIVE_BYTES
        try:
            got = connection.socket.recv_into(self._inbox, min(limit, RECEIVE_BYTES))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as fault:
            kind = _kind_of(fault.errno)
        self._now = time.monotonic_ns()
        if self._phase is WINDOW and self._now >= self._end:
            self._close_window()
        if connection.finishing and not got and not kind:
            self._close_one(connection)
            return
        if kind or not got:
            self._fail(connection, kind or "closed")
            return
        complete = self._verify(connection, got)
        if complete < 0:
            self._fail(connection, "wrong")
        elif complete:
            self._count_replies(connection, complete)
            self._go_on(connection, complete)
        if connection.slow and self._phase is not OPENING and connection.socket is not None and connection.reading:
            self._rest(connection)

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
                if self._phase is not OPENING and not connection.slow:
                    self._count_time(self._latency, self._now - since)
                connection.answered += 1
                complete += 1
        if at < got:  # the whole replies before the fault are good ones
            self._count_replies(connection, complete)
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

    def _count_replies(self, connection: _Connection, complete: int) -> None:
        if connection.slow:
            self._slow_replied += complete if self._phase is WINDOW else 0
            return
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
            return
        if connection.slow:
            for _ in range(complete):
                self._queue(connection, self._now)
            self._flush(connection)
            return
        if self._open_loop:
            if self._take_waiting(connection, complete) < complete and self._can_take(connection):
                self._enlist(connection)
        elif self._phase is WINDOW:
            if self._think:
                for _ in range(complete):
                    self._pauses.append((self._now + self._think, connection))
            else:
                connection.owed += complete
                self._send_owed(connection)
        if connection.answered == connection.last and connection.socket is not None and self._replacing():
            self._retire(connection)

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
            self._count_time(self._slip, self._now - due)
            self._noticed += 1
            self._due += 1
            while self._free and self._taken + 1 == self._noticed:
                connection = self._free.popleft()
                connection.listed = False
                if not self._can_take(connection):  # it broke while it was free, or was given requests meanwhile
                    continue
                self._taken += 1
                self._queue(connection, due)
                self._flush(connection)
                if self._can_take(connection):
                    self._enlist(connection)
            self._now = time.monotonic_ns()
        while self._pauses and self._pauses[0][0] <= self._now:
            due, connection = self._pauses.popleft()
            if connection.socket is None:
                continue
            self._now = time.monotonic_ns()
            self._count_time(self._slip, self._now - due)
            connection.owed += 1
            self._send_owed(connection)
        if self._noticed < len(self._dues):
            self._next_due = self._start + self._dues[self._noticed]
        else:
            self._next_due = self._pauses[0][0] if self._pauses else NEVER

    def _begin_connecting(self, slow: bool) -> socket.socket:
        """Return a new socket that has begun to connect; raises OSError."""
        for _ in range(SOURCES):
            made = socket.socket(self._family, socket.SOCK_STREAM)
            made.setblocking(False)
            if self._family != socket.AF_UNIX:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if slow:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
            if self._source:
                if sys.platform == "linux":
                    made.setsockopt(socket.IPPROTO_IP, NO_PORT_YET, 1)
                made.bind((f"127.0.0.{1 + self._source}", 0))
            error = made.connect_ex(self._address)
            if error in (0, errno.EINPROGRESS, errno.EWOULDBLOCK) and (error != errno.EAGAIN or not self._is_unix()):
                return made
            made.close()
            if error == errno.EAGAIN:
                error = errno.ECONNREFUSED  # its backlog is full (unix(7)): there is nothing to wait for
            if error != errno.EADDRNOTAVAIL or not self._loopback:
                raise OSError(error, "connect")
            # All ports of this source are taken, most by connections in TIME_WAIT: each source has ports of its own.
            self._source = (self._source + 1) % SOURCES
        raise OSError(errno.EADDRNOTAVAIL, "connect")

    def _is_unix(self) -> bool:
        return self._spec.host.startswith(UNIX)

    def _open_one(self, connection: _Connection) -> None:
        """Begin a connection without waiting for it."""
        connection.began = time.monotonic_ns()
        try:
            connection.socket = self._begin_connecting(connection.slow)
        except OSError as fault:
            self._fail(connection, _kind_of(fault.errno))
            return
        if connection.index < len(self._active):
            self._open_active += 1
        self._changing += 1
        connection.connecting = True
        connection.verifying = self._phase is OPENING
        connection.reading = READ
        connection.interest = WRITE
        self._selector.register(connection.socket, WRITE, connection)

    def _finish_connecting(self, connection: _Connection) -> None:
        """Send the first request of a connection that was made, or say why it was not."""
        assert connection.socket is not None
        error = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(connection, _kind_of(error))
            return
        self._now = time.monotonic_ns()
        self._count_time(self._connection_times, self._now - connection.began)
        self._opened += 1
        if self._phase is WINDOW and self._now >= self._end:
            self._close_window()
        self._changing -= 1
        connection.connecting = False
        connection.last = connection.queued + (self._spec.requests_per_connection or NEVER)
        if self._phase is OPENING:
            self._queue(connection, self._now)
            self._flush(connection)
        elif self._open_loop:
            depth = self._spec.pipeline_depth
            if self._take_waiting(connection, depth) < depth and self._can_take(connection):
                self._enlist(connection)
            if connection.socket is not None:
                self._flush(connection)  # nothing may have been sent: then what is watched changes here
        elif self._phase is WINDOW:
            self._send_owed(connection)
        else:
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

    def _open_missing(self, patience: int, deadline: int, interval: int) -> None:
        """Open and verify every connection that is not open, and give up when none makes progress.

        One is begun every `interval` nanoseconds, or some at a time where that is 0.
        """
        self._phase = OPENING
        self._now = next_time = time.monotonic_ns()
        limit = self._now + patience
        missing = deque(connection for connection in self._all if connection.socket is None)
        pending: list[_Connection] = []
        while True:
            before = len(pending)
            pending = [connection for connection in pending if connection.verifying]
            if len(pending) < before or not pending:
                limit = self._now + patience
            while missing and (self._now >= next_time if interval else len(pending) < START_BATCH):
                connection = missing.popleft()
                self._open_one(connection)
                next_time += interval
                if connection.verifying:
                    pending.append(connection)
            limit = min(limit, deadline)
            if not (pending or missing) or self._now >= limit:
                break
            horizon = min(limit, next_time) if interval and missing else limit
            self._poll(min(1.0, max(0, horizon - self._now) / 1e9))
            self._now = time.monotonic_ns()
        for connection in (*pending, *missing):
            self._fail(connection, "timed out")

    def _begin(self, duration: int) -> None:
        """Open the window of a trial."""
        churn = self._spec.requests_per_connection or NEVER
        self._connection_times = array("Q", bytes(8 * COUNTS))
        self._opened = 0
        for connection in self._active:
            connection.owed = 0
            connection.last = connection.queued + churn
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
        for connection in self._slow:
            connection.reading = READ
            if connection.socket is not None:
                while len(connection.since) < self._spec.pipeline_depth:
                    self._queue(connection, self._now)
                self._flush(connection)
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
                connection.owed = self._spec.pipeline_depth
                self._send_owed(connection)
        self._begun += batch

    def _measure(self) -> None:
        """The measuring loop: from the start of the window to the end of the grace."""
        found = 0
        while True:
            if self._phase is WINDOW and self._now >= self._end:
                self._close_window()
            if self._phase is GRACE and (
                (self._outstanding == 0 and self._taken == self._noticed and self._changing == 0)
                or self._now >= self._give_up
            ):
                return
            if self._open_active == 0:
                self._stopped = True
                return
            horizon = self._end if self._phase is WINDOW else self._give_up
            if self._sleepers:
                self._wake_sleepers()
                if self._sleepers:
                    horizon = min(horizon, self._sleepers[0][0])
            timeout_s = min(1.0, max(0, horizon - self._now) / 1e9)
            spinning = self._spec.busy_wait and self._outstanding > 0 and self._phase is WINDOW
            timeout_s = 0.0 if spinning else timeout_s
            if self._phase is WINDOW and self._paced:
                if self._now >= self._next_due:
                    self._notice()
                gap = min(horizon, self._next_due) - self._now - SPIN_NS
                spinning = spinning or gap <= 0
                timeout_s = 0.0 if spinning else gap // 1_000_000 / 1000
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
            if connection.since or connection.connecting or connection.finishing:
                self._fail(connection, "timed out")


def _address_of(spec: LoadSpec) -> tuple[int, str | tuple[str, int], bool]:
    """Return the family of sockets, what connect takes, and whether further source addresses can be had."""
    if spec.host.startswith(UNIX):
        path = spec.host.removeprefix(UNIX)
        return socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path, False
    address = ipaddress.ip_address(spec.host)
    if address.version == 4:
        return socket.AF_INET, (spec.host, spec.port), address.is_loopback
    return socket.AF_INET6, (spec.host, spec.port), False


def _kind_of(error: int | None) -> str:
    return KINDS.get(error or 0, "unreachable")

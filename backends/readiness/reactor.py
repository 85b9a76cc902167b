"""The reactor: one event loop over any multiplexer. It accepts, reads, writes, keeps timers and drives the sessions.

A multiplexer only says which descriptors are ready; everything that a connection is owed (see `backends.contract`) is
done here, once. A new multiplexer is a file beside this one and never touches it.
"""

import errno
import heapq
import itertools
import socket
import time
from collections.abc import Callable
from typing import Protocol

from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, READ_SIZE, Server, report_session_failure

READ = 1
"""Ready to read: the value of POLLIN and EPOLLIN."""

WRITE = 4
"""Ready to write: the value of POLLOUT and EPOLLOUT."""

ACCEPT_BATCH = 64
"""Connections accepted at most before those already accepted get their turn."""

BROKEN = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM}
)
"""Errors of accept(2) that concern one peer only: the next one may be fine."""


class Multiplexer(Protocol):
    """Waits for many descriptors at once.

    Attributes:
        edge: Whether an event is reported only once, when the state changes (epoll's EPOLLET). The reactor then reads
            until EAGAIN.
    """

    edge: bool

    def register(self, fd: int, events: int) -> None:
        """Start watching a descriptor for READ, WRITE or both."""

    def modify(self, fd: int, events: int) -> None:
        """Watch a registered descriptor for other events; 0 watches only for errors, if at all."""

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor; to be called before it is closed."""

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return (descriptor, events) of all that are ready, waiting up to `timeout` seconds; None waits for ever.

        Bits other than READ and WRITE say that the descriptor has an error or was hung up.
        """

    def close(self) -> None:
        """Give back what the multiplexer holds."""


class Connection:
    """One accepted socket, its session, and what is still to be sent."""

    __slots__ = (
        "_at_eof",
        "_modify",
        "_reactor",
        "_receive",
        "_recv",
        "_send",
        "_socket",
        "_unsent",
        "_wakes_at",
        "fd",
        "session",
    )

    def __init__(self, reactor: "Reactor", accepted: socket.socket) -> None:
        self.fd = accepted.fileno()
        self.session = reactor.new_session()
        self._reactor = reactor
        self._socket = accepted
        self._recv = accepted.recv
        self._send = accepted.send
        self._receive = self.session.receive
        self._modify = reactor.multiplexer.modify
        self._unsent: memoryview | None = None
        self._at_eof = False
        self._wakes_at: float | None = None

    def ready(self, events: int) -> bool:
        """Read once or write on, as the multiplexer says; return whether there may be more to read at once."""
        if self._unsent is not None:
            self._flush(self._unsent)
            return False
        if self._at_eof:
            # Nothing is read or owed, so only an error or hang-up can have woken us: the peer is gone.
            if events & ~(READ | WRITE):
                self.close()
            return False
        try:
            data = self._recv(READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        if not data:
            self._at_eof = True
            self._run(self.session.eof)
            return False
        # The common case is written out, because a call more costs 1% of a request.
        session = self.session
        try:
            reply = self._receive(data)
        except Exception:
            report_session_failure()
            self.close()
            return False
        if reply:
            try:
                sent = self._send(reply)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return False
            if sent != len(reply):
                self._hold(memoryview(reply)[sent:])
        if session.wake_at is not None:
            self._wake_later(session.wake_at)
        return self._unsent is None

    def close(self) -> None:
        """Forget the connection."""
        if self._reactor.connections.pop(self.fd, None) is not None:
            self._reactor.multiplexer.unregister(self.fd)
            self._socket.close()

    def _run(self, step: Callable[[], bytes]) -> None:
        try:
            reply = step()
        except Exception:
            report_session_failure()
            self.close()
            return
        if reply:
            if self._unsent is None:
                self._flush(memoryview(reply))
            else:
                # Only a wake can come while bytes wait, and it brings no more than its session had in store.
                self._unsent = memoryview(b"".join((self._unsent, reply)))
        if self.session.wake_at is not None:
            self._wake_later(self.session.wake_at)
        if self._at_eof:
            self._close_if_done()

    def _wake_later(self, when: float) -> None:
        if self._wakes_at is None or when < self._wakes_at:
            self._wakes_at = when
            self._reactor.call_at(when, lambda: self._wake(when))

    def _wake(self, when: float) -> None:
        # A timer that an earlier one has overtaken, or whose connection is gone, comes to nothing.
        if when == self._wakes_at and self._reactor.connections.get(self.fd) is self:
            self._wakes_at = None
            self._run(self.session.wake)

    def _flush(self, unsent: memoryview) -> None:
        try:
            sent = self._send(unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(unsent):
            self._hold(unsent[sent:])
        elif self._unsent is not None:
            self._unsent = None
            if self._at_eof:
                self._close_if_done()
            else:
                self._modify(self.fd, READ)

    def _hold(self, unsent: memoryview) -> None:
        """Keep what a short write left, and read no more until the peer has taken it."""
        if self._unsent is None:
            self._modify(self.fd, WRITE)
        self._unsent = unsent

    def _close_if_done(self) -> None:
        if self._unsent is None:
            if self.session.wake_at is None:
                self.close()
            elif self._reactor.connections.get(self.fd) is self:
                # The end of file stays readable: without this a level-triggered multiplexer would report it for ever.
                self._modify(self.fd, 0)


class Reactor:
    """The event loop of one server.

    Attributes:
        connections: Descriptor -> connection.
        multiplexer: Who waits.
        new_session: Makes the session of a new connection.
    """

    def __init__(self, server: Server, multiplexer: Multiplexer) -> None:
        self.connections: dict[int, Connection] = {}
        self.multiplexer = multiplexer
        self.new_session = server.new_session
        self._listener = server.listener
        self._stop_fd = server.stop_fd
        self._accepting = False
        self._order = itertools.count()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []

    def run(self) -> None:
        """Serve until the stop descriptor becomes readable; closes every connection and the multiplexer."""
        multiplexer = self.multiplexer
        wait = multiplexer.wait
        find = self.connections.get
        drain = multiplexer.edge
        timers = self._timers
        multiplexer.register(self._stop_fd, READ)
        self._resume_accepting()
        timeout: float | None = None
        try:
            while True:
                for fd, events in wait(timeout):
                    connection = find(fd)
                    if connection is not None:
                        more = connection.ready(events)
                        while drain and more:
                            more = connection.ready(events)
                    elif fd == self._stop_fd:
                        return
                    elif self._accepting:
                        self._accept()
                if timers:
                    timeout = self._run_timers()
                elif timeout is not None:
                    timeout = None
        finally:
            for connection in list(self.connections.values()):
                connection.close()
            multiplexer.close()

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call back at a time of `time.monotonic`."""
        heapq.heappush(self._timers, (when, next(self._order), call))

    def _run_timers(self) -> float | None:
        timers = self._timers
        now = time.monotonic()
        while timers and timers[0][0] <= now:
            heapq.heappop(timers)[2]()
        return max(0.0, timers[0][0] - time.monotonic()) if timers else None

    def _accept(self) -> None:
        accept = self._listener.accept
        register = self.multiplexer.register
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, _address = accept()
            except BlockingIOError:
                return
            except OSError as fault:
                if fault.errno in OUT_OF_DESCRIPTORS:
                    # The peer stays in the backlog, so the listener stays readable: watching it on would spin.
                    self._pause_accepting()
                    return
                if fault.errno in BROKEN:
                    continue
                raise
            accepted.setblocking(False)
            try:
                connection = Connection(self, accepted)
                register(connection.fd, READ)
            except Exception:  # a session that cannot be made, or a descriptor that cannot be watched
                report_session_failure()
                accepted.close()
                continue
            self.connections[connection.fd] = connection
        if self.multiplexer.edge:
            # The batch ended before EAGAIN, so no new edge is owed for those still waiting: ask for one.
            self.multiplexer.modify(self._listener.fileno(), READ)

    def _pause_accepting(self) -> None:
        self._accepting = False
        self.multiplexer.unregister(self._listener.fileno())
        self.call_at(time.monotonic() + ACCEPT_PAUSE_S, self._resume_accepting)

    def _resume_accepting(self) -> None:
        self._accepting = True
        self.multiplexer.register(self._listener.fileno(), READ)

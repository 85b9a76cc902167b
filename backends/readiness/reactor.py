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

from backends.contract import (
    ACCEPT_PAUSE_S,
    OUT_OF_DESCRIPTORS,
    Server,
    is_readable,
    report_session_failure,
)

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

    One that inherits from it has to say how to `modify` and to `wait`; the rest is left out where the usual will do.

    Attributes:
        edge: Whether an event is reported only once, when the state changes (epoll's EPOLLET). The reactor then reads
            until EAGAIN.
    """

    edge: bool = False

    def register(self, fd: int, events: int) -> None:
        """Start watching a descriptor for READ or WRITE. Usually the same as `modify`."""
        self.modify(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Watch a registered descriptor for READ or WRITE instead; 0 watches only for errors, if at all."""
        raise NotImplementedError

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor; to be called before it is closed. Usually the same as `modify` with 0."""
        self.modify(fd, 0)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return (descriptor, events) of all that are ready, waiting up to `timeout` seconds; None waits for ever.

        Bits other than READ and WRITE say that the descriptor has an error or was hung up.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give back what the multiplexer holds. Usually nothing."""
        return


class Connection:
    """One accepted socket, its session, and what is still to be sent.

    The reactor calls back one of `_read`, `_read_all`, `_write` or `_watch`, whichever fits the connection's state.
    """

    __slots__ = (
        "_at_eof",
        "_notified",
        "_on_readable",
        "_open",
        "_reactor",
        "_read_size",
        "_receive",
        "_recv",
        "_send",
        "_session",
        "_socket",
        "_unsent",
        "_wakes_at",
        "fd",
    )

    def __init__(self, reactor: "Reactor", accepted: socket.socket) -> None:
        self.fd = accepted.fileno()
        self._reactor = reactor
        self._socket = accepted
        self._recv = accepted.recv
        self._read_size = reactor.read_size
        self._send = accepted.send
        self._session = reactor.new_session()
        self._receive = self._session.receive
        self._unsent = memoryview(b"")
        self._at_eof = False
        self._open = True
        self._wakes_at: float | None = None
        self._notified = False
        self._on_readable = self._read_all if reactor.multiplexer.edge else self._read
        reactor.register(self.fd, READ, self._on_readable)
        self._session.opened(self._notify)

    def close(self) -> None:
        """Forget the connection."""
        if self._open:
            self._open = False
            self._reactor.forget(self)
            self._socket.close()
            self._session.closed()
            del self._on_readable  # a cycle, which would keep the session until the garbage collector comes

    def wake_notified(self) -> None:
        """Wake the session if it still wants to be, and nothing waits to be sent: else that comes first."""
        if self._notified and self._open and not self._unsent:
            self._notified = False
            self._run(self._session.wake)

    def _read(self, _events: int) -> bool:
        """Read once and answer; return whether there may be more to read."""
        try:
            data = self._recv(self._read_size)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        if not data:
            self._at_eof = True
            self._run(self._session.eof)
            return False
        # The same as _run and _send_on, written out: two calls less are 2% of a small request.
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
                return False
        if self._session.wake_at is not None:
            self._wake_later(self._session.wake_at)
        return True

    def _read_all(self, events: int) -> None:
        """Read until EAGAIN, because an edge is reported only once (epoll(7))."""
        while self._read(events):
            pass

    def _write(self, _events: int) -> None:
        """Send on what a short write has left."""
        self._send_on(self._unsent)

    def _watch(self, events: int) -> None:
        """Nothing is to be read or sent for now, so only an error or a hang-up counts: the peer is gone."""
        if events & ~(READ | WRITE):
            self.close()

    def _run(self, step: Callable[[], bytes]) -> None:
        """Let the session answer and see to what follows."""
        try:
            reply = step()
        except Exception:
            report_session_failure()
            self.close()
            return
        if self._session.wake_at is not None:
            self._wake_later(self._session.wake_at)
        if self._unsent:
            # Only a wake can come while bytes wait, and it brings no more than its session had in store.
            self._unsent = memoryview(b"".join((self._unsent, reply)))
        else:
            self._send_on(memoryview(reply))

    def _send_on(self, unsent: memoryview) -> None:
        """Send, keep what is left, and go back to reading, or close, if nothing is."""
        try:
            sent = self._send(unsent) if unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(unsent):
            self._hold(unsent[sent:])
        elif not self._at_eof:
            if self._unsent:
                self._unsent = memoryview(b"")
                self._reactor.modify(self.fd, READ, self._on_readable)
                self.wake_notified()
        elif self._session.wake_at is None:
            self.close()
        else:
            # The end of file stays readable: a level-triggered multiplexer would report it until the session is done.
            self._unsent = memoryview(b"")
            self._reactor.modify(self.fd, 0, self._watch)

    def _hold(self, unsent: memoryview) -> None:
        """Keep what a short write left, and read no more until the peer has taken it."""
        if not self._unsent:
            self._reactor.modify(self.fd, WRITE, self._write)
        self._unsent = unsent
        if self._session.wake_at is not None:
            self._wake_later(self._session.wake_at)

    def _notify(self) -> None:
        self._notified = True
        self._reactor.notified.append(self)

    def _wake_later(self, when: float) -> None:
        if self._wakes_at is None or when < self._wakes_at:
            self._wakes_at = when
            self._reactor.call_at(when, lambda: self._wake(when))

    def _wake(self, when: float) -> None:
        # A timer that an earlier one has overtaken, or whose connection is gone, comes to nothing.
        if self._open and when == self._wakes_at:
            self._wakes_at = None
            self._run(self._session.wake)


class Reactor:
    """The event loop of one server: readiness in, callbacks out.

    Attributes:
        multiplexer: Who waits.
        new_session: Makes the session of a new connection.
        read_size: Bytes to ask for by one read.
        notified: Connections whose sessions are to be woken at the end of this turn.
    """

    def __init__(self, server: Server, multiplexer: Multiplexer) -> None:
        self.multiplexer = multiplexer
        self.new_session = server.new_session
        self.read_size = server.read_size
        self.notified: list[Connection] = []
        self._listener = server.listener
        self._stop_fd = server.stop_fd
        self._running = True
        self._connections: set[Connection] = set()
        self._callbacks: dict[int, Callable[[int], object]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_order = itertools.count()

    def run(self) -> None:
        """Serve until the stop descriptor becomes readable; closes every connection and the multiplexer."""
        self.register(self._stop_fd, READ, self._stop)
        self._resume_accepting()
        wait = self.multiplexer.wait
        callback_of = self._callbacks.get
        timers, notified = self._timers, self.notified
        try:
            while self._running:
                for fd, events in wait(self._run_timers() if timers else None):
                    callback = callback_of(fd)
                    if callback is not None:  # else it was closed by a callback just before
                        callback(events)
                if notified:
                    self._wake_notified()
        finally:
            for connection in list(self._connections):
                connection.close()
            self.multiplexer.close()

    def register(self, fd: int, events: int, callback: Callable[[int], object]) -> None:
        """Call back with the events that a descriptor becomes ready for."""
        self.multiplexer.register(fd, events)
        self._callbacks[fd] = callback

    def modify(self, fd: int, events: int, callback: Callable[[int], object]) -> None:
        """Watch a registered descriptor for other events, with another callback."""
        self.multiplexer.modify(fd, events)
        self._callbacks[fd] = callback

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor."""
        self.multiplexer.unregister(fd)
        del self._callbacks[fd]

    def forget(self, connection: Connection) -> None:
        """Stop watching a connection that is about to be closed."""
        self.unregister(connection.fd)
        self._connections.discard(connection)

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call back at a time of `time.monotonic`."""
        heapq.heappush(self._timers, (when, next(self._timer_order), call))

    def _run_timers(self) -> float | None:
        """Call back what is due and return the seconds until the next is."""
        timers = self._timers
        now = time.monotonic()
        while timers and timers[0][0] <= now:
            heapq.heappop(timers)[2]()
        self._wake_notified()
        return max(0.0, timers[0][0] - time.monotonic()) if timers else None

    def _wake_notified(self) -> None:
        for connection in self.notified:  # grows meanwhile if one that is woken notifies others
            connection.wake_notified()
        self.notified.clear()

    def _stop(self, _events: int) -> None:
        self._running = not is_readable(self._stop_fd)  # readiness may be spurious

    def _accept(self, _events: int) -> None:
        accept = self._listener.accept
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, _address = accept()
            except BlockingIOError:
                return
            except OSError as fault:
                if fault.errno in OUT_OF_DESCRIPTORS:
                    # The peer stays in the backlog, so the listener stays readable: watching it on would spin.
                    self.unregister(self._listener.fileno())
                    self.call_at(time.monotonic() + ACCEPT_PAUSE_S, self._resume_accepting)
                    return
                if fault.errno in BROKEN:
                    continue
                raise
            accepted.setblocking(False)
            try:
                self._connections.add(Connection(self, accepted))
            except Exception:  # a session that cannot be made, or a descriptor that cannot be watched
                report_session_failure()
                accepted.close()
        if self.multiplexer.edge:
            # The batch ended before EAGAIN, so no new edge is owed for those still waiting: ask for one.
            self.modify(self._listener.fileno(), READ, self._accept)

    def _resume_accepting(self) -> None:
        self.register(self._listener.fileno(), READ, self._accept)

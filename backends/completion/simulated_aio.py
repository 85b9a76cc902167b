"""Asynchronous I/O simulated by a pool of blocking threads, in the way of glibc's POSIX AIO (aio(7)).

One loop thread runs all sessions and makes no call that could wait: it submits operations (accept, receive, send), the
threads of the pool execute them with blocking calls, and each completion comes back to the loop through a queue. This
is the proactor in its pure form: both phases, reading and writing, are handed over, even a send that would not have
waited. So a request costs two submissions and two completions, each a switch of threads: that is what is measured.

A receive that waits for its peer occupies a thread, so the pool has one for every open connection, idle ones included
(glibc too serves each descriptor with a thread). Hence the declared limit of connections: beyond it none is accepted
until one closes.
"""

import contextlib
import heapq
import queue
import socket
import time
from collections.abc import Callable

from backends.blocking.many_threads import prepare_for_many_threads
from backends.completion.blocking_pool import Pool
from backends.contract import (
    ACCEPT_PAUSE_S,
    OUT_OF_DESCRIPTORS,
    Server,
    report_session_failure,
    wait_readable,
)
from scenarios.session import Session

TRAITS = {
    "name": "simulated-aio",
    "family": "completion",
    "summary": "blocking calls in a thread pool, completions delivered to one loop thread",
    "notify": True,
    "platforms": ["linux", "darwin"],
    "max_connections": 16384,
    "options": {"read_size": 65536},
}

MAX_CONNECTIONS: int = TRAITS["max_connections"]  # type: ignore[assignment]


def serve(server: Server) -> None:
    """Run the loop until told to stop; then end the connections without waiting."""
    prepare_for_many_threads()
    Proactor(server).run()


class Proactor:
    """The loop: takes completions and the time, and hands them to the connections."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.pool = Pool()
        self.connections: set[Connection] = set()
        self.timers: list[tuple[float, int, Callable[[float], None]]] = []
        self.timers_made = 0
        self.notified: list[Connection] = []
        self.accepting = False
        self.stopped = False

    def run(self) -> None:
        """Serve until told to stop."""
        self.pool.submit(wait_readable, self.server.stop_fd, self.stop)
        self.accept(0.0)
        timers, complete, monotonic = self.timers, self.pool.complete, time.monotonic
        while not self.stopped:
            with contextlib.suppress(queue.Empty):
                complete(max(0.0, timers[0][0] - monotonic()) if timers else None)
            while timers and timers[0][0] <= monotonic():
                due, _, call = heapq.heappop(timers)
                call(due)
            for connection in self.notified:  # grows meanwhile if one that is woken notifies others
                connection.wake_notified()
            self.notified.clear()
        for connection in list(self.connections):
            connection.close()

    def stop(self, _: object) -> None:
        """End the loop."""
        self.stopped = True

    def call_at(self, due: float, call: Callable[[float], None]) -> None:
        """Have `call(due)` called at this time, in seconds of `time.monotonic`."""
        self.timers_made += 1
        heapq.heappush(self.timers, (due, self.timers_made, call))

    def accept(self, _due: float) -> None:
        """Submit the accept of the next connection, unless it is submitted already or there are too many."""
        if not self.accepting and len(self.connections) < MAX_CONNECTIONS and not self.pool.exhausted:
            self.accepting = True
            self.pool.submit(accept, self.server.listener, self.accepted)

    def accepted(self, result: socket.socket | OSError) -> None:
        """Begin the conversation with a new peer and submit the next accept."""
        self.accepting = False
        if isinstance(result, OSError):
            out_of_descriptors = result.errno in OUT_OF_DESCRIPTORS
            self.call_at(time.monotonic() + (ACCEPT_PAUSE_S if out_of_descriptors else 0), self.accept)
            return
        try:
            connection = Connection(self, result, self.server.new_session())
        except Exception:
            report_session_failure()
            result.close()
        else:
            self.connections.add(connection)
            connection.session.opened(connection.notify)
            connection.proceed(b"")
            if self.pool.exhausted:
                connection.close()
        self.accept(0.0)


def accept(listener: socket.socket) -> socket.socket:
    """Wait for the next connection and return it, blocking. The listener itself is not: others may look at it too."""
    while True:
        wait_readable(listener.fileno())
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue  # The peer has gone meanwhile.
        connection.setblocking(True)  # BSD and macOS: accepted sockets inherit O_NONBLOCK from the listener.
        return connection


class Connection:
    """Carries one session: at most one receive and one send are submitted at any time, both only by a late reply."""

    __slots__ = (
        "closed",
        "ended",
        "notified",
        "proactor",
        "read_size",
        "receive",
        "receiving",
        "recv",
        "sendall",
        "sending",
        "session",
        "socket",
        "submit",
        "timer_at",
        "unsent",
    )

    def __init__(self, proactor: Proactor, connected: socket.socket, session: Session) -> None:
        self.proactor, self.socket, self.session = proactor, connected, session
        self.submit, self.receive = proactor.pool.submit, session.receive
        self.recv, self.sendall = connected.recv, connected.sendall
        self.read_size = proactor.server.read_size
        self.receiving = self.sending = self.ended = self.closed = self.notified = False
        self.unsent = b""
        self.timer_at: float | None = None

    def proceed(self, reply: bytes) -> None:
        """Submit what comes next: the send of what is owed first, a receive only when all of it is sent."""
        wake_at = self.session.wake_at
        if wake_at is not None and (self.timer_at is None or wake_at < self.timer_at):
            self.timer_at = wake_at
            self.proactor.call_at(wake_at, self.wake)
        if self.sending:
            self.unsent += reply
        elif reply:
            self.sending = True
            self.submit(self.sendall, reply, self.sent)
        elif self.ended:
            if wake_at is None:
                self.close()
        elif not self.receiving:
            self.receiving = True
            self.submit(self.recv, self.read_size, self.received)

    def received(self, result: bytes | OSError) -> None:
        """Answer the bytes of the peer, or their end."""
        self.receiving = False
        if self.closed or isinstance(result, OSError):
            self.close()
            return
        try:
            if result:
                reply = self.receive(result)
            else:
                self.ended = True
                reply = self.session.eof()
        except Exception:
            report_session_failure()
            self.close()
        else:
            self.proceed(reply)

    def sent(self, result: OSError | None) -> None:
        """Go on after everything that was submitted is sent."""
        self.sending = False
        if self.closed or result is not None:
            self.close()
            return
        unsent, self.unsent = self.unsent, b""
        self.proceed(unsent)
        self.wake_notified()

    def wake(self, due: float) -> None:
        """Wake the session, unless an earlier timer has taken this one's place."""
        if not self.closed and due == self.timer_at:
            self.timer_at = None
            self.answer_wake()

    def notify(self) -> None:
        """Have the session woken at the end of the loop's turn."""
        self.notified = True
        self.proactor.notified.append(self)

    def wake_notified(self) -> None:
        """Wake the session if it still wants to be, unless something is being sent: then that comes first."""
        if self.notified and not self.sending and not self.closed:
            self.notified = False
            self.answer_wake()

    def answer_wake(self) -> None:
        """Send what the session has in store."""
        try:
            reply = self.session.wake()
        except Exception:
            report_session_failure()
            self.close()
        else:
            self.proceed(reply)

    def close(self) -> None:
        """Close, or where operations are submitted end them first: only then may the descriptor's number be reused."""
        if not self.receiving and not self.sending:
            self.closed = True
            self.socket.close()
            self.session.closed()
            self.proactor.connections.discard(self)
            self.proactor.accept(0.0)
        elif not self.closed:
            self.closed = True
            with contextlib.suppress(OSError):  # It may be broken already: then they end by themselves.
                self.socket.shutdown(socket.SHUT_RDWR)

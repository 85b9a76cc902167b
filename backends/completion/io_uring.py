"""io_uring(7): the kernel's own asynchronous I/O, as a proactor."""

import errno
import heapq
import itertools
import os
import select
import time
from collections.abc import Callable

from backends.completion.ring import COPIED_BYTES, HAS_BUFFER, MORE, Ring
from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, Server, report_session_failure
from scenarios.session import Session

TRAITS = {
    "name": "io_uring",
    "family": "completion",
    "summary": "io_uring: requests in shared memory, multishot receives into provided buffers",
    "notify": True,
    "platforms": ["linux"],
    "options": {"read_size": 65536},
}

AGAIN = (-errno.ENOBUFS, -errno.ECANCELED)
"""A receive ended, but not its connection: the shared buffers were full, or it was cancelled for backpressure."""


def serve(server: Server) -> None:
    """Serve until told to stop; then end the connections without waiting."""
    Proactor(server).run()


class Proactor:
    """The loop: takes completions and the time, and hands them to the connections."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ring = Ring(server.read_size)
        self.handlers: dict[int, Callable[[int, int], None]] = {}
        self.connections: set[Connection] = set()
        self.answering: list[Connection] = []
        self.notified: list[Connection] = []
        self.timers: list[tuple[float, int, Callable[[float], None]]] = []
        self.numbers = itertools.count(1)
        self.running = True

    def run(self) -> None:
        """Serve until told to stop."""
        ring, handlers, timers, answering = self.ring, self.handlers, self.timers, self.answering
        notified = self.notified
        complete, handler_of, monotonic = ring.complete, handlers.get, time.monotonic
        ring.poll(self.server.stop_fd, select.POLLIN, self.token_of(self.stop))
        self.accept_token = self.token_of(self.accepted)
        self.accept(0.0)
        try:
            while self.running:
                for token, result, flags in complete(max(0.0, timers[0][0] - monotonic()) if timers else None):
                    handle = handler_of(token)
                    if handle is not None:
                        handle(result, flags)
                    elif flags & HAS_BUFFER:  # what came for a connection that is closed
                        ring.take(result, flags)
                while timers and timers[0][0] <= monotonic():
                    due, _, call = heapq.heappop(timers)
                    call(due)
                for connection in notified:  # grows meanwhile if one that is woken notifies others
                    connection.wake_notified()
                notified.clear()
                for connection in answering:
                    connection.flush()
                answering.clear()
        finally:
            ring.close()
            for connection in self.connections:
                os.close(connection.fd)

    def token_of(self, handler: Callable[[int, int], None]) -> int:
        """Return a new token, whose completions this handler will be called with."""
        token = next(self.numbers)
        self.handlers[token] = handler
        return token

    def stop(self, _result: int, _flags: int) -> None:
        """End the loop."""
        self.running = False

    def call_at(self, due: float, call: Callable[[float], None]) -> None:
        """Have `call(due)` called at this time, in seconds of `time.monotonic`."""
        heapq.heappush(self.timers, (due, next(self.numbers), call))

    def accept(self, _due: float) -> None:
        """Submit the accept: one for all connections, until it fails."""
        self.ring.accept(self.server.listener.fileno(), self.accept_token)

    def accepted(self, result: int, flags: int) -> None:
        """Begin the conversation with a new peer."""
        if result >= 0:
            try:
                session = self.server.new_session()
            except Exception:
                report_session_failure()
                os.close(result)
            else:
                self.connections.add(Connection(self, result, session))
        if not flags & MORE:
            pause_s = ACCEPT_PAUSE_S if -result in OUT_OF_DESCRIPTORS else 0.0
            self.call_at(time.monotonic() + pause_s, self.accept)


class Connection:
    """Carries one session: one receive for all that comes, and at most one send at any time.

    What is owed after a turn of the loop is sent as one. If it is short, the send must succeed at once or say by how
    much it fell short; that costs no completion. All else is handed over as a whole, and nothing more is answered until
    it is sent. Whatever arrives meanwhile is kept unread, and the first of it cancels the receive.
    """

    __slots__ = (
        "answering",
        "ended",
        "fd",
        "holding",
        "in_flight",
        "notified",
        "open",
        "owed",
        "proactor",
        "receive",
        "receive_token",
        "receiving",
        "send_at_once",
        "send_token",
        "sent_last",
        "session",
        "stopping",
        "take",
        "timer_at",
        "unread",
    )

    def __init__(self, proactor: Proactor, fd: int, session: Session) -> None:
        self.proactor, self.fd, self.session = proactor, fd, session
        self.receive, self.answering = session.receive, proactor.answering
        self.take, self.send_at_once = proactor.ring.take, proactor.ring.send_at_once
        self.receive_token, self.send_token = proactor.token_of(self.received), proactor.token_of(self.sent)
        self.open = True
        self.receiving = self.stopping = self.holding = self.ended = self.notified = False
        self.owed = self.sent_last = b""
        self.in_flight: object = None
        self.unread: list[bytes] = []
        self.timer_at: float | None = None
        session.opened(self.notify)
        self.proceed()

    def received(self, result: int, flags: int) -> None:
        """Answer the bytes of the peer, or their end, unless it has to read first."""
        if not flags & MORE:
            self.receiving = self.stopping = False
        if result >= 0:
            data = self.take(result, flags) if flags & HAS_BUFFER else b""
            if self.holding:
                self.unread.append(data)
                if self.receiving and not self.stopping:
                    self.stopping = True
                    self.proactor.ring.cancel(self.receive_token)
                return
            self.answer(data)
        elif result not in AGAIN:
            self.close()
        if not (self.receiving or self.owed or self.holding):
            self.proceed()

    def answer(self, data: bytes) -> None:
        """Have the session answer the bytes of the peer, or their end if there are none."""
        try:
            if data:
                reply = self.receive(data)
            else:
                self.ended = True
                reply = self.session.eof()
        except Exception:
            self.fail()
        else:
            self.owe(reply)

    def wake(self, due: float) -> None:
        """Wake the session, unless an earlier timer has taken this one's place."""
        if self.open and due == self.timer_at:
            self.timer_at = None
            self.answer_wake()

    def notify(self) -> None:
        """Have the session woken at the end of the loop's turn."""
        self.notified = True
        self.proactor.notified.append(self)

    def wake_notified(self) -> None:
        """Wake the session if it still wants to be, unless the peer has to read first."""
        if self.notified and not self.holding and self.open:
            self.notified = False
            self.answer_wake()

    def answer_wake(self) -> None:
        """Send what the session has in store."""
        try:
            reply = self.session.wake()
        except Exception:
            self.fail()
            return
        self.owe(reply)
        if not self.owed and self.in_flight is None:
            self.proceed()

    def owe(self, reply: bytes) -> None:
        """Keep what the session returned until the end of the loop's turn, and see when it wants to be woken."""
        if self.owed:
            self.owed += reply
        elif reply:
            self.owed = reply
            if self.in_flight is None:
                self.answering.append(self)
        if len(self.owed) > COPIED_BYTES:
            self.holding = True
        wake_at = self.session.wake_at
        if wake_at is not None and (self.timer_at is None or wake_at < self.timer_at):
            self.timer_at = wake_at
            self.proactor.call_at(wake_at, self.wake)

    def flush(self) -> None:
        """Send what is owed."""
        reply = self.owed
        if not reply or not self.open or self.in_flight is not None:
            return
        self.owed = b""
        if self.unread or self.ended or len(reply) > COPIED_BYTES:
            self.send(reply)
            return
        self.sent_last = reply
        self.send_at_once(self.fd, reply, self.send_token)
        if not self.receiving:
            self.proceed()

    def send(self, data: bytes) -> None:
        """Hand over a send, however long it takes."""
        self.sent_last = data
        self.holding = True
        self.in_flight = self.proactor.ring.send(self.fd, data, self.send_token)

    def sent(self, result: int, _flags: int) -> None:
        """Go on after a send that was handed over, or send the rest of one that fell short."""
        if result == -errno.EAGAIN:
            result = 0
        if result < 0:
            self.close()
        elif result < len(self.sent_last):
            self.send(self.sent_last[result:])
        else:
            self.in_flight = None
            self.sent_last = b""
            self.holding = len(self.owed) > COPIED_BYTES
            while self.unread and not self.owed and self.open:
                self.answer(self.unread.pop(0))
            self.wake_notified()
            if self.owed:
                self.flush()
            else:
                self.proceed()

    def proceed(self) -> None:
        """Receive, or close at the end: nothing is owed."""
        if not self.open:
            return
        if not self.ended:
            if not self.receiving:
                self.receiving = True
                self.proactor.ring.receive(self.fd, self.receive_token)
        elif self.session.wake_at is None:
            self.close()

    def fail(self) -> None:
        """End the connection of a session that just raised."""
        report_session_failure()
        self.close()

    def close(self) -> None:
        """Forget the connection. Its requests are cancelled first: they would keep the socket open."""
        if self.open:
            self.open = False
            self.session.closed()
            proactor = self.proactor
            del proactor.handlers[self.receive_token], proactor.handlers[self.send_token]
            proactor.connections.discard(self)
            if self.receiving or self.in_flight is not None:
                proactor.ring.cancel_all(self.fd)
            proactor.ring.close_fd(self.fd)

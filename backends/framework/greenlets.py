"""A greenlet for each connection: what gevent and eventlet have in common.

One greenlet reads and sends. Where it waits for its peer it is interrupted to send unasked, as the libraries' own
Timeout interrupts it.
"""

import socket
import time
from collections.abc import Callable
from types import ModuleType

from backends.contract import Server, report_session_failure


class NotifiedError(Exception):
    """The session is to be woken: raised in a greenlet that waits for its peer."""


class Waiter:
    """A greenlet as those who notify its session see it: they interrupt it only where it waits for its peer."""

    __slots__ = ("greenlet", "greenlets", "notified", "reading")

    def __init__(self, greenlets: "Greenlets") -> None:
        self.greenlets = greenlets
        self.greenlet = greenlets.library.getcurrent()
        self.notified = self.reading = False

    def notify(self) -> None:
        """Have the session woken, by the hub if its greenlet waits for the peer."""
        self.notified = True
        if not self.greenlets.notified:
            self.greenlets.call_soon(self.greenlets.interrupt)
        self.greenlets.notified.append(self)


class Greenlets:
    """The greenlets that serve the connections of one server."""

    def __init__(self, server: Server, library: ModuleType, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """Prepare; no greenlet is started.

        Args:
            server: What the backend was handed.
            library: gevent or eventlet.
            call_soon: Has the library's hub call a function.
        """
        self.server = server
        self.library = library
        self.call_soon = call_soon
        self.notified: list[Waiter] = []

    def interrupt(self) -> None:
        """Wake the greenlets that wait for their peers; the others look before they do."""
        due = self.notified.copy()
        self.notified.clear()
        for waiter in due:
            if waiter.reading and waiter.notified:
                waiter.greenlet.throw(NotifiedError)

    def serve_one(self, connection: socket.socket) -> None:
        """Serve one connection in the running greenlet; whatever goes wrong ends it only."""
        try:
            self.converse(connection)
        except OSError:
            return  # the connection broke
        except Exception:
            report_session_failure()

    def converse(self, connection: socket.socket) -> None:
        """Carry one session until its peer has finished and everything owed is sent."""
        session, read_size = self.server.new_session(), self.server.read_size
        recv, sendall, receive = connection.recv, connection.sendall, session.receive
        sleep, timeout, all_notified = self.library.sleep, self.library.Timeout, self.notified
        waiter = Waiter(self)
        session.opened(waiter.notify)
        data: bytes | None = b""
        ended = False
        try:
            while not ended or session.wake_at is not None:
                woken, data = data is None, None
                if waiter.notified and not woken:
                    waiter.notified = False
                elif session.wake_at is None:
                    waiter.reading = True
                    if waiter.notified:
                        waiter.notify()  # interrupts recv if it waits: who is notified without end still reads
                    try:
                        data = recv(read_size)
                    except NotifiedError:
                        waiter.notified = False
                    waiter.reading = False
                elif (remaining_s := session.wake_at - time.monotonic()) > 0:
                    if ended:
                        sleep(remaining_s)
                    else:
                        with timeout(remaining_s, False):
                            data = recv(read_size)
                if data is None:
                    reply = session.wake()
                else:
                    ended = not data
                    reply = receive(data) if data else session.eof()
                if reply:
                    sendall(reply)
                if all_notified:
                    sleep(0)  # let them begin: recv does not switch while there is more to read
        finally:
            waiter.reading = False
            session.closed()

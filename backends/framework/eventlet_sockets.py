"""eventlet: a greenlet per connection on a hub over epoll. Its documentation advises against it for new projects.

A greenlet that waits for its peer is interrupted to send unasked, as eventlet.Timeout interrupts it.
"""

import time

import eventlet
import eventlet.greenio
import eventlet.hubs

from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, Server, report_session_failure

TRAITS = {
    "name": "eventlet",
    "family": "framework",
    "summary": "eventlet's green sockets, a greenlet per connection",
    "notify": True,
    "requires": ["eventlet"],
    "options": {"read_size": 65536},
}


def serve(server: Server) -> None:
    """Serve until told to stop; the greenlets end with the process."""
    eventlet.spawn_n(accept, server)
    eventlet.hubs.trampoline(server.stop_fd, read=True)


def accept(server: Server) -> None:
    """Start a greenlet for each connection."""
    listener = eventlet.greenio.GreenSocket(server.listener)
    notified: list[Waiter] = []
    while True:
        try:
            connection, _address = listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                eventlet.sleep(ACCEPT_PAUSE_S)
            continue
        eventlet.spawn_n(serve_one, connection, server, notified)


def serve_one(connection: eventlet.greenio.GreenSocket, server: Server, notified: list["Waiter"]) -> None:
    """Serve one connection; whatever goes wrong ends it only."""
    try:
        with connection:
            converse(connection, server, notified)
    except OSError:
        return  # the connection broke
    except Exception:
        report_session_failure()


class NotifiedError(Exception):
    """The session is to be woken: raised in a greenlet that waits for its peer."""


class Waiter:
    """A greenlet as those who notify its session see it: they interrupt it only where it waits for its peer."""

    __slots__ = ("all_notified", "greenlet", "notified", "reading")

    def __init__(self, all_notified: list["Waiter"]) -> None:
        self.all_notified = all_notified
        self.greenlet = eventlet.getcurrent()
        self.notified = self.reading = False

    def notify(self) -> None:
        """Have the session woken, by the hub if its greenlet waits for the peer."""
        self.notified = True
        if not self.all_notified:
            eventlet.hubs.get_hub().schedule_call_global(0, interrupt, self.all_notified)
        self.all_notified.append(self)


def interrupt(all_notified: list[Waiter]) -> None:
    """Wake the greenlets that wait for their peers; the others look before they do."""
    due = all_notified.copy()
    all_notified.clear()
    for waiter in due:
        if waiter.reading and waiter.notified:
            waiter.greenlet.throw(NotifiedError)


def converse(connection: eventlet.greenio.GreenSocket, server: Server, all_notified: list[Waiter]) -> None:
    """Carry one session until its peer has finished and everything owed is sent."""
    session, read_size = server.new_session(), server.read_size
    waiter = Waiter(all_notified)
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
                    data = connection.recv(read_size)
                except NotifiedError:
                    waiter.notified = False
                waiter.reading = False
            elif (remaining_s := session.wake_at - time.monotonic()) > 0:
                if ended:
                    eventlet.sleep(remaining_s)
                else:
                    with eventlet.Timeout(remaining_s, False):
                        data = connection.recv(read_size)
            if data is None:
                reply = session.wake()
            else:
                ended = not data
                reply = session.receive(data) if data else session.eof()
            if reply:
                connection.sendall(reply)
            if all_notified:
                eventlet.sleep(0)  # let them begin: recv does not switch while there is more to read
    finally:
        waiter.reading = False
        session.closed()

"""gevent: a greenlet per connection on libev; code reads as if it blocked, and a switch goes to whoever is ready.

The server is gevent's own StreamServer, which accepts in batches and waits when it is out of descriptors. Nothing is
monkey-patched. A greenlet that waits for its peer is interrupted to send unasked, as gevent.Timeout interrupts it.
"""

import os
import socket
import time

import gevent
import gevent.server
import gevent.socket

from backends.contract import Server, report_session_failure

TRAITS = {
    "name": "gevent",
    "family": "framework",
    "summary": "gevent's StreamServer, a greenlet per connection (libev)",
    "notify": True,
    "requires": ["gevent"],
    "options": {"read_size": 65536},
}


def serve(server: Server) -> None:
    """Serve until told to stop; the greenlets end with the process."""
    notified: list[Waiter] = []

    def serve_one(connection: socket.socket, _address: object) -> None:
        try:
            converse(connection, server, notified)
        except OSError:
            return  # the connection broke
        except Exception:
            report_session_failure()

    accepting = gevent.server.StreamServer(gevent.socket.socket(fileno=os.dup(server.listener.fileno())), serve_one)
    accepting.start()
    gevent.socket.wait_read(server.stop_fd)
    accepting.close()


class NotifiedError(Exception):
    """The session is to be woken: raised in a greenlet that waits for its peer."""


class Waiter:
    """A greenlet as those who notify its session see it: they interrupt it only where it waits for its peer."""

    __slots__ = ("all_notified", "greenlet", "notified", "reading")

    def __init__(self, all_notified: list["Waiter"]) -> None:
        self.all_notified = all_notified
        self.greenlet = gevent.getcurrent()
        self.notified = self.reading = False

    def notify(self) -> None:
        """Have the session woken, by the hub if its greenlet waits for the peer."""
        self.notified = True
        if not self.all_notified:
            gevent.get_hub().loop.run_callback(interrupt, self.all_notified)
        self.all_notified.append(self)


def interrupt(all_notified: list[Waiter]) -> None:
    """Wake the greenlets that wait for their peers; the others look before they do."""
    due = all_notified.copy()
    all_notified.clear()
    for waiter in due:
        if waiter.reading and waiter.notified:
            waiter.greenlet.throw(NotifiedError)


def converse(connection: socket.socket, server: Server, all_notified: list[Waiter]) -> None:
    """Carry one session until its peer has finished and everything owed is sent."""
    session, read_size = server.new_session(), server.read_size
    recv, sendall, receive = connection.recv, connection.sendall, session.receive
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
                    data = recv(read_size)
                except NotifiedError:
                    waiter.notified = False
                waiter.reading = False
            elif (remaining_s := session.wake_at - time.monotonic()) > 0:
                if ended:
                    gevent.sleep(remaining_s)
                else:
                    with gevent.Timeout(remaining_s, False):
                        data = recv(read_size)
            if data is None:
                reply = session.wake()
            else:
                ended = not data
                reply = receive(data) if data else session.eof()
            if reply:
                sendall(reply)
            if all_notified:
                gevent.sleep(0)  # let them begin: recv does not switch while there is more to read
    finally:
        waiter.reading = False
        session.closed()

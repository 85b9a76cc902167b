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
from scenarios.session import Session

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
    notified: list[Connection] = []

    def serve_one(connection: socket.socket, _address: object) -> None:
        try:
            Connection(connection, server.new_session(), notified).carry(server.read_size)
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


class Connection:
    """One connection, its session and its greenlet."""

    __slots__ = ("all_notified", "greenlet", "notified", "reading", "session", "socket")

    def __init__(self, accepted: socket.socket, session: Session, all_notified: list["Connection"]) -> None:
        self.socket = accepted
        self.session = session
        self.greenlet = gevent.getcurrent()
        self.all_notified = all_notified
        self.notified = self.reading = False

    def notify(self) -> None:
        """Have the session woken, by the hub if its greenlet waits for the peer."""
        self.notified = True
        if not self.all_notified:
            gevent.get_hub().loop.run_callback(interrupt, self.all_notified)
        self.all_notified.append(self)

    def carry(self, read_size: int) -> None:
        """Carry the session until its peer has finished and everything owed is sent."""
        self.session.opened(self.notify)
        try:
            self.converse(read_size)
        finally:
            self.reading = False
            self.session.closed()

    def converse(self, read_size: int) -> None:
        """Receive and answer."""
        session, all_notified = self.session, self.all_notified
        recv, sendall, receive = self.socket.recv, self.socket.sendall, session.receive
        data: bytes | None = b""
        ended = False
        while not ended or session.wake_at is not None:
            woken, data = data is None, None
            if self.notified and not woken:
                self.notified = False
            elif session.wake_at is None:
                self.reading = True
                if self.notified:
                    self.notify()  # interrupts recv if it waits: who is notified without end still reads
                try:
                    data = recv(read_size)
                except NotifiedError:
                    self.notified = False
                self.reading = False
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
                gevent.sleep(0)  # recv does not switch while there is more to read: the others would not send soon


def interrupt(notified: list[Connection]) -> None:
    """Wake the greenlets that wait for their peers; the others look before they do."""
    due = notified.copy()
    notified.clear()
    for connection in due:
        if connection.reading and connection.notified:
            connection.greenlet.throw(NotifiedError)

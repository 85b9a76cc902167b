"""A proper backend in small parts, each of which a file beside this one spoils in its own way."""

import contextlib
import os
import select
import socket
import threading
import time

from backends.contract import ACCEPT_PAUSE_S, Server, report_session_failure
from scenarios.exchanges.broadcast import TooSlowError
from scenarios.session import Session


class Threads:
    """A thread per connection."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def serve(self) -> None:
        poller = select.poll()
        poller.register(self.server.listener, select.POLLIN)
        poller.register(self.server.stop_fd, select.POLLIN)
        while not self.must_stop(poller):
            try:
                connection, _ = self.server.listener.accept()
            except BlockingIOError:
                continue
            except OSError:
                self.out_of_descriptors()
                continue
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def must_stop(self, poller: select.poll) -> bool:
        return any(fd == self.server.stop_fd for fd, _ in poller.poll())

    def out_of_descriptors(self) -> None:
        time.sleep(ACCEPT_PAUSE_S)

    def run(self, connection: socket.socket) -> None:
        session = None
        turn = threading.Lock()
        try:
            session = self.server.new_session()
            session.opened(lambda: self.notified(connection, session, turn))
            self.converse(connection, session, turn)
        except OSError:
            self.lost()
        except Exception:
            self.session_failed()
        if session is not None:
            with turn:
                self.closed(session)
        self.close(connection)

    def closed(self, session: Session) -> None:
        session.closed()

    def notified(self, connection: socket.socket, session: Session, turn: threading.Lock) -> None:
        threading.Thread(target=self.wake_notified, args=(connection, session, turn), daemon=True).start()

    def wake_notified(self, connection: socket.socket, session: Session, turn: threading.Lock) -> None:
        with turn, contextlib.suppress(OSError):
            try:
                self.send_unasked(connection, session.wake())
            except TooSlowError:
                connection.shutdown(socket.SHUT_RDWR)

    def send_unasked(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)

    def lost(self) -> None:
        pass

    def session_failed(self) -> None:
        report_session_failure()

    def close(self, connection: socket.socket) -> None:
        connection.close()

    def converse(self, connection: socket.socket, session: Session, turn: threading.Lock) -> None:
        while True:
            if self.time_to_wake(connection, session):
                self.send(connection, session.wake())
                continue
            data = self.read(connection)
            if not data:
                break
            with turn:
                self.send(connection, self.receive(session, data))
        self.send(connection, self.end(session))
        while self.more_to_come(session):
            time.sleep(max(0, session.wake_at - time.monotonic()))
            self.send(connection, session.wake())

    def read(self, connection: socket.socket) -> bytes:
        return connection.recv(self.server.read_size)

    def time_to_wake(self, connection: socket.socket, session: Session) -> bool:
        if session.wake_at is None:
            return False
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        remaining_ms = (session.wake_at - time.monotonic()) * 1000
        return remaining_ms <= 0 or not poller.poll(remaining_ms)

    def receive(self, session: Session, data: bytes) -> bytes:
        return session.receive(data)

    def end(self, session: Session) -> bytes:
        return session.eof()

    def more_to_come(self, session: Session) -> bool:
        return session.wake_at is not None

    def send(self, connection: socket.socket, reply: bytes) -> None:
        connection.sendall(reply)


def die() -> None:
    """End the whole process at once."""
    os._exit(1)

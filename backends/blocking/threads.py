"""A thread for every connection, which waits in recv(2) and send(2): the oldest way to serve many peers at once.

The kernel schedules; backpressure is a thread that waits in send(2). A connection costs a thread: its stack and kernel
memory, and under load a switch of context and of the interpreter's lock. Only a session that answers later makes its
thread wait in poll(2), with a timeout, instead of recv(2): a socket timeout would make the descriptor non-blocking.
"""

import contextlib
import select
import socket
import sys
import threading
import time

from backends.blocking.many_threads import prepare_for_many_threads
from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, Server, report_session_failure
from scenarios.session import Session

TRAITS = {
    "name": "threads",
    "family": "blocking",
    "summary": "a thread per connection that waits in recv and send",
    "notify": True,
    "platforms": ["linux", "darwin"],
    "options": {"read_size": 65536},
}


def serve(server: Server) -> None:
    """Accept connections and start a thread for each until told to stop; then end them all without waiting."""
    prepare_for_many_threads()
    live: set[socket.socket] = set()
    listener = server.listener
    poller = select.poll()
    poller.register(server.stop_fd, select.POLLIN)
    poller.register(listener, select.POLLIN)
    pause_ms: float | None = None
    while all(fd != server.stop_fd for fd, _ in poller.poll(pause_ms)):
        if pause_ms is not None:
            pause_ms = None
            poller.register(listener, select.POLLIN)
        try:
            while True:
                start_thread(listener.accept()[0], server, live)
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                # The connection stays in the backlog and keeps the listener readable: look away or spin.
                pause_ms = ACCEPT_PAUSE_S * 1000
                poller.unregister(listener)
    for connection in list(live):
        shut_down(connection)


def start_thread(connection: socket.socket, server: Server, live: set[socket.socket]) -> None:
    """Start the thread of a new connection, or close the connection if the system has no more threads."""
    connection.setblocking(True)  # BSD and macOS: accepted sockets inherit O_NONBLOCK from the listener.
    live.add(connection)
    try:
        threading.Thread(target=run, args=(connection, server, live), daemon=True).start()
    except RuntimeError as error:
        live.discard(connection)
        connection.close()
        print(f"connection closed: {error} beside {threading.active_count()}", file=sys.stderr)


def run(connection: socket.socket, server: Server, live: set[socket.socket]) -> None:
    """Serve one connection from its first byte to its close."""
    try:
        Connection(connection, server.new_session(), server.read_size).carry()
    except ConnectionLostError:
        pass
    except Exception:
        report_session_failure()
    finally:
        live.discard(connection)
        connection.close()


class ConnectionLostError(Exception):
    """The connection broke: a reset, a broken pipe, a time-out of TCP."""


class Connection:
    """One connection and its session. Its own thread waits in recv, so whoever notifies it sends in its place.

    One thread at a time has its turn with the session and sends. Who notifies waits for nobody, as it has others to
    notify: if it is somebody's turn, that one wakes the session afterwards; and what the peer does not take at once is
    left to a new thread, which may wait for it.
    """

    __slots__ = ("closed", "notified", "read_size", "session", "socket", "turn")

    def __init__(self, accepted: socket.socket, session: Session, read_size: int) -> None:
        self.socket = accepted
        self.session = session
        self.read_size = read_size
        self.turn = threading.Lock()
        self.notified = self.closed = False

    def carry(self) -> None:
        """Carry the session until its peer has finished and everything owed is sent.

        Raises:
            ConnectionLostError: The connection broke.
        """
        self.session.opened(self.notify)
        try:
            self.converse()
        finally:
            with self.turn:
                self.closed = True
                self.session.closed()
                self.socket.close()  # in turn: nobody may send to the next connection that has this descriptor

    def converse(self) -> None:
        """Receive and answer, in the connection's own thread."""
        session, turn = self.session, self.turn
        recv, sendall, receive, read_size = self.socket.recv, self.socket.sendall, session.receive, self.read_size
        ended = False
        while True:
            data = None
            if session.wake_at is None or happens(self.socket, session.wake_at, 0 if ended else select.POLLIN):
                if ended:
                    return
                try:
                    data = recv(read_size)
                except OSError as error:
                    raise ConnectionLostError from error
                ended = not data
            with turn:
                if self.closed:
                    return
                reply = session.wake() if data is None else receive(data) if data else session.eof()
                if reply:
                    try:
                        sendall(reply)
                    except OSError as error:
                        raise ConnectionLostError from error
            if self.notified:
                self.wake_notified()

    def notify(self) -> None:
        """Have the session woken, now or after the turn of another thread."""
        self.notified = True
        self.wake_notified()

    def wake_notified(self) -> None:
        """Wake the session and send what it has in store, unless it is somebody's turn."""
        while self.notified and self.turn.acquire(blocking=False):
            self.notified = False
            unsent = b"" if self.closed else self.send_at_once()
            if unsent:
                try:
                    threading.Thread(target=self.send_later, args=(unsent,), daemon=True).start()
                except RuntimeError as error:
                    print(f"connection closed: {error} beside {threading.active_count()}", file=sys.stderr)
                    self.end()
                else:
                    return  # it is that thread's turn now
            self.turn.release()

    def send_at_once(self) -> bytes:
        """Wake the session, send what its peer takes without waiting, and return the rest."""
        try:
            data = self.session.wake()
        except Exception:
            report_session_failure()
            self.end()
            return b""
        try:
            return data[self.socket.send(data, socket.MSG_DONTWAIT) :] if data else b""
        except BlockingIOError:
            return data
        except OSError:
            return b""  # it broke, as recv tells its own thread

    def send_later(self, data: bytes) -> None:
        """Send these bytes, however long that takes, and pass the turn on."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)
        self.turn.release()
        self.wake_notified()

    def end(self) -> None:
        """Have the connection's own thread end it."""
        self.closed = True
        shut_down(self.socket)


def happens(connection: socket.socket, deadline: float, events: int) -> bool:
    """Wait for events of poll(2) or a break of the connection. False at the deadline, even one that has passed."""
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        return False
    poller = select.poll()
    poller.register(connection, events)
    return bool(poller.poll(remaining_s * 1000))


def shut_down(connection: socket.socket) -> None:
    """Make the thread that waits for this connection return; closing alone would not wake it (close(2))."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # The peer or its own thread was faster.

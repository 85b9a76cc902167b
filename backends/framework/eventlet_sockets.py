"""eventlet: a greenlet per connection on a hub over epoll. Its documentation advises against it for new projects."""

import time

import eventlet
import eventlet.greenio
import eventlet.hubs

from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, READ_SIZE, Server, report_session_failure

TRAITS = {
    "name": "eventlet",
    "family": "framework",
    "summary": "eventlet's green sockets, a greenlet per connection",
    "requires": ["eventlet"],
}


def serve(server: Server) -> None:
    """Serve until told to stop; the greenlets end with the process."""
    eventlet.spawn_n(accept, server)
    eventlet.hubs.trampoline(server.stop_fd, read=True)


def accept(server: Server) -> None:
    """Start a greenlet for each connection."""
    listener = eventlet.greenio.GreenSocket(server.listener)
    while True:
        try:
            connection, _address = listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                eventlet.sleep(ACCEPT_PAUSE_S)
            continue
        eventlet.spawn_n(serve_one, connection, server)


def serve_one(connection: eventlet.greenio.GreenSocket, server: Server) -> None:
    """Serve one connection; whatever goes wrong ends it only."""
    try:
        with connection:
            converse(connection, server)
    except OSError:
        return  # the connection broke
    except Exception:
        report_session_failure()


def converse(connection: eventlet.greenio.GreenSocket, server: Server) -> None:
    """Carry one session until its peer has finished and everything owed is sent."""
    session = server.new_session()
    ended = False
    while not ended or session.wake_at is not None:
        data = None
        if session.wake_at is None:
            data = connection.recv(READ_SIZE)
        elif (remaining_s := session.wake_at - time.monotonic()) > 0:
            if ended:
                eventlet.sleep(remaining_s)
            else:
                with eventlet.Timeout(remaining_s, False):
                    data = connection.recv(READ_SIZE)
        if data is None:
            reply = session.wake()
        else:
            ended = not data
            reply = session.receive(data) if data else session.eof()
        if reply:
            connection.sendall(reply)

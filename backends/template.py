"""A working backend that is as short as the contract allows: a thread for each connection.

What `serve` is handed: `server.listener`, a listening, non-blocking socket; `server.new_session()`, which makes the
session of a new connection; `server.stop_fd`, which becomes readable when `serve` must return; `server.options`, and
`server.read_size` among them. What it owes each connection is demanded by `muxbench check`.
"""

import select
import socket
import threading
import time
import traceback

from backends.contract import Server
from scenarios.session import Session

TRAITS = {
    "name": "template",
    "family": "blocking",
    "summary": "a thread per connection, in as few lines as the contract allows",
    "options": {"read_size": 65536},
}


def serve(server: Server) -> None:
    """Accept connections until told to stop."""
    waiting = select.poll()
    waiting.register(server.stop_fd, select.POLLIN)
    waiting.register(server.listener, select.POLLIN)
    while server.stop_fd not in [fd for fd, _events in waiting.poll()]:
        try:
            connection, _address = server.listener.accept()
        except BlockingIOError:
            continue  # the peer is gone again
        except OSError:
            time.sleep(0.1)  # out of descriptors: neither die nor spin
            continue
        connection.setblocking(True)
        conversation = (connection, server.new_session(), server.read_size)
        threading.Thread(target=converse, args=conversation, daemon=True).start()


def converse(connection: socket.socket, session: Session, read_size: int) -> None:
    """Carry one session to its end; whatever goes wrong ends this connection only."""
    try:
        with connection:
            ended = False
            while not ended or session.wake_at is not None:
                if session.wake_at is not None and not happens(connection, session.wake_at, ended):
                    reply = session.wake()
                elif data := connection.recv(read_size):
                    reply = session.receive(data)
                else:
                    ended = True
                    reply = session.eof()
                connection.sendall(reply)
    except OSError:
        return  # the connection broke: nobody else needs to know
    except Exception:
        traceback.print_exc()  # the session raised


def happens(connection: socket.socket, deadline: float, ended: bool) -> bool:
    """Wait until there are bytes to read. False at the deadline; after the peer's end of file none will come."""
    remaining_s = max(0.0, deadline - time.monotonic())
    if ended:
        time.sleep(remaining_s)
    if ended or remaining_s == 0:
        return False
    readable = select.poll()
    readable.register(connection, select.POLLIN)
    return bool(readable.poll(remaining_s * 1000))

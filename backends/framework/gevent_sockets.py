"""gevent: a greenlet per connection on libev; code reads as if it blocked, and a switch goes to whoever is ready.

The server is gevent's own StreamServer, which accepts in batches and waits when it is out of descriptors. Nothing is
monkey-patched.
"""

import os
import socket
import time

import gevent
import gevent.server
import gevent.socket

from backends.contract import READ_SIZE, Server, report_session_failure

TRAITS = {
    "name": "gevent",
    "family": "framework",
    "summary": "gevent's StreamServer, a greenlet per connection (libev)",
    "requires": ["gevent"],
}


def serve(server: Server) -> None:
    """Serve until told to stop; the greenlets end with the process."""

    def serve_one(connection: socket.socket, _address: object) -> None:
        try:
            converse(connection, server)
        except OSError:
            return  # the connection broke
        except Exception:
            report_session_failure()

    accepting = gevent.server.StreamServer(gevent.socket.socket(fileno=os.dup(server.listener.fileno())), serve_one)
    accepting.start()
    gevent.socket.wait_read(server.stop_fd)
    accepting.close()


def converse(connection: socket.socket, server: Server) -> None:
    """Carry one session until its peer has finished and everything owed is sent."""
    session = server.new_session()
    recv, sendall, receive = connection.recv, connection.sendall, session.receive
    ended = False
    while not ended or session.wake_at is not None:
        data = None
        if session.wake_at is None:
            data = recv(READ_SIZE)
        elif (remaining_s := session.wake_at - time.monotonic()) > 0:
            if ended:
                gevent.sleep(remaining_s)
            else:
                with gevent.Timeout(remaining_s, False):
                    data = recv(READ_SIZE)
        if data is None:
            reply = session.wake()
        else:
            ended = not data
            reply = receive(data) if data else session.eof()
        if reply:
            sendall(reply)

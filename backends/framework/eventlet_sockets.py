"""eventlet: a greenlet per connection on a hub over epoll. Its documentation advises against it for new projects."""

import eventlet
import eventlet.greenio
import eventlet.hubs

from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, Server
from backends.framework.greenlets import Greenlets

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
    schedule = eventlet.hubs.get_hub().schedule_call_global
    eventlet.spawn_n(accept, server, Greenlets(server, eventlet, lambda function: schedule(0, function)))
    eventlet.hubs.trampoline(server.stop_fd, read=True)


def accept(server: Server, greenlets: Greenlets) -> None:
    """Start a greenlet for each connection."""
    listener = eventlet.greenio.GreenSocket(server.listener)
    while True:
        try:
            connection, _address = listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                eventlet.sleep(ACCEPT_PAUSE_S)
            continue
        eventlet.spawn_n(serve_one, connection, greenlets)


def serve_one(connection: eventlet.greenio.GreenSocket, greenlets: Greenlets) -> None:
    """Serve one connection and close it."""
    with connection:
        greenlets.serve_one(connection)

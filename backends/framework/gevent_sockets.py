"""gevent: a greenlet per connection on libev; code reads as if it blocked, and a switch goes to whoever is ready.

The server is gevent's own StreamServer, which accepts in batches and waits when it is out of descriptors. Nothing is
monkey-patched.
"""

import os

import gevent
import gevent.server
import gevent.socket

from backends.contract import Server
from backends.framework.greenlets import Greenlets

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
    greenlets = Greenlets(server, gevent, gevent.get_hub().loop.run_callback)
    accepting = gevent.server.StreamServer(
        gevent.socket.socket(fileno=os.dup(server.listener.fileno())),
        lambda connection, _address: greenlets.serve_one(connection),
    )
    accepting.start()
    gevent.socket.wait_read(server.stop_fd)
    accepting.close()

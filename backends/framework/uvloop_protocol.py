"""The same asyncio Protocol on uvloop, an event loop in C on libuv: what a faster loop brings to the same callbacks.

uvloop gathers the writes of one turn of the loop; out of descriptors, libuv accepts and closes at once the connections
it cannot serve (its reserved descriptor lets it).
"""

import uvloop

from backends.contract import Server
from backends.framework.asyncio_protocol import serve_on

TRAITS = {
    "name": "uvloop",
    "family": "framework",
    "summary": "the same Protocol callbacks on uvloop's event loop (libuv)",
    "notify": True,
    "requires": ["uvloop"],
    "platforms": ["linux", "darwin"],
}


def serve(server: Server) -> None:
    """Serve on uvloop's loop until told to stop."""
    serve_on(uvloop.new_event_loop(), server)

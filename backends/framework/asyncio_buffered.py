"""asyncio's BufferedProtocol: the same callbacks, but the protocol lends the loop a buffer to receive into.

Plain Protocol has the loop allocate 256 KiB for every read and shrink it to what came; glibc's malloc maps and unmaps
memory for that each time, which costs more than the read itself. Here one buffer serves all connections,
because what it holds is copied out before the loop turns to the next.
"""

import asyncio
import functools

from backends.contract import Server
from backends.framework.asyncio_protocol import Connection, serve_on

TRAITS = {
    "name": "asyncio-buffered",
    "family": "framework",
    "summary": "asyncio's BufferedProtocol callbacks on the default event loop",
    "notify": True,
    "options": {"read_size": 65536},
}


class BufferedConnection(Connection, asyncio.BufferedProtocol):
    """Carries one session.

    Args:
        buffer: What all connections receive into.
        loop: The event loop.
        server: What `serve` was handed.
        live: The connections there are.
    """

    __slots__ = ("buffer",)

    def __init__(
        self, buffer: memoryview, loop: asyncio.AbstractEventLoop, server: Server, live: set[Connection]
    ) -> None:
        super().__init__(loop, server, live)
        self.buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Lend the buffer."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Answer the bytes that came."""
        self.data_received(bytes(self.buffer[:nbytes]))


def serve(server: Server) -> None:
    """Serve on asyncio's own loop until told to stop."""
    buffer = memoryview(bytearray(server.read_size))
    serve_on(asyncio.new_event_loop(), server, functools.partial(BufferedConnection, buffer))

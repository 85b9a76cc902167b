"""asyncio's BufferedProtocol: the same callbacks, but the protocol lends the loop a buffer to receive into.

Plain Protocol has the loop allocate 256 KiB for every read and shrink it to what came; glibc's malloc maps and unmaps
memory for that each time, which costs more than the read itself. Here one buffer of `READ_SIZE` serves all connections,
because what it holds is copied out before the loop turns to the next.
"""

import asyncio

from backends.contract import READ_SIZE, Server
from backends.framework.asyncio_protocol import Connection, serve_on

TRAITS = {
    "name": "asyncio-buffered",
    "family": "framework",
    "summary": "asyncio's BufferedProtocol callbacks on the default event loop",
    "notify": True,
}

BUFFER = memoryview(bytearray(READ_SIZE))


class BufferedConnection(Connection, asyncio.BufferedProtocol):
    """Carries one session."""

    __slots__ = ()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Lend the buffer."""
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Answer the bytes that came."""
        self.data_received(bytes(BUFFER[:nbytes]))


def serve(server: Server) -> None:
    """Serve on asyncio's own loop until told to stop."""
    serve_on(asyncio.new_event_loop(), server, BufferedConnection)

"""tornado's TCPServer and IOStream, on the asyncio loop.

An IOStream closes itself when its peer has finished sending, so nothing can be sent after that: no half-close. Out of
descriptors, the failed accept goes to the loop's exception handler, and tornado tries again at once.
"""

import asyncio
import time

from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer

from backends.contract import READ_SIZE, Server, report_session_failure
from backends.framework.asyncio_protocol import report

TRAITS = {
    "name": "tornado",
    "family": "framework",
    "summary": "tornado's IOStream, a coroutine per connection on asyncio",
    "requires": ["tornado"],
    "faults": {
        "half-close": "an IOStream closes itself when its peer has finished sending",
        "reply-at-the-end": "an IOStream closes itself when its peer has finished sending",
        "late-reply-after-the-end": "an IOStream closes itself when its peer has finished sending",
        "descriptors-run-out": "without descriptors tornado tries to accept again and again",
    },
}


def serve(server: Server) -> None:
    """Serve until told to stop; the connections end with the process."""
    asyncio.new_event_loop().run_until_complete(run(server))


async def run(server: Server) -> None:
    """Accept until told to stop."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report)
    told_to_stop = asyncio.Event()
    loop.add_reader(server.stop_fd, told_to_stop.set)
    # Beyond this many bytes tornado reads no more ahead of the coroutine.
    acceptor = Acceptor(server)
    acceptor.add_sockets([server.listener.dup()])
    await told_to_stop.wait()
    loop.remove_reader(server.stop_fd)
    acceptor.stop()


class Acceptor(TCPServer):
    """Starts a coroutine for each connection."""

    def __init__(self, server: Server) -> None:
        super().__init__(max_buffer_size=2 * READ_SIZE, read_chunk_size=READ_SIZE)
        self._server = server

    async def handle_stream(self, stream: IOStream, address: tuple[str, int]) -> None:  # noqa: ARG002
        """Serve one connection; whatever goes wrong ends it only."""
        try:
            await converse(stream, self._server)
        except (StreamClosedError, OSError):
            pass  # the peer is gone
        except Exception:
            report_session_failure()
        finally:
            stream.close()


async def converse(stream: IOStream, server: Server) -> None:
    """Carry one session until the stream is closed."""
    session = server.new_session()
    while True:
        reading = asyncio.ensure_future(stream.read_bytes(READ_SIZE, partial=True))
        while session.wake_at is not None and not reading.done():
            remaining_s = session.wake_at - time.monotonic()
            if remaining_s > 0:
                await asyncio.wait([reading], timeout=remaining_s)
            else:
                await stream.write(session.wake())
        if session.wake_at is not None and session.wake_at <= time.monotonic():
            await stream.write(session.wake())
        reply = session.receive(await reading)
        if reply:
            await stream.write(reply)

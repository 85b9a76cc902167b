"""tornado's TCPServer and IOStream, on the asyncio loop.

An IOStream closes itself when its peer has finished sending, so nothing can be sent after that: no half-close. Out of
descriptors, the failed accept goes to the loop's exception handler, and tornado tries again at once.
"""

import asyncio
import time

from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer

from backends.contract import Server, report_session_failure
from backends.framework.asyncio_protocol import report
from scenarios.session import Session

TRAITS = {
    "name": "tornado",
    "family": "framework",
    "summary": "tornado's IOStream, a coroutine per connection on asyncio",
    "notify": True,
    "requires": ["tornado"],
    "options": {"read_size": 65536},
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
    acceptor = Acceptor(server)
    acceptor.add_sockets([server.listener.dup()])
    await told_to_stop.wait()
    loop.remove_reader(server.stop_fd)
    acceptor.stop()


class Acceptor(TCPServer):
    """Starts a coroutine for each connection."""

    def __init__(self, server: Server) -> None:
        # Beyond max_buffer_size bytes tornado reads no more ahead of the coroutine.
        super().__init__(max_buffer_size=2 * server.read_size, read_chunk_size=server.read_size)
        self._server = server
        self._sending: set[asyncio.Task[None]] = set()

    async def handle_stream(self, stream: IOStream, address: tuple[str, int]) -> None:  # noqa: ARG002
        """Serve one connection; whatever goes wrong ends it only."""
        try:
            await Connection(stream, self._server.new_session(), self._sending).converse(self._server.read_size)
        except (StreamClosedError, OSError):
            pass  # the peer is gone
        except Exception:
            report_session_failure()
        finally:
            stream.close()


class Connection:
    """One stream and its session. What the session sends unasked is sent by a task beside the one that reads."""

    __slots__ = ("all_sending", "notified", "sending", "session", "stream")

    def __init__(self, stream: IOStream, session: Session, all_sending: set[asyncio.Task[None]]) -> None:
        self.stream = stream
        self.session = session
        self.all_sending = all_sending
        self.notified = self.sending = False

    def notify(self) -> None:
        """Have the session woken, after what it has sent unasked before."""
        self.notified = True
        if not self.sending and not self.stream.closed():
            self.sending = True
            task = asyncio.create_task(self.send_unasked())
            self.all_sending.add(task)
            task.add_done_callback(self.all_sending.discard)

    async def send_unasked(self) -> None:
        """Wake the session again and again, each time after its peer has read enough, until nobody asks for it."""
        try:
            while self.notified and not self.stream.closed():
                self.notified = False
                await self.stream.write(self.session.wake())
            self.sending = False
        except (StreamClosedError, OSError):
            return  # as the other task hears too
        except Exception:
            report_session_failure()
            self.stream.close()

    async def converse(self, read_size: int) -> None:
        """Carry the session until the stream is closed."""
        session, stream, all_sending = self.session, self.stream, self.all_sending
        session.opened(self.notify)
        try:
            while True:
                reading = asyncio.ensure_future(stream.read_bytes(read_size, partial=True))
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
                if all_sending:
                    await asyncio.sleep(0)  # let them begin: reading does not wait while there is more to read
        finally:
            session.closed()

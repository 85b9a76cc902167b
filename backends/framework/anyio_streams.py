"""anyio on its asyncio backend: what structured concurrency across event loops costs."""

import socket
import time

import anyio
import anyio.abc

from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, READ_SIZE, Server, report_session_failure
from scenarios.session import Session

TRAITS = {
    "name": "anyio",
    "family": "framework",
    "summary": "anyio's SocketStream on asyncio, a task per connection in a task group",
    "notify": True,
    "requires": ["anyio"],
}

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
"""What is raised when the connection broke, or one of its two tasks closed it."""


def serve(server: Server) -> None:
    """Serve until told to stop."""
    anyio.run(run, server)


async def run(server: Server) -> None:
    """Accept until told to stop, then cancel the connections."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(accept, server, tasks)
        await anyio.wait_readable(socket.socket(fileno=server.stop_fd))
        tasks.cancel_scope.cancel()


async def accept(server: Server, tasks: anyio.abc.TaskGroup) -> None:
    """Start a task for each connection."""
    listener = await anyio.abc.SocketListener.from_socket(server.listener.dup())
    while True:
        try:
            tasks.start_soon(serve_one, await listener.accept(), server, tasks)
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                await anyio.sleep(ACCEPT_PAUSE_S)


async def serve_one(stream: anyio.abc.SocketStream, server: Server, tasks: anyio.abc.TaskGroup) -> None:
    """Serve one connection; whatever goes wrong ends it only."""
    try:
        async with stream:
            await Connection(stream, server.new_session(), tasks).converse()
    except BROKEN:
        return
    except Exception:
        report_session_failure()


class Connection:
    """One stream and its session. What the session sends unasked is sent by a task beside the one that reads.

    Only one task may send at a time. Whoever begins says so in `sending`, and looks for notifications afterwards; the
    lock, which costs a checkpoint, is for replies beside what is sent unasked.
    """

    __slots__ = ("lock", "notified", "open", "sending", "session", "stream", "tasks")

    def __init__(self, stream: anyio.abc.SocketStream, session: Session, tasks: anyio.abc.TaskGroup) -> None:
        self.stream = stream
        self.session = session
        self.tasks = tasks
        self.lock = anyio.Lock()
        self.notified = self.sending = False
        self.open = True

    def notify(self) -> None:
        """Have the session woken, after what is being sent."""
        self.notified = True
        if self.open and not self.sending:
            self.sending = True
            self.tasks.start_soon(self.send_unasked)

    async def send_unasked(self) -> None:
        """Wake the session again and again, each time after its peer has read enough, until nobody asks for it."""
        try:
            while self.notified:
                self.notified = False
                async with self.lock:
                    if self.open:
                        await self.stream.send(self.session.wake())
            self.sending = False
        except BROKEN:
            return  # as the other task hears too
        except Exception:
            report_session_failure()
            await anyio.aclose_forcefully(self.stream)

    async def converse(self) -> None:
        """Carry the session until its peer has finished and everything owed is sent."""
        session, stream = self.session, self.stream
        ended = False
        session.opened(self.notify)
        try:
            while not ended or session.wake_at is not None:
                data: bytes | None = None
                try:
                    if session.wake_at is None:
                        data = await stream.receive(READ_SIZE)
                    elif (remaining_s := session.wake_at - time.monotonic()) > 0:
                        with anyio.move_on_after(remaining_s):
                            data = await (anyio.sleep_forever() if ended else stream.receive(READ_SIZE))
                except anyio.EndOfStream:
                    data = b""
                if data is None:
                    reply = session.wake()
                else:
                    ended = not data
                    reply = session.receive(data) if data else session.eof()
                if reply and self.sending:
                    async with self.lock:
                        await stream.send(reply)
                elif reply:
                    self.sending = True
                    await stream.send(reply)
                    self.sending = False
                    if self.notified:
                        self.notify()
            if self.sending:
                async with self.lock:  # after what is being sent
                    self.open = False
        finally:
            self.open = False
            session.closed()

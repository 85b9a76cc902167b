"""trio: a task per connection in a nursery, over SocketStream, which its documentation recommends over raw sockets."""

import time

import trio

from backends.contract import Server, report_session_failure
from scenarios.session import Session

TRAITS = {
    "name": "trio",
    "family": "framework",
    "summary": "trio's SocketStream, a task per connection in a nursery",
    "notify": True,
    "requires": ["trio"],
    "options": {"read_size": 65536},
}

BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)
"""What is raised when the connection broke, or one of its two tasks closed it."""


def serve(server: Server) -> None:
    """Serve until told to stop."""
    trio.run(run, server)


async def run(server: Server) -> None:
    """Accept until told to stop, then cancel the connections. Out of descriptors, trio tries again after 0.1 s."""

    async def serve_one(stream: trio.SocketStream) -> None:
        try:
            await Connection(stream, server.new_session(), nursery).converse(server.read_size)
        except BROKEN:
            return
        except Exception:
            report_session_failure()

    listener = trio.SocketListener(trio.socket.from_stdlib_socket(server.listener.dup()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve_one, [listener])
        await trio.lowlevel.wait_readable(server.stop_fd)
        nursery.cancel_scope.cancel()


class Connection:
    """One stream and its session. What the session sends unasked is sent by a task beside the one that reads.

    Only one task may send at a time. Whoever begins says so in `sending`, and looks for notifications afterwards; the
    lock, which costs a checkpoint, is for replies beside what is sent unasked.
    """

    __slots__ = ("lock", "notified", "nursery", "open", "sending", "session", "stream")

    def __init__(self, stream: trio.SocketStream, session: Session, nursery: trio.Nursery) -> None:
        self.stream = stream
        self.session = session
        self.nursery = nursery
        self.lock = trio.Lock()
        self.notified = self.sending = False
        self.open = True

    def notify(self) -> None:
        """Have the session woken, after what is being sent."""
        self.notified = True
        if self.open and not self.sending:
            self.sending = True
            self.nursery.start_soon(self.send_unasked)

    async def send_unasked(self) -> None:
        """Wake the session again and again, each time after its peer has read enough, until nobody asks for it."""
        try:
            while self.notified:
                self.notified = False
                async with self.lock:
                    if self.open:
                        await self.stream.send_all(self.session.wake())
            self.sending = False
        except BROKEN:
            return  # as the other task hears too
        except Exception:
            report_session_failure()
            await trio.aclose_forcefully(self.stream)

    async def converse(self, read_size: int) -> None:
        """Carry the session until its peer has finished and everything owed is sent."""
        session = self.session
        receive_some, send_all, receive = self.stream.receive_some, self.stream.send_all, session.receive
        ended = False
        session.opened(self.notify)
        try:
            while not ended or session.wake_at is not None:
                data: bytes | bytearray | None = None
                if session.wake_at is None:
                    data = await receive_some(read_size)
                else:
                    with trio.move_on_after(max(0.0, session.wake_at - time.monotonic())):
                        data = await (trio.sleep_forever() if ended else receive_some(read_size))
                if data is None:
                    reply = session.wake()
                else:
                    ended = not data
                    reply = receive(bytes(data)) if data else session.eof()
                if reply and self.sending:
                    async with self.lock:
                        await send_all(reply)
                elif reply:
                    self.sending = True
                    await send_all(reply)
                    self.sending = False
                    if self.notified:
                        self.notify()
            if self.sending:
                async with self.lock:  # after what is being sent
                    self.open = False
        finally:
            self.open = False
            session.closed()

"""asyncio's Protocol on its default loop: the callback style its documentation recommends where speed matters.

The transport reads as much as it chooses (256 KiB at once), tries to send at once and buffers the rest; beyond 64 KiB
of unsent bytes it asks the protocol to pause, which then stops reading from that peer. Out of descriptors, the loop
leaves its listener alone for a second (`asyncio.constants.ACCEPT_RETRY_DELAY`). `uvloop_protocol` runs the same code.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from backends.contract import OUT_OF_DESCRIPTORS, Server, report_session_failure

TRAITS = {
    "name": "asyncio-protocol",
    "family": "framework",
    "summary": "asyncio's Protocol callbacks on the default event loop",
    "notify": True,
}


def serve(server: Server) -> None:
    """Serve on asyncio's own loop until told to stop."""
    serve_on(asyncio.new_event_loop(), server)


def serve_on(
    loop: asyncio.AbstractEventLoop,
    server: Server,
    connect: "Callable[[asyncio.AbstractEventLoop, Server, set[Connection]], Connection] | None" = None,
) -> None:
    """Serve on this loop until told to stop, then break the connections and close the loop.

    Args:
        loop: A new event loop.
        server: What `serve` was handed.
        connect: Makes the protocol of a connection; `Connection` if None.
    """
    connect = connect or Connection
    loop.set_exception_handler(report)
    live: set[Connection] = set()
    # The loop closes the socket it listens on, so it is given a duplicate; it calls listen(2) again, so the backlog is
    # named: its own default is 100.
    listening = loop.create_server(
        lambda: connect(loop, server, live), sock=server.listener.dup(), backlog=server.options["backlog"]
    )
    acceptor = loop.run_until_complete(listening)
    told_to_stop = loop.create_future()
    loop.add_reader(server.stop_fd, told_to_stop.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(told_to_stop)
    loop.remove_reader(server.stop_fd)
    acceptor.close()
    for connection in list(live):
        connection.transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what went wrong inside the loop, but not each failed accept while it is out of descriptors."""
    if getattr(context.get("exception"), "errno", None) not in OUT_OF_DESCRIPTORS:
        loop.default_exception_handler(context)


class Connection(asyncio.Protocol):
    """Carries one session."""

    __slots__ = ("ended", "live", "loop", "notified", "paused", "receive", "session", "timer", "timer_at", "transport")

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server, live: set["Connection"]) -> None:
        self.loop = loop
        self.live = live
        self.session = server.new_session()
        self.receive = self.session.receive
        self.ended = self.notified = self.paused = False
        self.timer: asyncio.TimerHandle | None = None
        self.timer_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment] # a stream's transport reads and writes
        self.live.add(self)
        self.session.opened(self.notify)

    def connection_lost(self, exception: Exception | None) -> None:  # noqa: ARG002
        """Forget the connection, whether it ended well or broke."""
        self.live.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        self.session.closed()

    def data_received(self, data: bytes) -> None:
        """Answer bytes."""
        try:
            reply = self.receive(data)
        except Exception:
            self.fail()
            return
        if reply:
            self.transport.write(reply)
        if self.session.wake_at is not None:
            self.set_timer()

    def eof_received(self) -> bool:
        """Answer the end of the peer's bytes. Returns whether the connection stays open for late replies."""
        self.ended = True
        self.answer(self.session.eof)
        return True  # `answer` closes: returning False would close as well, but not abort where the session failed.

    def wake(self) -> None:
        """Answer because it is time."""
        self.timer = None
        self.answer(self.session.wake)

    def notify(self) -> None:
        """Have the session woken in the loop's next turn."""
        self.notified = True
        self.loop.call_soon(self.wake_notified)

    def wake_notified(self) -> None:
        """Wake the session if it still wants to be, unless the peer has to read first."""
        if self.notified and not self.paused:
            self.notified = False
            self.answer(self.session.wake)

    def answer(self, call: Callable[[], bytes]) -> None:
        """Send what a call of the session returns, and close if that was all."""
        if self.transport.is_closing():
            return
        try:
            reply = call()
        except Exception:
            self.fail()
            return
        if reply:
            self.transport.write(reply)
        if self.session.wake_at is not None:
            self.set_timer()
        elif self.ended:
            self.transport.close()  # What is still buffered is sent first.

    def set_timer(self) -> None:
        """Make sure that the session is woken in time. A timer that is set for earlier stays: that is harmless."""
        wake_at = self.session.wake_at
        assert wake_at is not None
        if self.timer is not None:
            if self.timer_at <= wake_at:
                return
            self.timer.cancel()
        self.timer_at = wake_at
        # Relative, because uvloop's clock is not time.monotonic.
        self.timer = self.loop.call_later(max(0.0, wake_at - time.monotonic()), self.wake)

    def fail(self) -> None:
        """End the connection of a session that just raised."""
        report_session_failure()
        self.transport.abort()

    def pause_writing(self) -> None:
        """Read no more from a peer that does not read."""
        self.paused = True
        if not self.ended:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on. After the end there is nothing more to read, and reading again would report the end again."""
        self.paused = False
        if not self.ended:
            self.transport.resume_reading()
        self.wake_notified()

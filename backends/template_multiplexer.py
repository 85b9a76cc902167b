"""A working multiplexer: the five methods by which the reactor waits for readiness. This one asks poll(2).

Everything that a connection is owed is done by the reactor; `backends.readiness.reactor.Multiplexer` says what each
method must do.
"""

import select

from backends.contract import Server
from backends.readiness.reactor import Reactor

TRAITS = {
    "name": "template",
    "family": "readiness",
    "summary": "another way to wait for readiness",
    "notify": True,
}


class Multiplexer:
    """Watches descriptors; events are READ (1) and WRITE (4) as in poll(2)."""

    edge = False  # True if an event is reported only once: then the reactor reads until EAGAIN

    def __init__(self) -> None:
        self._poll = select.poll()

    def register(self, fd: int, events: int) -> None:
        """Start watching."""
        self._poll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Watch for other events; 0 means none for now."""
        self._poll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Stop watching."""
        self._poll.unregister(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return (descriptor, events) of all that are ready, waiting up to `timeout` seconds; None waits for ever."""
        return self._poll.poll(None if timeout is None else timeout * 1000)

    def close(self) -> None:
        """Give back what the multiplexer holds."""


def serve(server: Server) -> None:
    """Serve with the reactor over this multiplexer."""
    Reactor(server, Multiplexer()).run()

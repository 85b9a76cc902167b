"""A working multiplexer, of poll(2). `backends.readiness.reactor.Multiplexer` says what each method has to do."""

import select

from backends.contract import Server
from backends.readiness import reactor

TRAITS = {
    "name": "template",
    "family": "readiness",
    "summary": "another way to wait for readiness",
    "notify": True,
    "options": {"read_size": 65536},
}


class Multiplexer(reactor.Multiplexer):
    """Watches descriptors; events are READ (1) and WRITE (4) as in poll(2)."""

    def __init__(self) -> None:
        self._poll = select.poll()

    def modify(self, fd: int, events: int) -> None:
        """Watch a descriptor, a new one too, for these events; 0 means none for now."""
        self._poll.register(fd, events)

    def unregister(self, fd: int) -> None:
        """Stop watching."""
        self._poll.unregister(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return (descriptor, events) of all that are ready, waiting up to `timeout` seconds; None waits for ever."""
        return self._poll.poll(None if timeout is None else timeout * 1000)


def serve(server: Server) -> None:
    """Serve with the reactor over this multiplexer."""
    reactor.Reactor(server, Multiplexer()).run()

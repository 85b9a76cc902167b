"""selectors.DefaultSelector: the standard library's portable face of the best multiplexer there is (here epoll)."""

import selectors

from backends.contract import Server
from backends.readiness.reactor import READ, WRITE, Reactor

TRAITS = {
    "name": "selectors",
    "family": "readiness",
    "summary": "the standard library's DefaultSelector, which asyncio waits with",
    "notify": True,
    "options": {"read_size": 65536},
}

FROM_SELECTORS = {
    selectors.EVENT_READ: READ,
    selectors.EVENT_WRITE: WRITE,
    selectors.EVENT_READ | selectors.EVENT_WRITE: READ | WRITE,
}
TO_SELECTORS = {ours: theirs for theirs, ours in FROM_SELECTORS.items()}


class Multiplexer:
    """Translates the events, which have other values there."""

    edge = False

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, events: int) -> None:
        """Watch a descriptor."""
        self._selector.register(fd, TO_SELECTORS[events])

    def modify(self, fd: int, events: int) -> None:
        """Watch it for other events; it is left out while there are none, which a selector does not take."""
        self.unregister(fd)
        if events:
            self.register(fd, events)

    def unregister(self, fd: int) -> None:
        """Stop watching it."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait; errors come as readable and writable."""
        return [(key.fd, FROM_SELECTORS[events]) for key, events in self._selector.select(timeout)]

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()


def serve(server: Server) -> None:
    """Serve with the reactor over this multiplexer."""
    Reactor(server, Multiplexer()).run()

"""selectors.DefaultSelector: the standard library's portable face of the best multiplexer there is (here epoll)."""

from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector

from backends.contract import Server
from backends.readiness import reactor

TRAITS = {
    "name": "selectors",
    "family": "readiness",
    "summary": "the standard library's DefaultSelector, which asyncio waits with",
    "notify": True,
    "options": {"read_size": 65536},
}

FROM_SELECTORS = {EVENT_READ: reactor.READ, EVENT_WRITE: reactor.WRITE}


class Multiplexer(reactor.Multiplexer):
    """Translates the events, which have other values there; errors come as readable and writable."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self.close = self._selector.close  # type: ignore[method-assign] # nothing to add

    def register(self, fd: int, events: int) -> None:
        self._selector.register(fd, EVENT_READ if events == reactor.READ else EVENT_WRITE)

    def modify(self, fd: int, events: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
        if events:  # a selector does not take a descriptor with none
            self.register(fd, events)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        return [(key.fd, FROM_SELECTORS[events]) for key, events in self._selector.select(timeout)]


def serve(server: Server) -> None:
    reactor.Reactor(server, Multiplexer()).run()

"""poll(2): the whole interest list goes to the kernel and is searched at every wait, but has no upper limit."""

import select

from backends.contract import Server
from backends.readiness.reactor import Reactor

TRAITS = {
    "name": "poll",
    "family": "readiness",
    "summary": "poll; every wait hands over the whole interest list",
    "notify": True,
    "platforms": ["linux", "darwin"],
    "options": {"read_size": 65536},
}


class Multiplexer:
    """The kernel's event bits are the reactor's own, so nothing is translated."""

    edge = False

    def __init__(self) -> None:
        poller = select.poll()
        self.register = poller.register
        self.modify = poller.modify
        self.unregister = poller.unregister
        self._poll = poller.poll

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        return self._poll(None if timeout is None else timeout * 1000)  # poll(2) counts in milliseconds

    def close(self) -> None:
        """There is nothing to give back: the interest list is the process's own."""


def serve(server: Server) -> None:
    Reactor(server, Multiplexer()).run()

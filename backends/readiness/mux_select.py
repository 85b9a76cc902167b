"""select(2): two bit sets go to the kernel and come back at every wait, and no descriptor may reach FD_SETSIZE."""

import select

from backends.contract import Server
from backends.readiness.reactor import READ, WRITE, Reactor

TRAITS = {
    "name": "select",
    "family": "readiness",
    "summary": "select; every wait scans bit sets of at most 1,024 descriptors",
    "notify": True,
    "max_descriptors": 1024,
    "options": {"read_size": 65536},
}

FD_SETSIZE = 1024


class Multiplexer:
    """Keeps the descriptors to read and to write in two sets, as select.select takes them."""

    edge = False

    def __init__(self) -> None:
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def register(self, fd: int, events: int) -> None:
        """Watch a descriptor.

        Raises:
            ValueError: Its number does not fit into the bit set (select(2), BUGS).
        """
        if fd >= FD_SETSIZE:
            raise ValueError(f"select cannot watch descriptor {fd}: FD_SETSIZE is {FD_SETSIZE}")
        self.modify(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Watch it for other events; an error shows as readable and writable, so 0 hears of none."""
        (self._readers.add if events & READ else self._readers.discard)(fd)
        (self._writers.add if events & WRITE else self._writers.discard)(fd)

    def unregister(self, fd: int) -> None:
        """Stop watching it."""
        self.modify(fd, 0)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait; the reactor never asks for both events at once, so no descriptor comes twice."""
        readable, writable, _ = select.select(self._readers, self._writers, (), timeout)
        return [(fd, READ) for fd in readable] + [(fd, WRITE) for fd in writable]

    def close(self) -> None:
        """There is nothing to give back: the sets are the process's own."""


def serve(server: Server) -> None:
    """Serve with the reactor over this multiplexer."""
    Reactor(server, Multiplexer()).run()

"""select(2): two bit sets go to the kernel and come back at every wait, and no descriptor may reach FD_SETSIZE."""

import select

from backends.contract import Server
from backends.readiness import reactor
from backends.readiness.reactor import READ, WRITE

TRAITS = {
    "name": "select",
    "family": "readiness",
    "summary": "select; every wait scans bit sets of at most 1,024 descriptors",
    "notify": True,
    "max_descriptors": 1024,
    "options": {"read_size": 65536},
}


class Multiplexer(reactor.Multiplexer):
    """Keeps the descriptors to read and to write in two sets, as select.select takes them."""

    def __init__(self) -> None:
        self._readers, self._writers = set[int](), set[int]()

    def register(self, fd: int, events: int) -> None:
        if fd >= 1024:  # FD_SETSIZE: it does not fit into the bit set (select(2), BUGS)
            raise ValueError(f"select cannot watch descriptor {fd}: FD_SETSIZE is 1024")
        self.modify(fd, events)

    def modify(self, fd: int, events: int) -> None:  # an error shows as readable and writable, so 0 hears of none
        (self._readers.add if events & READ else self._readers.discard)(fd)
        (self._writers.add if events & WRITE else self._writers.discard)(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        readable, writable, _ = select.select(self._readers, self._writers, (), timeout)
        return [(fd, READ) for fd in readable] + [(fd, WRITE) for fd in writable]


def serve(server: Server) -> None:
    reactor.Reactor(server, Multiplexer()).run()

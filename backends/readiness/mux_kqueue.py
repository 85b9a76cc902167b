"""kqueue(2) of the BSDs and macOS: the kernel keeps the interest list, with a filter of its own for each event."""

import select
from typing import Any

from backends.contract import Server
from backends.readiness.reactor import READ, WRITE, Reactor

TRAITS = {
    "name": "kqueue",
    "family": "readiness",
    "summary": "kqueue, level-triggered; the kernel keeps a filter for each event",
    "notify": True,
    "platforms": ["darwin", "freebsd", "openbsd", "netbsd"],
    "options": {"read_size": 65536},
}

KERNEL: Any = select
"""The module as it is on a BSD: type checkers elsewhere do not know its kqueue."""


class Multiplexer:
    """Translates interests into filters: one knote for reading, one for writing."""

    edge = False

    def __init__(self) -> None:
        self._kqueue = KERNEL.kqueue()
        self._filters = ((READ, KERNEL.KQ_FILTER_READ), (WRITE, KERNEL.KQ_FILTER_WRITE))
        self._bits = {kind: bit for bit, kind in self._filters}
        self._watched: dict[int, int] = {}
        self.close = self._kqueue.close

    def register(self, fd: int, events: int) -> None:
        """Start watching."""
        self._watched[fd] = 0
        self.modify(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Add the filters that are new and delete those that are no longer wanted."""
        changed = events ^ self._watched[fd]
        self._watched[fd] = events
        for bit, kind in self._filters:
            if changed & bit:
                action = KERNEL.KQ_EV_ADD if events & bit else KERNEL.KQ_EV_DELETE
                self._kqueue.control([KERNEL.kevent(fd, kind, action)], 0)

    def unregister(self, fd: int) -> None:
        """Stop watching."""
        self.modify(fd, 0)
        del self._watched[fd]

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait; a descriptor that is ready for both comes twice."""
        ready = self._kqueue.control(None, max(1, 2 * len(self._watched)), timeout)
        return [(event.ident, self._bits[event.filter]) for event in ready]


def serve(server: Server) -> None:
    """Serve with the reactor over this multiplexer."""
    Reactor(server, Multiplexer()).run()

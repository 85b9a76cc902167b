"""kqueue(2) of the BSDs and macOS: the kernel keeps the interest list, with a filter of its own for each event."""

import select

from backends.contract import Server
from backends.readiness import reactor

TRAITS = {
    "name": "kqueue",
    "family": "readiness",
    "summary": "kqueue, level-triggered; the kernel keeps a filter for each event",
    "notify": True,
    "platforms": ["darwin", "freebsd", "openbsd", "netbsd"],
    "options": {"read_size": 65536},
}


class Multiplexer(reactor.Multiplexer):
    """Translates interests into filters: one for reading, one for writing."""

    def __init__(self) -> None:
        self._kqueue = select.kqueue()
        self._events = {select.KQ_FILTER_READ: reactor.READ, select.KQ_FILTER_WRITE: reactor.WRITE}
        self._watched: dict[int, int] = {}
        self.close = self._kqueue.close

    def modify(self, fd: int, events: int) -> None:
        for kind, bit in self._events.items():
            if (events ^ self._watched.get(fd, 0)) & bit:  # it is new, or no longer wanted
                action = select.KQ_EV_ADD if events & bit else select.KQ_EV_DELETE
                self._kqueue.control([select.kevent(fd, kind, action)], 0)
        self._watched[fd] = events

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        ready = self._kqueue.control(None, max(1, 2 * len(self._watched)), timeout)
        return [(event.ident, self._events[event.filter]) for event in ready]


def serve(server: Server) -> None:
    reactor.Reactor(server, Multiplexer()).run()

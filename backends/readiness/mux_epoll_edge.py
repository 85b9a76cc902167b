"""epoll(7), edge-triggered: an event is reported once, when the state changes, so each read goes on until EAGAIN."""

import select

from backends.contract import Server
from backends.readiness.reactor import Reactor

TRAITS = {
    "name": "epoll-et",
    "family": "readiness",
    "summary": "epoll, edge-triggered; every socket is drained until EAGAIN",
    "notify": True,
    "platforms": ["linux"],
    "options": {"read_size": 65536},
}


class Multiplexer:
    """The kernel's event bits are the reactor's own; EPOLLET goes with every interest."""

    edge = True

    def __init__(self) -> None:
        self._epoll = epoll = select.epoll()
        self.unregister = epoll.unregister
        self.wait = epoll.poll
        self.close = epoll.close

    def register(self, fd: int, events: int) -> None:
        self._epoll.register(fd, events | select.EPOLLET)

    def modify(self, fd: int, events: int) -> None:  # what is ready already is reported again
        self._epoll.modify(fd, events | select.EPOLLET)


def serve(server: Server) -> None:
    Reactor(server, Multiplexer()).run()

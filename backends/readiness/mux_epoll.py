"""epoll(7), level-triggered: the kernel keeps the interest list; a wait costs by what is ready, not by what is open."""

import select

from backends.contract import Server
from backends.readiness.reactor import Reactor

TRAITS = {
    "name": "epoll",
    "family": "readiness",
    "summary": "epoll, level-triggered; the kernel keeps the interest list",
    "notify": True,
    "platforms": ["linux"],
    "options": {"read_size": 65536},
}


class Multiplexer:
    """The kernel's event bits are the reactor's own, so nothing is translated."""

    edge = False

    def __init__(self) -> None:
        epoll = select.epoll()
        self.register = epoll.register
        self.modify = epoll.modify
        self.unregister = epoll.unregister
        self.wait = epoll.poll
        self.close = epoll.close


def serve(server: Server) -> None:
    Reactor(server, Multiplexer()).run()

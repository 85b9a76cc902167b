"""The backend `epoll` with a known amount of extra work for each read, to see what a comparison can tell apart.

Option `turns`: turns of an empty loop. With 0 the loop is entered all the same, so that two numbers of turns differ in
nothing else.
"""

from backends.contract import Server
from backends.readiness.mux_epoll import Multiplexer
from backends.readiness.reactor import Reactor
from scenarios.session import Session

TRAITS = {
    "name": "slowed-epoll",
    "family": "readiness",
    "summary": "epoll with extra work for each read",
    "platforms": ["linux"],
    "options": {"turns": 0},
}


class SlowedSession(Session):
    """Works before it lets the session within receive."""

    def __init__(self, session: Session, turns: int) -> None:
        self._receive = session.receive
        self._turns = turns
        self.eof = session.eof  # type: ignore[method-assign]

    def receive(self, data: bytes) -> bytes:
        """Work, then answer."""
        for _ in range(self._turns):
            pass
        return self._receive(data)


def serve(server: Server) -> None:
    """Serve with the reactor over epoll."""
    turns = int(server.options["turns"])
    slowed = Server(server.listener, lambda: SlowedSession(server.new_session(), turns), server.stop_fd, server.options)
    Reactor(slowed, Multiplexer()).run()

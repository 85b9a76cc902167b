"""No multiplexer: every socket is tried in turn until it no longer says EAGAIN. What multiplexers save us from.

Non-blocking calls alone do not wait, so the loop never rests: a CPU is busy without any traffic, and each request pays
for a fruitless try on every other connection.
"""

from backends.contract import Server
from backends.readiness.reactor import Reactor

TRAITS = {
    "name": "spin",
    "family": "readiness",
    "summary": "no multiplexer: tries every non-blocking socket again and again",
    "notify": True,
    "faults": {
        "waiting-without-spinning": "it spins: that is what it shows",
        "waiting-for-a-reader-without-spinning": "it spins: that is what it shows",
        "descriptors-run-out": "it spins: that is what it shows",
    },
    "options": {"read_size": 65536},
}


class Multiplexer:
    """Claims that everything is ready for what it is watched for; the calls themselves find out."""

    edge = False

    def __init__(self) -> None:
        self._watched: dict[int, int] = {}
        self.register = self.modify = self._watched.__setitem__

    def unregister(self, fd: int) -> None:
        """Stop trying."""
        del self._watched[fd]

    def wait(self, _timeout: float | None) -> list[tuple[int, int]]:
        """Return everything, at once."""
        return list(self._watched.items())

    def close(self) -> None:
        """There is nothing to give back."""


def serve(server: Server) -> None:
    """Serve with the reactor over this multiplexer."""
    Reactor(server, Multiplexer()).run()

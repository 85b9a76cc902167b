"""Twisted with a Deferred for each read: callbacks compute and send the reply, the errback ends what failed.

A Deferred is a result that is not there yet, with a chain of callback/errback pairs: an exception in one link goes to
the next errback. Here the result is there at once, so what is measured beside `twisted-epoll` is the chain itself.
"""

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from backends.contract import Server
from backends.framework.twisted_protocol import Connection, serve_on

TRAITS = {
    "name": "twisted-deferred",
    "family": "framework",
    "summary": "Twisted on epoll, each reply through a Deferred's callback/errback chain",
    "requires": ["twisted", "zope.interface"],
    "platforms": ["linux"],
}


class DeferredConnection(Connection):
    """Carries one session; every read is a Deferred that fires."""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Answer bytes."""
        arrived: Deferred[bytes] = Deferred()
        arrived.addCallback(self.session.receive)
        arrived.addCallback(self.send)
        arrived.addErrback(self.give_up)
        arrived.callback(data)

    def send(self, reply: bytes) -> None:
        """Send a reply, and see to the session's time."""
        if reply:
            self.transport.write(reply)
        if self.session.wake_at is not None:
            self.set_timer()

    def give_up(self, failure: object) -> None:
        """End the connection of a session that raised."""
        failure.printTraceback()  # type: ignore[attr-defined] # a twisted.python.failure.Failure
        self.transport.abortConnection()


def serve(server: Server) -> None:
    """Serve until told to stop."""
    serve_on(EPollReactor(), server, DeferredConnection)  # type: ignore[no-untyped-call]

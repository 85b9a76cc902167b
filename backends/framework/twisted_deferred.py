"""Twisted with a Deferred for each read: callbacks compute and send the reply, the errback ends what failed.

A Deferred is a result that is not there yet, with a chain of callback/errback pairs: an exception in one link goes to
the next errback. Here the result is there at once, so what is measured beside `twisted-epoll` is the chain itself.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from backends.contract import Server
from backends.framework.twisted_protocol import Connection, serve_on

TRAITS = {
    "name": "twisted-deferred",
    "family": "framework",
    "summary": "Twisted on epoll, each reply through a Deferred's callback/errback chain",
    "notify": True,
    "requires": ["twisted", "zope.interface"],
    "platforms": ["linux"],
}


class DeferredConnection(Connection):
    """Carries one session; each request is a Deferred that fires, where the session says what a request is."""

    def __init__(self, reactor: Any, server: Server) -> None:  # noqa: ANN401
        super().__init__(reactor, server)
        self.has_steps = hasattr(self.session, "answer")

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Answer bytes: request by request, or all that came where the session has no steps."""
        if not self.has_steps:
            self.fire(data, self.session.receive)
            return
        session: Any = self.session
        try:
            requests = session.requests(data)
        except Exception:
            self.fail()
            return
        for request in requests:
            self.fire(request, session.answer, lambda failure: session.failed(failure.value))

    def fire(self, value: Any, answer: Callable[[Any], bytes], handle: Callable[[Any], bytes] | None = None) -> None:  # noqa: ANN401
        """Run a value through callback and errback, send what comes out, and give up on what nobody handled."""
        arrived: Deferred[Any] = Deferred()
        arrived.addCallback(answer)
        if handle is not None:
            arrived.addErrback(handle)
        arrived.addCallback(self.send)
        arrived.addErrback(self.give_up)
        arrived.callback(value)

    def send(self, reply: bytes) -> None:
        """Send a reply, and see to the session's time."""
        if reply:
            self.transport.write(reply)
        if self.session.wake_at is not None:
            self.set_timer()

    def give_up(self, failure: Any) -> None:  # noqa: ANN401
        """End the connection of a session that raised."""
        failure.printTraceback()
        self.transport.abortConnection()


def serve(server: Server) -> None:
    """Serve until told to stop."""
    serve_on(EPollReactor(), server, DeferredConnection)  # type: ignore[no-untyped-call]

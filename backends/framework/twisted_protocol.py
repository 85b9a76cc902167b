"""Twisted's Protocol, over whichever of its reactors: shared by the backends `twisted-*`.

The transport buffers without bound what it is given to write, so the connection registers as its producer and is told
to pause: then it reads no more. Out of descriptors, Twisted accepts and closes at once the connections that it cannot
serve (it keeps one descriptor in reserve).
"""

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, IReadDescriptor
from twisted.internet.main import installReactor
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from backends.contract import Server, report_session_failure


def serve_on(reactor: Any, server: Server, connection_type: "type[Connection] | None" = None) -> None:  # noqa: ANN401
    """Serve on this reactor until told to stop.

    Args:
        reactor: A new one, of any kind.
        server: What `serve` was handed.
        connection_type: The protocol of a connection; `Connection` if None.
    """
    installReactor(reactor)  # type: ignore[no-untyped-call]
    connect = connection_type or Connection
    factory = Factory.forProtocol(lambda: connect(reactor, server))
    factory.noisy = False
    reactor.adoptStreamPort(server.listener.fileno(), server.listener.family, factory)
    reactor.addReader(StopWatch(reactor, server.stop_fd))
    reactor.run(installSignalHandlers=False)


@implementer(IReadDescriptor)
class StopWatch:
    """Stops the reactor when its descriptor becomes readable."""

    def __init__(self, reactor: Any, stop_fd: int) -> None:  # noqa: ANN401
        self.reactor = reactor
        self.stop_fd = stop_fd

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.stop_fd

    def doRead(self) -> None:  # noqa: N802
        """Stop."""
        self.reactor.removeReader(self)
        self.reactor.stop()

    def connectionLost(self, reason: object) -> None:  # noqa: N802
        """Nothing is lost: the reactor closes everything it watches when it stops."""

    def logPrefix(self) -> str:  # noqa: N802
        """Return what logs call it."""
        return "stop"


@implementer(IHalfCloseableProtocol, IPushProducer)
class Connection(Protocol):
    """Carries one session."""

    transport: Any

    def __init__(self, reactor: Any, server: Server) -> None:  # noqa: ANN401
        self.reactor = reactor
        self.session = server.new_session()
        self.ended = self.lost = self.notified = self.paused = False
        self.timer: Any = None

    def connectionMade(self) -> None:  # noqa: N802
        """Begin."""
        self.transport.registerProducer(self, True)
        self.session.opened(self.notify)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Answer bytes."""
        try:
            reply = self.session.receive(data)
        except Exception:
            self.fail()
            return
        if reply:
            self.transport.write(reply)
        if self.session.wake_at is not None:
            self.set_timer()

    def readConnectionLost(self) -> None:  # noqa: N802
        """Answer the end of the peer's bytes."""
        self.ended = True
        self.answer(self.session.eof)

    def writeConnectionLost(self) -> None:  # noqa: N802
        """Nobody half-closes this side before the end."""

    def connectionLost(self, reason: object = None) -> None:  # noqa: ARG002, N802
        """Forget the connection, whether it ended well or broke."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.lost = True
        self.session.closed()

    def wake(self) -> None:
        """Answer because it is time."""
        self.timer = None
        self.answer(self.session.wake)

    def notify(self) -> None:
        """Have the session woken in the reactor's next turn."""
        self.notified = True
        self.reactor.callLater(0, self.wake_notified)

    def wake_notified(self) -> None:
        """Wake the session if it still wants to be, unless the peer has to read first or is gone."""
        if self.notified and not self.paused and not self.lost:
            self.notified = False
            self.answer(self.session.wake)

    def answer(self, call: Callable[[], bytes]) -> None:
        """Send what a call of the session returns, and close if that was all."""
        try:
            reply = call()
        except Exception:
            self.fail()
            return
        if reply:
            self.transport.write(reply)
        if self.session.wake_at is not None:
            self.set_timer()
        elif self.ended:
            self.transport.unregisterProducer()
            self.transport.loseConnection()  # what is still buffered is sent first

    def set_timer(self) -> None:
        """Wake the session in time."""
        wake_at = self.session.wake_at
        assert wake_at is not None
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.reactor.callLater(max(0.0, wake_at - time.monotonic()), self.wake)

    def fail(self) -> None:
        """End the connection of a session that just raised."""
        self.lost = True
        report_session_failure()
        self.transport.abortConnection()

    def pauseProducing(self) -> None:  # noqa: N802
        """Read no more from a peer that does not read."""
        self.paused = True
        if not self.ended:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802
        """Read on."""
        self.paused = False
        if not self.ended:
            self.transport.resumeProducing()
        self.wake_notified()

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is lost: nothing more is to be written."""

"""Twisted on its reactor over epoll."""

from twisted.internet.epollreactor import EPollReactor

from backends.contract import Server
from backends.framework.twisted_protocol import serve_on

TRAITS = {
    "name": "twisted-epoll",
    "family": "framework",
    "summary": "Twisted's Protocol callbacks on its reactor over epoll",
    "notify": True,
    "requires": ["twisted", "zope.interface"],
    "platforms": ["linux"],
}


def serve(server: Server) -> None:
    """Serve until told to stop."""
    serve_on(EPollReactor(), server)  # type: ignore[no-untyped-call]

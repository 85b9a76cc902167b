"""Twisted on its reactor over poll."""

from twisted.internet.pollreactor import PollReactor

from backends.contract import Server
from backends.framework.twisted_protocol import serve_on

TRAITS = {
    "name": "twisted-poll",
    "family": "framework",
    "summary": "Twisted's Protocol callbacks on its reactor over poll",
    "notify": True,
    "requires": ["twisted", "zope.interface"],
    "platforms": ["linux", "darwin"],
}


def serve(server: Server) -> None:
    """Serve until told to stop."""
    serve_on(PollReactor(), server)  # type: ignore[no-untyped-call]

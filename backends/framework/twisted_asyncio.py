"""Twisted on its reactor over an asyncio event loop."""

from twisted.internet.asyncioreactor import AsyncioSelectorReactor

from backends.contract import Server
from backends.framework.twisted_protocol import serve_on

TRAITS = {
    "name": "twisted-asyncio",
    "family": "framework",
    "summary": "Twisted's Protocol callbacks on its reactor over an asyncio event loop",
    "notify": True,
    "requires": ["twisted", "zope.interface"],
}


def serve(server: Server) -> None:
    """Serve until told to stop."""
    serve_on(AsyncioSelectorReactor(), server)

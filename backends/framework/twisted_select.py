"""Twisted on its reactor over select."""

from twisted.internet.selectreactor import SelectReactor

from backends.contract import Server
from backends.framework.twisted_protocol import serve_on

TRAITS = {
    "name": "twisted-select",
    "family": "framework",
    "summary": "Twisted's Protocol callbacks on its reactor over select",
    "notify": True,
    "requires": ["twisted", "zope.interface"],
    "max_descriptors": 1024,
}


def serve(server: Server) -> None:
    """Serve until told to stop."""
    serve_on(SelectReactor(), server)

"""The same asyncio Protocol on rloop, an event loop in Rust on mio.

Its authors call it a work in progress: it takes no notice of a half-close, and an aborted connection stays open.
"""

import rloop

from backends.contract import Server
from backends.framework.asyncio_protocol import serve_on

TRAITS = {
    "name": "rloop",
    "family": "framework",
    "summary": "the same Protocol callbacks on rloop's event loop (Rust, mio)",
    "notify": True,
    "requires": ["rloop"],
    "platforms": ["linux", "darwin"],
    "transports": ["tcp"],
    "faults": {
        "garbage": "rloop 0.5 does not report the end of the peer's bytes",
        "descriptors-run-out": "rloop 0.5 accepts no connection any more once descriptors have run out",
        "half-close": "rloop 0.5 does not report the end of the peer's bytes",
        "reply-at-the-end": "rloop 0.5 does not report the end of the peer's bytes",
        "late-reply-after-the-end": "rloop 0.5 does not report the end of the peer's bytes",
        "no-leaks": "rloop 0.5 keeps the descriptors of connections that their peers closed",
        "raising-session": "transport.abort of rloop 0.5 leaves the connection open",
        "session-that-raises-when-woken": "transport.abort of rloop 0.5 leaves the connection open",
        "notified-peer-that-never-reads": "transport.abort of rloop 0.5 leaves the connection open",
        "sessions-know-that-they-are-closed": "rloop 0.5 does not report the end of the peer's bytes",
        "session-that-raises-at-the-end": "rloop 0.5 does not report the end of the peer's bytes",
    },
}


def serve(server: Server) -> None:
    """Serve on rloop's loop until told to stop."""
    serve_on(rloop.new_event_loop(), server)

"""What a backend is: a dictionary `TRAITS` and a function `serve(server)`. A plugin needs no import from here.

    TRAITS = {"name": "mine", "family": "readiness", "summary": "One line that says what is special about it."}

    def serve(server): ...

`TRAITS` is a literal, so that it can be read without importing the file; `Traits` names its keys. `serve` is handed a
`Server`, accepts connections from `server.listener`, drives one `server.new_session()` for each, and returns when told
to stop. What it owes each connection, checked by `muxbench check` and the conformance tests:

* **Partial reads and writes.** `receive` is handed bytes as they arrive; what it returns is sent whole and in order,
  however many writes that takes.
* **Backpressure.** While bytes wait to be sent to a peer, no more is read from it, so memory stays bounded.
* **Half-close.** When the peer has finished sending, `eof` is called once, what it returns and what is still owed is
  sent, and the connection is closed once the session's `wake_at` is None.
* **Reset.** A connection that breaks is forgotten; the others never notice.
* **Time.** After each `receive`, `wake` and `eof` the session's `wake_at` is read; `wake` is called at that time or
  soon after. To call it early is harmless.
* **Notification**, owed by backends that declare `"notify": True`, which alone carry sessions that send unasked:
  `session.opened(notify)` is called once, before anything else, and `session.closed()` once, after everything else.
  Soon after `notify()` was called, `wake` is, but not while the peer has to read first (see backpressure): what it has
  in store for one that does not read, a session can bound and a backend cannot. `notify` is called from within another
  session's method, so in a thread that the backend drives it from; it neither waits for anybody nor raises, and does
  nothing once the connection is closed. No two methods of a session run at the same time. The `wake_at` of a session
  that notifies is always None.
* **A session that raises** ends its own connection only; `report_session_failure` writes why to standard error.
* **Out of descriptors** (EMFILE, ENFILE, ENOBUFS, ENOMEM from accept): neither dying nor spinning. Established
  connections are served on, and accepting resumes when there are descriptors again.
* **Stop.** When stop is requested `serve` returns within a second, whatever its connections do.

Every backend reads with `server.read_size`, usually `READ_SIZE`, so that none does less work than another; where a
framework chooses its own buffers, that is part of what is measured. TCP_NODELAY is set on the listener by the harness
and inherited by accepted sockets (Linux), so no backend sets it.
"""

import dataclasses
import errno
import functools
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from scenarios.session import PeerError, Session

READ_SIZE = 64 * 1024
"""Bytes asked for by one read, unless option `read_size` says otherwise."""

BACKLOG = 4096
"""Connections that may wait to be accepted (listen(2)), unless option `backlog` says otherwise."""

ACCEPT_PAUSE_S = 0.1
"""How long a backend that is out of descriptors leaves its listener alone, in seconds."""

OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of accept(2) that say: not now, but perhaps later."""

Option = int | float | str
"""Value of a backend's own setting."""

TRANSPORTS = ("tcp", "unix")
"""What a listener may be: TCP, or Unix stream sockets (unix(7)). TLS is the sessions' own matter, over TCP."""

FAMILIES = ("blocking", "readiness", "completion", "framework", "external")


class BackendError(Exception):
    """A backend that cannot be used as asked, with the reason in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Traits:
    """What is known of a backend without running it.

    Attributes:
        name: What people call it.
        family: One of `FAMILIES`.
        summary: One line for people.
        requires: Modules it imports that may be missing; the first one's distribution gives its version.
        platforms: Values of `sys.platform` it runs on; empty means all.
        max_descriptors: Highest descriptor number it can watch plus one (FD_SETSIZE of select), or None.
        max_connections: Connections it can serve at once, or None.
        faults: Checks of the contract (see `muxbench check`) that it is known to fail, each with the reason.
        transports: Those of `TRANSPORTS` that it serves when its listener is of that kind.
        notify: Whether it carries sessions that send unasked: see notification above.
        options: Settings by name, with their usual values: numbers or texts. Those of the backend's own, "read_size"
            among them if it reads with `server.read_size`; and "backlog", which all have whose listener is handed to
            them.
    """

    name: str
    family: str
    summary: str
    requires: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    max_descriptors: int | None = None
    max_connections: int | None = None
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    transports: tuple[str, ...] = TRANSPORTS
    notify: bool = False
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "Traits":
        """Return the traits that this dictionary describes.

        Raises:
            BackendError: A key is missing, unknown or of the wrong type.
        """
        if not isinstance(raw, Mapping):
            raise BackendError(f"TRAITS is {type(raw).__name__}, must be a dictionary")
        known = [field.name for field in dataclasses.fields(cls)]
        for key in raw:
            if key not in known:
                raise BackendError(f"TRAITS has the unknown key {key!r}; known are {', '.join(known)}")
        for key in ("name", "family", "summary"):
            if not isinstance(raw.get(key), str) or not raw[key]:
                raise BackendError(f"TRAITS[{key!r}] must be a text")
        if raw["family"] not in FAMILIES:
            raise BackendError(f"TRAITS['family'] is {raw['family']!r}, must be one of {', '.join(FAMILIES)}")
        values = dict(raw)
        for key in ("requires", "platforms"):
            items = values.setdefault(key, ())
            if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
                raise BackendError(f"TRAITS[{key!r}] must be a list of texts")
            values[key] = tuple(items)
        for key in ("max_descriptors", "max_connections"):
            limit = values.get(key)
            if limit is not None and (not isinstance(limit, int) or limit < 1):
                raise BackendError(f"TRAITS[{key!r}] must be a positive whole number")
        transports = values["transports"] = tuple(values.get("transports", TRANSPORTS))
        if not transports or not set(transports) <= set(TRANSPORTS):
            raise BackendError(f"TRAITS['transports'] must be some of {', '.join(TRANSPORTS)}")
        if not isinstance(values.get("notify", False), bool):
            raise BackendError("TRAITS['notify'] must be True or False")
        faults = values.get("faults", {})
        if not isinstance(faults, dict) or not all(isinstance(text, str) for text in (*faults, *faults.values())):
            raise BackendError("TRAITS['faults'] must be a dictionary of checks and reasons")
        options = values.get("options", {})
        if not isinstance(options, dict) or not all(
            isinstance(name, str) and type(value) in {int, float, str} for name, value in options.items()
        ):
            raise BackendError("TRAITS['options'] must be a dictionary of names and numbers or texts")
        values["options"] = dict(options) if raw["family"] == "external" else {**options, "backlog": BACKLOG}
        return cls(**values)


class Server:
    """What `serve` is handed.

    Attributes:
        listener: A bound, listening, non-blocking socket. The backend neither closes nor rebinds it.
        new_session: Makes the session of a new connection.
        stop_fd: A descriptor that becomes readable (end of file) when the backend must stop. For event loops.
        options: Settings by name: those of its TRAITS and the backlog, or what was asked for in their place.
    """

    def __init__(
        self,
        listener: socket.socket,
        new_session: Callable[[], Session],
        stop_fd: int,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.listener = listener
        self.new_session = new_session
        self.stop_fd = stop_fd
        self.options: Mapping[str, Any] = options or {}
        self._stopped: threading.Event | None = None

    @property
    def read_size(self) -> int:
        """Bytes to ask for by one read."""
        return int(self.options.get("read_size", READ_SIZE))

    @property
    def stopped(self) -> threading.Event:
        """An event that is set when the backend must stop. For threads; the first use starts the one that waits."""
        if self._stopped is None:
            event = self._stopped = threading.Event()

            def watch() -> None:
                wait_readable(self.stop_fd)
                event.set()

            threading.Thread(target=watch, name="stop-watch", daemon=True).start()
        return self._stopped


def wait_readable(fd: int) -> None:
    """Wait until a descriptor is readable or at its end, consuming nothing."""
    import select

    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.poll()
    else:
        select.select([fd], [], [])


def is_readable(fd: int) -> bool:
    """Return whether a descriptor is readable or at its end."""
    import select

    return bool(select.select([fd], [], [], 0)[0])


def report_session_failure() -> None:
    """Write the traceback of the exception that a session just raised to standard error.

    A `PeerError` is no bug, and peers that send garbage must not fill the log: one line, once for each reason.
    """
    fault = sys.exc_info()[1]
    if isinstance(fault, PeerError):
        _report_peer(str(fault))
    else:
        traceback.print_exc()


@functools.lru_cache
def _report_peer(reason: str) -> None:
    print(f"connections are ended because of their peers: {reason}", file=sys.stderr)

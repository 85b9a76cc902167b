"""What the portable engine works on: a load as plain objects, its limits, and the kinds of failure."""

import errno
import ipaddress
import selectors
import socket
import ssl
from array import array
from collections import deque

from harness.loadgen.framing import Head
from harness.loadgen.portable.counting import new_counts
from harness.loadgen.spec import UNIX, LoadSpec, sequence_offset
from scenarios.session import Message

RECEIVE_BYTES = 256 * 1024
SEND_BYTES = 64 * 1024
START_BATCH = 64
SPIN_NS = 1_100_000
"""The loop sleeps until this long before a request is due: selectors wait in whole milliseconds, rounded up."""

SLICES = 10
SHOWN = 16
SOURCES = 64
SLOW_BUFFER = 4096
NEVER = 2**63 - 1

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
OPENING, WINDOW, GRACE = "opening", "window", "grace"

KINDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.ETIMEDOUT: "timed out",
    errno.EMFILE: "no descriptors",
    errno.ENFILE: "no descriptors",
    errno.EADDRNOTAVAIL: "no ports",
    errno.EAGAIN: "no ports",
}


class Template:
    """Copies of one message in a row, to be stamped with sequence numbers right before use.

    Args:
        message: The message.
        copies: How many of it.
    """

    __slots__ = ("at", "data", "end", "message", "size", "view")

    def __init__(self, message: Message, copies: int) -> None:
        self.data = bytearray(message.data * copies)
        self.view = memoryview(self.data)
        self.size = len(message.data)
        self.at = message.sequence_at
        self.end = self.at + message.sequence_width
        self.message = message


class Connection:
    """One connection and where it stands.

    Args:
        index: Its place among the connections of the load.
        offset: Sequence number of its first request.
        slow: Whether it is a slow reader.
    """

    __slots__ = (
        "answered", "connecting", "finishing", "head", "index", "interest", "last", "listed", "offset", "owed",
        "queued", "reading", "reply_bytes", "sent", "sent_bytes", "since", "slow", "socket", "stamps", "verifying",
    )  # fmt: skip

    def __init__(self, index: int, offset: int, slow: bool) -> None:
        self.index = index
        self.slow = slow
        self.head = Head()
        self.offset = offset
        self.queued = self.sent = self.answered = 0
        self.sent_bytes = self.reply_bytes = 0
        self.stamps: deque[int] = deque()  # when each unanswered request was sent, or due
        self.socket: socket.socket | None = None
        self.interest = 0  # what the selector watches
        self.reading = READ  # or 0 while a slow reader pauses
        self.last = NEVER  # requests after which it is replaced, counted like `queued`
        self.owed = 0  # closed loop: requests that it has to send as soon as it can
        self.since = 0  # when it began to connect
        self.connecting = self.finishing = self.verifying = self.listed = False


class Publication:
    """With fan-out: a request that is on its way to all others.

    Args:
        missing: How many of them have not had it.
    """

    __slots__ = ("lost", "missing")

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self.lost = False  # one of them never will: it has failed


class Load:
    """A load, its connections, and the counters of its trial.

    Args:
        spec: The load.

    Raises:
        ValueError: `host` is no IP address.
    """

    __slots__ = (
        "active", "address", "asking", "batch", "begun", "busy", "changing", "churn", "connection_times", "connections",
        "control", "cpu", "depth", "due", "dues", "end", "errors", "failed", "family", "fan_out", "fault", "first_slow",
        "give_up", "half_close", "host", "http", "in_flight", "inbox", "inbox_view", "known_head", "late", "latency",
        "leaving", "loopback", "next_due", "noticed", "now", "open_active", "open_loop", "opened", "outstanding",
        "paced", "pauses", "phase", "publications", "replied", "reply", "request", "ring", "selector", "sent",
        "sleepers", "slice_length", "slices", "slip", "slow_bytes", "slow_pause", "slow_replied", "source", "spun",
        "start", "stopped", "taken", "think", "tls", "waiting",
    )  # fmt: skip

    def __init__(self, spec: LoadSpec) -> None:
        self.family, self.address, self.loopback = address_of(spec)
        self.host = spec.host
        self.tls: ssl.SSLContext | None = None  # None: connections are plain
        self.source = 0  # which of the source addresses is in use
        self.active = spec.connections
        self.fan_out = spec.fan_out
        self.asking = 1 if spec.fan_out else spec.connections  # how many of the active ones send requests
        self.publications: deque[Publication] = deque()  # with fan-out: the publisher's unanswered requests
        self.leaving: socket.socket | None = None  # the former publisher, whose connection the server has yet to close
        self.first_slow = spec.connections + spec.idle_connections  # slow readers come last
        self.connections = [
            Connection(index, sequence_offset(spec.first_connection + index), index >= self.first_slow)
            for index in range(self.first_slow + spec.slow_connections)
        ]
        self.slow_bytes, self.slow_pause = spec.slow_reading() if spec.slow_connections else (0, 0)
        self.open_active = 0
        self.changing = 0  # connections that are connecting or finishing
        self.churn = spec.requests_per_connection  # requests after which a connection is replaced; 0: never
        self.half_close = spec.half_close
        self.depth = spec.pipeline_depth
        self.batch = max(1, min(self.depth, SEND_BYTES // len(spec.request.data)))  # requests in the send buffer
        self.request = Template(spec.request, self.batch)
        self.reply = Template(spec.reply, 1)
        self.http = spec.reply.framing == "http"
        self.known_head = b""
        self.inbox = bytearray(RECEIVE_BYTES)
        self.inbox_view = memoryview(self.inbox)
        self.open_loop = spec.arrivals.open_loop
        self.busy = spec.busy_wait
        self.think = round(spec.think_time_s * 1e9)
        self.paced = self.open_loop or self.think > 0  # something is due by the clock
        self.selector = selectors.DefaultSelector()
        self.control: socket.socket | None = None
        self.phase = OPENING
        self.now = 0
        self.outstanding = 0
        self.restart()

    def restart(self) -> None:
        """Set the counters of a trial to nothing."""
        self.errors: dict[str, int] = {}
        self.fault = ""
        self.due = self.sent = self.replied = self.failed = self.in_flight = self.waiting = self.late = 0
        self.opened = self.slow_replied = 0
        self.latency = new_counts()
        self.slip = new_counts()
        self.connection_times = new_counts()
        self.slices = [0] * SLICES
        self.slice_length = 1
        self.cpu = 0.0
        self.spun = 0
        self.stopped = False
        self.start = self.end = self.give_up = 0
        self.next_due = NEVER
        # Open loop: dues[:taken] were sent, dues[taken:noticed] wait for a connection, the rest is not due yet.
        self.dues: array[int] = array("q")
        self.noticed = self.taken = 0
        self.ring: deque[Connection] = deque()  # free connections, the longest free first
        # Who may send again, and which slow reader may read again, when: in order, because all pause equally long.
        self.pauses: deque[tuple[int, Connection]] = deque()
        self.sleepers: deque[tuple[int, Connection]] = deque()
        self.begun = 0  # closed loop: connections that have sent their first requests


def address_of(spec: LoadSpec) -> tuple[int, str | tuple[str, int], bool]:
    """Return the family of sockets, what connect takes, and whether further source addresses can be had.

    Raises:
        ValueError: `host` is no IP address.
    """
    if spec.host.startswith(UNIX):
        path = spec.host.removeprefix(UNIX)
        return socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path, False
    address = ipaddress.ip_address(spec.host)
    if address.version == 4:
        return socket.AF_INET, (spec.host, spec.port), address.is_loopback
    return socket.AF_INET6, (spec.host, spec.port), False

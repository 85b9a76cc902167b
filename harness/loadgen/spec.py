"""What a generator is asked (`LoadSpec`) and what it answers (`TrialResult`): plain data that crosses a pipe as JSON.

Both engines take the one and return the other; nothing here measures. Times are CLOCK_MONOTONIC, sizes are bytes.
"""

import base64
import dataclasses
from dataclasses import dataclass, field
from typing import Any

from scenarios.session import Message

PROCESSES = ("closed", "constant", "poisson", "bursts")
"""How requests arrive: after the reply before (closed loop), or at times of their own (open loop)."""

MAX_RATE_RPS = 1e6
"""Highest rate that can be asked for: far beyond what one generator reaches, and its schedule still fits in memory."""


UNIX = "unix:"
"""What the host of a Unix socket begins with; its path follows, or @ and a name in Linux's abstract namespace."""

LONGEST_UNIX_PATH = 107
"""Bytes of a Unix socket's path (sun_path without its final zero, unix(7))."""

SLOW_PAUSE_S = 0.05
"""How long a slow reader reads nothing between two reads, in seconds, where its rate allows."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When requests are due.

    Attributes:
        process: One of `PROCESSES`. "bursts" is on and off: Poisson in the first `duty` of every period, then nothing.
        rate_rps: Requests per second on average; 0 in a closed loop.
        period_s: Length of one burst and the silence after it, in seconds; 0 unless the process is "bursts".
        duty: Share of the period in which requests arrive, above 0 to 1; 0 unless the process is "bursts".
        seed: The same seed gives the same due times; the n-th trial of a cell takes its n-th schedule.
    """

    process: str = "closed"
    rate_rps: float = 0.0
    period_s: float = 0.0
    duty: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.process not in PROCESSES:
            raise ValueError(f"arrivals {self.process!r} are unknown; there are {', '.join(PROCESSES)}")
        if self.process == "closed":
            if self.rate_rps:
                raise ValueError("a closed loop has no rate: leave rate_rps out, or choose constant, poisson or bursts")
        elif not 0 < self.rate_rps <= MAX_RATE_RPS:
            raise ValueError(f"rate_rps is {self.rate_rps:g}, must be above 0 and at most {MAX_RATE_RPS:g}")
        if self.process == "bursts":
            if not self.period_s > 0:
                raise ValueError(f"period_s is {self.period_s:g}, must be above 0")
            if not 0 < self.duty <= 1:
                raise ValueError(f"duty is {self.duty:g}, must be above 0 and at most 1")
        elif self.period_s or self.duty:
            raise ValueError(f"period_s and duty belong to bursts, not to {self.process}")

    @property
    def open_loop(self) -> bool:
        """Whether requests are due at times of their own."""
        return self.process != "closed"

    @property
    def peak_rps(self) -> float:
        """Requests per second while requests arrive at all."""
        return self.rate_rps / self.duty if self.process == "bursts" else self.rate_rps


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """The load of one cell.

    Attributes:
        host: Address of the server: an IP address, or "unix:" and the path of a Unix socket, or "unix:@" and its
            abstract name.
        port: Its TCP port; 0 for a Unix socket.
        authority: Certificate of the authority that the server's own must be from, as PEM text: connections are TLS
            1.3, and are established when the handshake is done. Empty: they are plain.
        request: What is sent. No two requests of a cell carry the same sequence: see `sequence_offset`.
        reply: What must come back, with the sequence of its request.
        connections: Active connections.
        idle_connections: Connections that are opened, verified once, and then left silent.
        pipeline_depth: Requests in flight on each connection: exactly (closed loop) or at most (open loop).
        grace_s: How long replies are waited for after the end of a trial, and connections at the start of a cell.
        arrivals: When requests are due.
        think_time_s: Time between a reply and the next request in its place (closed loop), in seconds.
        requests_per_connection: Requests after whose replies an active connection is closed and replaced (churn); 0:
            never. The one that verifies a connection before the first trial does not count.
        half_close: Whether such a connection is half-closed first, and closed when the server has closed its end too.
        connections_per_s: Rate at which the connections of a cell are opened (ramp), whether those before are
            established or not; 0: some at a time, as fast as the server accepts.
        slow_connections: Further connections that read slowly, whatever the arrivals: each keeps `pipeline_depth`
            requests in flight, and they count nowhere but in the errors and in `slow_replied`.
        slow_bytes_per_s: What each of these reads at most, in bytes per second.
        busy_wait: Whether the generator never sleeps in a trial but watches for replies: a CPU that sleeps takes some
            time to wake (50 us on virtual machines), which would be added to latencies, is slow at first, and costs
            the server time to wake it. For a generator with a CPU of its own; what it costs is in `spun_s`.
        first_connection: Number of the first connection, where several generators share a load: see
            `sequence_offset`.
        part: Which generator of those this is, from 0; it follows every `parts`-th request of the schedule.
        parts: How many there are.
        fan_out: Whether the first connection alone sends requests, each of which is answered once all others have
            received the reply. Every connection is still verified by a request and a reply of its own. If one breaks,
            what has not reached it has failed; a trial ends when nobody is left to send or to receive.
    """

    host: str
    port: int
    request: Message
    reply: Message
    connections: int
    idle_connections: int = 0
    pipeline_depth: int = 1
    grace_s: float = 5.0
    arrivals: Arrivals = Arrivals()
    think_time_s: float = 0.0
    requests_per_connection: int = 0
    half_close: bool = False
    connections_per_s: float = 0.0
    slow_connections: int = 0
    slow_bytes_per_s: int = 0
    busy_wait: bool = False
    first_connection: int = 0
    part: int = 0
    parts: int = 1
    fan_out: bool = False
    authority: str = ""

    def __post_init__(self) -> None:
        if self.request.framing != "size":
            raise ValueError(f"the framing of a request is {self.request.framing!r}, must be 'size'")
        if self.connections < 1:
            raise ValueError(f"connections is {self.connections}, must be at least 1")
        if self.idle_connections < 0:
            raise ValueError(f"idle_connections is {self.idle_connections}, must be at least 0")
        if self.pipeline_depth < 1:
            raise ValueError(f"pipeline_depth is {self.pipeline_depth}, must be at least 1")
        if not self.grace_s >= 0:
            raise ValueError(f"grace_s is {self.grace_s:g}, must be at least 0")
        if not self.think_time_s >= 0:
            raise ValueError(f"think_time_s is {self.think_time_s:g}, must be at least 0")
        if self.think_time_s and self.arrivals.open_loop:
            raise ValueError("think_time_s belongs to a closed loop: leave it out, or leave the rate out")
        self._check_connections()
        if self.fan_out:
            self._check_fan_out()

    def _check_connections(self) -> None:
        if self.host.startswith(UNIX):
            path = self.host.removeprefix(UNIX).encode()
            if not 0 < len(path) <= LONGEST_UNIX_PATH:
                raise ValueError(f"host {self.host!r}: the path must have 1 to {LONGEST_UNIX_PATH} bytes")
            if self.port:
                raise ValueError(f"port is {self.port}: a Unix socket has none, so it must be 0")
            if self.authority:
                raise ValueError("TLS is measured over TCP: leave the authority out, or name an IP address")
        if self.first_connection < 0 or not 0 <= self.part < self.parts:
            raise ValueError(f"part {self.part} of {self.parts} from connection {self.first_connection} on is none")
        if self.requests_per_connection < 0:
            raise ValueError(f"requests_per_connection is {self.requests_per_connection}, must be at least 0")
        if self.half_close and not self.requests_per_connection:
            raise ValueError("half_close ends connections that are replaced: it needs requests_per_connection")
        if not 0 <= self.connections_per_s <= MAX_RATE_RPS:
            raise ValueError(f"connections_per_s is {self.connections_per_s:g}, must be 0 to {MAX_RATE_RPS:g}")
        if self.slow_connections < 0:
            raise ValueError(f"slow_connections is {self.slow_connections}, must be at least 0")
        if (self.slow_connections > 0) != (self.slow_bytes_per_s > 0):
            raise ValueError("slow_connections and slow_bytes_per_s belong together: both above 0, or neither")

    def _check_fan_out(self) -> None:
        reason = fan_out_refusal(
            self.connections,
            idle_connections=self.idle_connections,
            slow_connections=self.slow_connections,
            requests_per_connection=self.requests_per_connection,
        )
        if reason:
            raise ValueError(f"fan_out: {reason}")
        if self.authority:
            raise ValueError("fan_out goes over plain connections only: leave authority out")
        if self.parts > 1:
            raise ValueError("fan_out needs one generator: each sees its own connections only")

    def slow_reading(self) -> tuple[int, int]:
        """Return how many bytes a slow reader reads at most at once, and how many nanoseconds it then reads nothing."""
        size = max(1, int(self.slow_bytes_per_s * SLOW_PAUSE_S))
        return size, round(size / self.slow_bytes_per_s * 1e9)

    def to_json(self) -> dict[str, Any]:
        """Return the specification as JSON data."""
        raw = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        raw["arrivals"] = dataclasses.asdict(self.arrivals)
        for key in ("request", "reply"):
            message: Message = raw[key]
            raw[key] = {**dataclasses.asdict(message), "data": base64.b64encode(message.data).decode()}
        return raw

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "LoadSpec":
        """Return the specification that `to_json` described."""
        values = dict(raw)
        for key in ("request", "reply"):
            message = dict(values[key])
            message["data"] = base64.b64decode(message["data"])
            values[key] = Message(**message)
        if "arrivals" in values:
            values["arrivals"] = Arrivals(**values["arrivals"])
        return cls(**values)


def left_without(load: LoadSpec) -> str:
    """Return what ends a trial before its time, in words."""
    return "nobody was left to send or to receive" if load.fan_out else "no connection was left"


def fan_out_refusal(connections: int, **others: int) -> str:
    """Return why one connection cannot send to all others, in words, or an empty text.

    Args:
        connections: Active connections.
        others: What goes with requests that are answered on their own connection only, by name; 0 where it is not used.
    """
    if connections < 2:
        return f"one connection sends and the others receive, so connections must be at least 2 (it is {connections})"
    return next(
        (f"{name} is {value:,}, must be 0: the others only receive" for name, value in others.items() if value), ""
    )


def sequence_offset(connection: int) -> int:
    """Return the sequence number of the first request of the connection with this index.

    Multiples of 2**64 over the golden ratio lie far apart (for 65,536 connections at least 2**46), so connections never
    share a sequence number; the factor is odd, so they start differently even where a message is too short to carry
    all eight bytes. (Knuth, The Art of Computer Programming, volume 3, section 6.4.)
    """
    return connection * 0x9E3779B97F4A7C15 % 2**64


@dataclass(frozen=True, slots=True)
class ConnectResult:
    """What came of opening the connections of a cell.

    Attributes:
        connected: Active connections that are open and have had one verified reply.
        idle: Idle connections likewise.
        errors: Failures by kind, as in `TrialResult`.
        fault: Words on the first wrong reply, or empty.
        slow: Slow readers likewise.
        connection_time: Histogram of the time from connect(2) to the established connection in nanoseconds, as text
            like the histograms of `TrialResult`; over TLS it is established when the handshake is done.
    """

    connected: int
    idle: int
    errors: dict[str, int]
    fault: str = ""
    slow: int = 0
    connection_time: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What one trial saw. `sent == replied + failed + in_flight` and `due == sent + waiting` hold exactly.

    Attributes:
        engine: "native" or "portable".
        loop: "closed" or "open": what the latencies count from (the send, or the time the request was due).
        duration_s: Length of the measured window.
        sent: Requests sent in the window.
        replied: Verified replies that arrived in the window.
        failed: Requests that failed in the window, whatever the kind.
        in_flight: Requests still unanswered when the window ended.
        late: How many of those that were in flight or waiting when the window ended were answered within the grace
            after it; their latencies are in the histogram.
        errors: Failures by kind, window and grace together: refused, reset, closed, timed out, wrong; unreachable, and
            "no descriptors" or "no ports" where this machine ran short; "TLS" and why, where TLS failed. A connection
            that breaks counts each of its unanswered requests, or one if there was none.
        latency: HdrHistogram of the latencies in nanoseconds, as its own V2 compressed base64 text.
        slices: Replies in each tenth of the window, in order: what steadiness is judged by.
        cpu_s: CPU time the generator used in the window, in seconds.
        fault: Words on the first wrong reply (what was expected, what came, where), or empty.
        due: Requests that were due in the window; in a closed loop those sent.
        waiting: Requests that were due and still waited for a free connection when the window ended (open loop).
        slip: Histogram like `latency`: how late the generator itself was to act on a due request, whether it could
            be sent then or had to wait for a connection. Empty text in a closed loop without think time.
        spun_s: Part of `cpu_s` that went into watching for the next due request, or for replies (`busy_wait`), with
            nothing else to do.
        stopped: Why the trial ended before its time, or empty.
        opened: Connections that were established in place of ones that had had their requests (churn).
        connection_time: Histogram like `latency`: time from connect(2) to the established connection. Empty text
            without churn.
        slow_replied: Verified replies to slow readers in the window.
        processes: How many generators saw this together; `cpu_s` and `spun_s` are sums over them.
        tls: Version and cipher of the connections, and the generator's OpenSSL, such as "TLSv1.3
            TLS_AES_256_GCM_SHA384, OpenSSL 3.0.19". Empty text without TLS.
    """

    engine: str
    loop: str
    duration_s: float
    sent: int
    replied: int
    failed: int
    in_flight: int
    late: int
    errors: dict[str, int]
    latency: str
    slices: list[int] = field(default_factory=list)
    cpu_s: float = 0.0
    fault: str = ""
    due: int = 0
    waiting: int = 0
    slip: str = ""
    spun_s: float = 0.0
    stopped: str = ""
    opened: int = 0
    connection_time: str = ""
    slow_replied: int = 0
    processes: int = 1
    tls: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "TrialResult":
        """Return the result that `to_json` described."""
        return cls(**raw)

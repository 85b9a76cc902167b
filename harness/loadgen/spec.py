"""What a generator is asked (`LoadSpec`) and what it answers (`TrialResult`): plain data that crosses a pipe as JSON.

Both engines take the one and return the other; nothing here measures. Times are CLOCK_MONOTONIC, sizes are bytes.
"""

import base64
import dataclasses
from dataclasses import dataclass, field
from typing import Any

from scenarios.session import Message


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """The load of one cell.

    Attributes:
        host: Address of the server.
        port: Its TCP port.
        request: What is sent, n-th request with sequence n of its connection.
        reply: What must come back.
        connections: Active connections.
        idle_connections: Connections that are opened, verified once, and then left silent.
        pipeline_depth: Requests in flight on each connection (closed loop).
        grace_s: How long replies are waited for after the end of a trial, and connections at the start of a cell.
    """

    host: str
    port: int
    request: Message
    reply: Message
    connections: int
    idle_connections: int = 0
    pipeline_depth: int = 1
    grace_s: float = 5.0

    def to_json(self) -> dict[str, Any]:
        """Return the specification as JSON data."""
        raw = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        for key in ("request", "reply"):
            message: Message = raw[key]
            raw[key] = {
                "data": base64.b64encode(message.data).decode(),
                "sequence_at": message.sequence_at,
                "sequence_width": message.sequence_width,
            }
        return raw

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "LoadSpec":
        """Return the specification that `to_json` described."""
        values = dict(raw)
        for key in ("request", "reply"):
            message = dict(values[key])
            message["data"] = base64.b64decode(message["data"])
            values[key] = Message(**message)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What one trial saw. `sent == replied + failed + in_flight` holds exactly.

    Attributes:
        engine: "native" or "portable".
        loop: "closed" or "open": what the latencies count from (the send, or the time the request was due).
        duration_s: Length of the measured window.
        sent: Requests sent in the window.
        replied: Verified replies that arrived in the window.
        failed: Requests that failed in the window, whatever the kind.
        in_flight: Requests still unanswered when the window ended.
        late: How many of those were answered within the grace after it; their latencies are in the histogram.
        errors: Failures by kind (refused, reset, closed, timed out, wrong), window and grace together.
        latency: HdrHistogram of the latencies in nanoseconds, as its own V2 compressed base64 text.
        slices: Replies in each tenth of the window, in order: what steadiness is judged by.
        cpu_s: CPU time the generator used in the window, in seconds.
        fault: Words on the first wrong reply (what was expected, what came, where), or empty.
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

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "TrialResult":
        """Return the result that `to_json` described."""
        return cls(**raw)

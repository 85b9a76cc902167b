"""What is measured: scenario files in, points out, or a refusal that names the file, the key and the way out.

A scenario is one TOML file. Values under [load] may be lists: each is an axis, and the points are all combinations.
"""

import contextlib
import difflib
import importlib.metadata
import itertools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError, model_validator

from backends.contract import BackendError
from backends.plugins import module_file
from harness.loadgen.spec import MAX_RATE_RPS
from harness.record import TCP

PLUGINS = "muxbench.scenarios"
CATALOGUE = Path(__file__).resolve().parent.parent / "scenarios" / "catalogue"

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}

T = TypeVar("T")


class ScenarioError(Exception):
    """A scenario that cannot be used, in one line with the way out."""


def parse_duration(value: object) -> float:
    """Return a duration such as "400 ms" in seconds.

    Raises:
        ValueError: It has no number or no known unit.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", value) if isinstance(value, str) else None
    if match is None or match[2] not in SECONDS:
        raise ValueError(
            f'a duration is a number and a unit ({", ".join(SECONDS)}), such as "400 ms"; this is {value!r}'
        )
    return float(match[1]) * SECONDS[match[2]]


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def parse_share(value: object) -> float:
    """Return a share such as "2%" as a fraction.

    Raises:
        ValueError: It is no percentage.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'a share is a number and a percent sign, such as "2%"; this is {value!r}')
    return float(match[1]) / 100


Duration = Annotated[float, BeforeValidator(parse_duration)]
Share = Annotated[float, BeforeValidator(parse_share)]
Axis = Annotated[tuple[T, ...], BeforeValidator(_as_list), Field(min_length=1)]
Connections = Annotated[int, Field(ge=1, le=1_000_000)]
IdleConnections = Annotated[int, Field(ge=0, le=1_000_000)]
MessageSize = Annotated[ByteSize, Field(ge=1, le=64 * 1024 * 1024)]
PipelineDepth = Annotated[int, Field(ge=1, le=1024)]


Rate = Annotated[int, Field(ge=0, le=MAX_RATE_RPS)]
Requests = Annotated[int, Field(ge=0, le=1_000_000_000)]
RatePercent = Annotated[int, Field(ge=0, le=1000)]
Transport = Literal["tcp", "tls", "unix"]
ServiceTime = Annotated[Duration, Field(ge=0, le=10)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Load(_Table):
    """How requests arrive, and over what. The first nine fields are axes.

    Attributes:
        connections: Active connections.
        idle_connections: Connections that are open and silent.
        message_size: Size of a request in bytes.
        pipeline_depth: Requests in flight on each connection: exactly (closed loop) or at most (open loop).
        rate: Requests due per second, on average; only in an open loop.
        rate_percent: The same, as a share of what each backend answers in a closed loop over the same connections.
        requests_per_connection: Requests after which a connection is closed and replaced (churn); 0: it stays.
        slow_connections: Further connections that ask without pause and read slowly.
        transport: What the connections are: "tcp", "tls" for TLS 1.3 over TCP, or "unix" for Unix stream sockets.
        arrivals: "closed" sends a request when another is answered; "constant", "poisson" and "bursts" are open loops.
        burst_period: Length of a burst and the silence after it, in seconds.
        burst_duty: Share of the period in which requests arrive.
        think_time: Time between a reply and the next request of a closed loop, in seconds.
        half_close: Whether churn half-closes a connection and waits for the server to close its end.
        slow_rate: What each slow connection reads at most, in bytes per second.
        connections_per_second: Rate at which connections are opened before measuring (ramp); 0: at once.
    """

    connections: Axis[Connections] = (1,)
    idle_connections: Axis[IdleConnections] = (0,)
    message_size: Axis[MessageSize] = (ByteSize(64),)
    pipeline_depth: Axis[PipelineDepth] = (1,)
    rate: Axis[Rate] = (0,)
    rate_percent: Axis[RatePercent] = (0,)
    requests_per_connection: Axis[Requests] = (0,)
    slow_connections: Axis[IdleConnections] = (0,)
    transport: Axis[Transport] = ("tcp",)
    arrivals: Literal["closed", "constant", "poisson", "bursts"] = "closed"
    burst_period: Duration = 0.0
    burst_duty: Annotated[float, Field(ge=0, le=1)] = 0.0
    think_time: Duration = 0.0
    half_close: bool = False
    slow_rate: ByteSize = ByteSize(0)
    connections_per_second: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        closed = self.arrivals == "closed"
        if closed and any(self.rate + self.rate_percent):
            raise ValueError('a closed loop has no rate: leave it out, or say arrivals = "poisson"')
        if not closed and all(self.rate) == all(self.rate_percent):
            raise ValueError(f"{self.arrivals} arrivals need either a rate in requests per second or a rate_percent")
        if not closed and self.think_time:
            raise ValueError("think_time belongs to a closed loop: leave it out, or leave arrivals out")
        if (self.arrivals == "bursts") != (self.burst_period > 0 and self.burst_duty > 0):
            raise ValueError('arrivals = "bursts", burst_period and burst_duty go together')
        if any(self.slow_connections) != bool(self.slow_rate):
            raise ValueError("slow_connections and slow_rate (bytes per second) go together")
        if self.half_close and not all(self.requests_per_connection):
            raise ValueError("half_close belongs to churn: say after how many requests, with requests_per_connection")
        return self


class ServiceConditions(_Table):
    """What the server's sessions have to put up with; each field is an axis.

    Attributes:
        reply_delay: Time between a request and its reply, in seconds; the server waits.
        cpu_work: CPU work for each reply, in seconds; the server works.
    """

    reply_delay: Axis[ServiceTime] = (0.0,)
    cpu_work: Axis[ServiceTime] = (0.0,)


class Measure(_Table):
    """How long and how often to measure.

    Attributes:
        duration: Length of one trial, in seconds.
        rounds: Trials of each cell.
        warm_up: Longest time a cell is warmed up for, in seconds.
        rounds_per_start: Rounds of a point after which its servers and generators end and the next point has its turn,
            until all have had their rounds; 0: a point has all its rounds at once.
        precision: Rounds go on, beyond their number if need be, until the interval of every throughput's ratio to the
            baseline's is at most this far from its median; None: only their number counts. It needs a budget.
        budget: Time for the whole scenario in seconds, or None: when it is used up, no further round begins, but every
            point gets one.
    """

    duration: Annotated[Duration, Field(ge=0.01, le=3600)] = 1.0
    rounds: Annotated[int, Field(ge=1, le=10_000)] = 6
    warm_up: Annotated[Duration, Field(ge=0, le=600)] = 1.0
    budget: Annotated[Duration, Field(gt=0)] | None = None
    rounds_per_start: Annotated[int, Field(ge=0)] = 3
    precision: Annotated[Share, Field(gt=0, le=1)] | None = None


class Scenario(_Table):
    """A named question.

    Attributes:
        name: The file's name without its ending.
        summary: One sentence that says what it shows.
        exchange: Name of the conversation.
        backends: Names of those that are measured where nobody says which; empty means all.
        load: How requests arrive.
        conditions: What the server's sessions have to put up with.
        measure: How long and how often.
    """

    name: str
    summary: str
    exchange: str
    backends: tuple[str, ...] = ()
    load: Load = Load()
    conditions: ServiceConditions = ServiceConditions()
    measure: Measure = Measure()


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One combination of a scenario's axes.

    Attributes:
        connections: Active connections.
        idle_connections: Silent ones beside them.
        message_size: Size of a request in bytes.
        pipeline_depth: Requests in flight on each connection.
        rate: Requests due per second; 0 in a closed loop.
        rate_percent: The same in percent of the backend's capacity in a closed loop; 0 where there is no such rate.
        requests_per_connection: Requests after which a connection is replaced; 0: it stays.
        slow_connections: Further connections that read slowly.
        reply_delay_us: Delay of each reply in microseconds.
        cpu_work_us: CPU work for each reply in microseconds.
        transport: What the connections are, such as "unix".
    """

    connections: int
    idle_connections: int = 0
    message_size: int = 64
    pipeline_depth: int = 1
    rate: int = 0
    rate_percent: int = 0
    requests_per_connection: int = 0
    slow_connections: int = 0
    reply_delay_us: int = 0
    cpu_work_us: int = 0
    transport: str = TCP

    def to_json(self) -> dict[str, int | str]:
        """Return the axes as records have them: the rarer ones only where they are not 0 or "tcp"."""
        return {
            axis: value for axis, value in asdict(self).items() if axis in _COMMON_AXES or value not in _USUAL_VALUES
        }


_COMMON_AXES = ("connections", "idle_connections", "message_size", "pipeline_depth")
_USUAL_VALUES = (0, TCP)


def axes(scenario: Scenario) -> dict[str, list[Any]]:
    """Return the values of every axis, by the names that points have."""
    load = {
        axis: [value if isinstance(value, str) else int(value) for value in getattr(scenario.load, axis)]
        for axis in Point.__slots__
        if axis in Load.model_fields
    }
    waits = {"reply_delay_us": scenario.conditions.reply_delay, "cpu_work_us": scenario.conditions.cpu_work}
    return load | {axis: [round(value * 1e6) for value in values] for axis, values in waits.items()}


def points(scenario: Scenario) -> list[Point]:
    """Return every combination of the axes' values."""
    named = axes(scenario)
    return [Point(**dict(zip(named, values, strict=True))) for values in itertools.product(*named.values())]


def scenario_files() -> dict[str, Path]:
    """Return the files of the catalogue by scenario name, and those of plugins, whose names must be others.

    A plugin's entry point in the group `muxbench.scenarios` names a package whose folder holds TOML files.
    """
    found: dict[str, Path] = {}
    for entry in importlib.metadata.entry_points(group=PLUGINS):
        with contextlib.suppress(BackendError):  # a package that is gone brings nothing
            folder = module_file(entry.module).parent
            found |= {file.stem: file for file in sorted(folder.glob("*.toml"))}
    return found | {file.stem: file for file in sorted(CATALOGUE.glob("*.toml"))}


def load_scenario(name: str, changes: Mapping[str, Any] | None = None) -> Scenario:
    """Return the scenario of this name, or the one in the TOML file at this path.

    Args:
        name: The name or path.
        changes: Values in place of the file's, by key, as the file would give them: from the command line.

    Raises:
        ScenarioError: There is none, or it is not right.
    """
    files = scenario_files()
    if name.endswith(".toml"):
        file = Path(name)
    elif name in files:
        file = files[name]
    else:
        raise ScenarioError(f"no scenario is called {name!r}{nearest(name, files)}")
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as fault:
        raise ScenarioError(f"{file}: {fault.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ScenarioError(f"{file}: not TOML: {fault}") from None
    changes = changes or {}
    for name_of_table, table in _TABLES.items():
        given = {key: value for key, value in changes.items() if key in table.model_fields}
        if given and isinstance(raw.get(name_of_table, {}), dict):
            raw[name_of_table] = {**raw.get(name_of_table, {}), **given}
    if isinstance(raw.get("exchange"), str) and raw["exchange"].endswith(".py"):
        raw["exchange"] = str(file.resolve().parent / raw["exchange"])
    return _validated({"name": file.stem, **raw}, file, changes)


def _validated(raw: dict[str, Any], file: Path, changes: Mapping[str, Any]) -> Scenario:
    try:
        return Scenario(**raw)
    except ValidationError as faults:
        fault = faults.errors()[0]
        where = [str(part) for part in fault["loc"] if isinstance(part, str)]
        key = ".".join(where)
        source = "command line" if where[-1] in changes else str(file)
        if fault["type"] == "extra_forbidden":
            known = _TABLES.get(where[0] if len(where) > 1 else "", Scenario).model_fields
            raise ScenarioError(f"{source}: unknown key {key}{nearest(where[-1], known)}") from None
        if fault["type"] == "missing":
            raise ScenarioError(f"{source}: the key {key} is missing") from None
        reason = fault["msg"].removeprefix("Value error, ")
        shown = "" if fault["type"] == "value_error" else f" (it is {fault['input']!r})"
        raise ScenarioError(f"{source}: {key}: {reason}{shown}") from None


_TABLES: dict[str, type[BaseModel]] = {"load": Load, "conditions": ServiceConditions, "measure": Measure}


def nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Return words to append to "no such thing": the names most like it, or all there are."""
    close = difflib.get_close_matches(name, list(known), n=3)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(known)}"

"""One trial of one cell as it is kept: `Record`, its schema number, and one upgrade function a step. Pure."""

import dataclasses
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.loadgen.spec import TrialResult

TCP = "tcp"
"""The usual transport: what a point that names none has."""

TRANSPORT_WORDS = {TCP: "TCP", "tls": "TLS", "unix": "a Unix socket"}
"""Transport -> what it is called after "over"."""

TEXT_AXES = ("transport",)
"""Axes whose values are texts; those of all others are whole numbers."""

SCHEMA = 2
"""Number of the record format; every change of it comes with a function in `UPGRADES`."""


def value_text(value: int | str) -> str:
    """Write one value of an axis."""
    return value if isinstance(value, str) else f"{value:,}"


def _with_forms(raw: dict[str, Any]) -> dict[str, Any]:
    """Upgrade from schema 1, in which a backend had one form only."""
    return {**raw, "label": raw["backend"], "workers": 1, "options": {}}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_forms}
"""Schema number -> function that takes a record's JSON of that number and returns that of the next."""


class RecordError(Exception):
    """A line that is no record of this or an older schema, with the reason."""


@dataclass(frozen=True, slots=True)
class ServerUsage:
    """What the server's processes used in one trial.

    Attributes:
        cpu_s: CPU time, in seconds.
        user_s: Its share in user mode.
        system_s: Its share in the kernel.
        rss_bytes: Resident memory at the end of the trial; of several processes the sum of their proportional sets.
        rss_start_bytes: Resident memory before the first connection.
        threads: Threads at the end of the trial.
        voluntary_switches: Context switches because a thread waited.
        involuntary_switches: Context switches because a thread was preempted.
    """

    cpu_s: float
    user_s: float
    system_s: float
    rss_bytes: int
    rss_start_bytes: int
    threads: int
    voluntary_switches: int
    involuntary_switches: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the harness says about a trial's validity.

    Attributes:
        kind: ok, server-bound and steady are not verdicts but the absence of these: "generator-bound", "unsteady",
            "overloaded", "disturbed", "errors", "wrong replies", "crashed", "timed out", "refused", "few samples".
        reason: One sentence with the evidence and, where there is one, the remedy.
    """

    kind: str
    reason: str

    @property
    def void(self) -> bool:
        """Whether the trial's numbers must not be used."""
        return self.kind in {"wrong replies", "crashed", "timed out", "refused"}


@dataclass(frozen=True, slots=True)
class Record:
    """One trial of one cell.

    Attributes:
        run: Name of the run.
        scenario: Name of the scenario.
        exchange: Name of the exchange.
        backend: Name of the backend.
        label: What reports call it: its name, and its form if that is not the usual one, such as "epoll x2".
        family: Its family.
        packages: Versions of the packages it requires, by distribution name.
        interpreter: The server's interpreter, such as "CPython 3.11.7", or empty.
        workers: Server processes that shared the port.
        options: The backend's own settings.
        point: Value of every axis: connections, idle_connections, message_size (bytes), pipeline_depth, and others
            where they are not 0, or transport where it is not TCP.
        round: Number of the round, from 0; -1 where the cell was refused or failed before its first trial.
        started: Wall-clock time of the trial's start, ISO 8601 with offset.
        result: What the generator saw; None where there was no trial.
        server: What the server used; None likewise.
        verdicts: Everything that speaks against the numbers; empty means ok.
        load_average: The machine's load average over 1 minute at the end of the trial.
        steal_s: CPU time that the hypervisor took from the machine during the trial, all CPUs, in seconds.
        waited_s: Time in which the generator, or a server of one thread, was ready to run but something else had its
            CPU; the longer of the two, in seconds. 0 where they share a CPU by plan.
    """

    run: str
    scenario: str
    exchange: str
    backend: str
    label: str
    family: str
    packages: dict[str, str]
    interpreter: str
    workers: int
    options: dict[str, int | float | str]
    point: dict[str, int | str]
    round: int
    started: str
    result: TrialResult | None
    server: ServerUsage | None
    verdicts: tuple[Verdict, ...] = field(default=())
    load_average: float = 0.0
    steal_s: float = 0.0
    waited_s: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether the numbers of this trial count."""
        return self.result is not None and not any(verdict.void for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON data."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, raw: Any) -> "Record":  # noqa: ANN401 - whatever a line of a file held
        """Return the record that `to_json` described, upgraded if its schema is older.

        Raises:
            RecordError: It is no record, or one of a newer schema.
        """
        if not isinstance(raw, dict) or type(raw.get("schema")) is not int or raw["schema"] < 1:
            raise RecordError("not a record")
        if raw["schema"] > SCHEMA:
            raise RecordError(f"schema {raw['schema']} is newer than this muxbench reads ({SCHEMA}): upgrade it")
        values = dict(raw)
        try:
            for number in range(values.pop("schema"), SCHEMA):
                values = UPGRADES[number](values)
            values["result"] = None if values["result"] is None else _built(TrialResult, values["result"])
            values["server"] = None if values["server"] is None else _built(ServerUsage, values["server"])
            verdicts = values.get("verdicts", ())
            if not isinstance(verdicts, list | tuple):
                raise RecordError(f"damaged record: verdicts is {verdicts!r:.40}")
            values["verdicts"] = tuple(_built(Verdict, verdict) for verdict in verdicts)
        except KeyError as fault:
            raise RecordError(f"damaged record: it has no {fault}") from None
        except TypeError as fault:
            raise RecordError(f"damaged record: {fault}") from None
        record = _built(cls, values)
        if any(isinstance(value, str) != (axis in TEXT_AXES) for axis, value in record.point.items()):
            raise RecordError(f"damaged record: point is {record.point!r:.40}")
        return record


_Plain = TypeVar("_Plain", TrialResult, ServerUsage, Verdict, Record)

LARGEST = 2**63
"""Counts from here on fit neither the histograms nor the tables; no trial reaches them."""


def _built(kind: type[_Plain], values: Any) -> _Plain:  # noqa: ANN401 - whatever a line of a file held
    """Return the object of these values if each is what its field says: whoever reads a record may rely on that.

    Raises:
        RecordError: A field is missing, unknown or of the wrong type.
    """
    if not isinstance(values, dict):
        raise RecordError(f"damaged record: {values!r:.40} is no {kind.__name__}")
    checks = CHECKS[kind.__name__]
    for name, value in values.items():
        if name in checks and not checks[name](value):
            raise RecordError(f"damaged record: {name} is {value!r:.40}")
    try:
        return kind(**values)
    except TypeError as fault:
        raise RecordError(f"damaged record: {fault}") from None


def _check(kind: Any) -> Callable[[Any], bool]:  # noqa: ANN401 - any type that a field declares
    """Return what tells whether a value is of this type."""
    inner = [_check(one) for one in typing.get_args(kind) if one is not Ellipsis]
    origin = typing.get_origin(kind) or kind
    if origin is types.UnionType:
        return lambda value: any(check(value) for check in inner)
    if origin is int:
        return lambda value: type(value) is int and abs(value) < LARGEST
    if origin is float:
        # NaN is not below anything.
        return lambda value: type(value) in {float, int} and abs(value) < LARGEST
    if origin is dict:
        return lambda value: (
            isinstance(value, dict) and all(map(inner[0], value)) and all(map(inner[1], value.values()))
        )
    if origin is list:
        return lambda value: isinstance(value, list) and all(map(inner[0], value))
    return lambda value: isinstance(value, origin)


CHECKS = {
    kind.__name__: {name: _check(declared) for name, declared in typing.get_type_hints(kind).items()}
    for kind in (TrialResult, ServerUsage, Verdict, Record)
}

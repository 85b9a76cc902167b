"""What is measured: scenario files in, points out, or a refusal that names the file, the key and the way out.

A scenario is one TOML file. Values under [load] may be lists: each is an axis, and the points are all combinations.
"""

import difflib
import itertools
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError

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


Duration = Annotated[float, BeforeValidator(parse_duration)]
Axis = Annotated[tuple[T, ...], BeforeValidator(_as_list), Field(min_length=1)]
Connections = Annotated[int, Field(ge=1, le=1_000_000)]
IdleConnections = Annotated[int, Field(ge=0, le=1_000_000)]
MessageSize = Annotated[ByteSize, Field(ge=1, le=64 * 1024 * 1024)]
PipelineDepth = Annotated[int, Field(ge=1, le=1024)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Load(_Table):
    """How requests arrive; each field is an axis.

    Attributes:
        connections: Active connections.
        idle_connections: Connections that are open and silent.
        message_size: Size of a request in bytes.
        pipeline_depth: Requests in flight on each connection.
    """

    connections: Axis[Connections] = (1,)
    idle_connections: Axis[IdleConnections] = (0,)
    message_size: Axis[MessageSize] = (ByteSize(64),)
    pipeline_depth: Axis[PipelineDepth] = (1,)


class Measure(_Table):
    """How long and how often to measure.

    Attributes:
        duration: Length of one trial, in seconds.
        rounds: Trials of each cell.
        warm_up: Longest time a cell is warmed up for, in seconds.
        budget: Time for the whole scenario in seconds, or None: when it is used up, no further round begins, but every
            point gets one.
    """

    duration: Annotated[Duration, Field(ge=0.01, le=3600)] = 1.0
    rounds: Annotated[int, Field(ge=1, le=10_000)] = 5
    warm_up: Annotated[Duration, Field(ge=0, le=600)] = 1.0
    budget: Annotated[Duration, Field(gt=0)] | None = None


class Scenario(_Table):
    """A named question.

    Attributes:
        name: The file's name without its ending.
        summary: One sentence that says what it shows.
        exchange: Name of the conversation.
        load: How requests arrive.
        measure: How long and how often.
    """

    name: str
    summary: str
    exchange: str
    load: Load = Load()
    measure: Measure = Measure()


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One combination of a scenario's axes: one value of every field of `Load`, sizes in bytes."""

    connections: int
    idle_connections: int
    message_size: int
    pipeline_depth: int


def points(load: Load) -> list[Point]:
    """Return every combination of the axes' values."""
    axes = [getattr(load, name) for name in Point.__slots__]
    return [Point(*(int(value) for value in values)) for values in itertools.product(*axes)]


def scenario_files() -> dict[str, Path]:
    """Return the files of the catalogue by scenario name."""
    return {file.stem: file for file in sorted(CATALOGUE.glob("*.toml"))}


def load_scenario(name: str) -> Scenario:
    """Return the scenario of this name, or the one in the TOML file at this path.

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
    return validated(lambda: Scenario(**{"name": file.stem, **raw}), str(file))


def overridden(scenario: Scenario, load: dict[str, Any], measure: dict[str, Any]) -> Scenario:
    """Return the scenario with these values in place of its own.

    Raises:
        ScenarioError: A value is not right; the message names it as the command line does.
    """

    def build() -> Scenario:
        return scenario.model_copy(
            update={
                "load": Load(**{**scenario.load.model_dump(), **load}),
                "measure": Measure(**{**_durations_as_text(scenario.measure), **measure}),
            }
        )

    return validated(build, "command line")


def _durations_as_text(measure: Measure) -> dict[str, Any]:
    raw = measure.model_dump()
    return {key: f"{value:.9f}s" if isinstance(value, float) else value for key, value in raw.items()}


def validated(build: Callable[[], T], source: str) -> T:
    """Return what `build` returns.

    Raises:
        ScenarioError: pydantic found a fault; the first one, in one line with source, key and fix.
    """
    try:
        return build()
    except ValidationError as faults:
        fault = faults.errors()[0]
        where = [str(part) for part in fault["loc"] if isinstance(part, str)]
        key = ".".join(where)
        if fault["type"] == "extra_forbidden":
            known = _TABLES.get(where[0] if len(where) > 1 else "", Scenario).model_fields
            raise ScenarioError(f"{source}: unknown key {key}{nearest(where[-1], known)}") from None
        if fault["type"] == "missing":
            raise ScenarioError(f"{source}: the key {key} is missing") from None
        reason = fault["msg"].removeprefix("Value error, ")
        shown = "" if fault["type"] == "value_error" else f" (it is {fault['input']!r})"
        raise ScenarioError(f"{source}: {key}: {reason}{shown}") from None


_TABLES: dict[str, type[BaseModel]] = {"load": Load, "measure": Measure}


def nearest(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    """Return words to append to "no such thing": the names most like it, or all there are."""
    close = difflib.get_close_matches(name, list(known), n=3)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(known)}"

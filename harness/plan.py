"""Scenario x backends -> cells. Every refusal happens here, with its reason, before anything starts."""

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backends.contract import BackendError, Option
from backends.find import Backend, find_backends, read_backend
from backends.plugins import find_plugins
from harness.loadgen.spec import fan_out_refusal
from harness.machine import most_waiting
from harness.scenario import Point, Scenario, nearest, points
from scenarios.session import load_exchange

ROOT = Path(__file__).resolve().parent.parent

SPARE_DESCRIPTORS = 32
"""What a process needs besides its connections: streams, libraries, listener, control socket, multiplexer."""

MOST_READ = 1 << 20
"""Bytes asked for by one read at most: a backend may hold many such buffers."""


class PlanError(Exception):
    """Something asked for that cannot be, in one line with the way out."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend in one form: under an interpreter, with workers and options; and what the probe said of it.

    Attributes:
        backend: The backend.
        packages: Versions of its packages by distribution name.
        unavailable: Why it cannot run here, or empty.
        python: The interpreter's program.
        interpreter: What it is, such as "CPython 3.11.7".
        workers: Processes that share the port.
        options: The backend's own settings that were asked for.
        root: Folder that holds the packages `backends` and `scenarios` which the server runs.
        commit: Short name of the commit that they are of, or empty if they are the present ones.
        mark: What tells two alike apart, or empty.
    """

    backend: Backend
    packages: Mapping[str, str]
    unavailable: str
    python: str = sys.executable
    interpreter: str = ""
    workers: int = 1
    options: Mapping[str, Option] = field(default_factory=dict)
    root: Path = ROOT
    commit: str = ""
    mark: str = ""

    @property
    def label(self) -> str:
        """What reports call it: the backend's name, and in which form if that is not the usual one."""
        words = [self.backend.traits.name]
        if self.python != sys.executable:
            words.append(f"@{self.interpreter.removeprefix('CPython ')}")
        if self.workers > 1:
            words.append(f"x{self.workers}")
        words += [f"{name}={value}" for name, value in self.options.items()]
        return " ".join(filter(None, [*words, self.commit, self.mark]))


def choose_forms(
    candidates: Sequence[Candidate], workers: Sequence[int], options: Mapping[str, Sequence[str]]
) -> list[Candidate]:
    """Return every candidate in every form: with each number of workers, and each value of the options it has.

    An external server has one form: it decides itself how many processes it has.

    Args:
        candidates: Backends under their interpreters.
        workers: Numbers of processes.
        options: Values by name, as texts.

    Raises:
        PlanError: An option is unknown to all of them, or has a value of another kind than is usual for it.
    """
    known = {name for each in candidates for name in each.backend.traits.options}
    for name in options:
        if name not in known:
            there = nearest(name, sorted(known)) if known else "; none of these backends has any"
            raise PlanError(f"no chosen backend has an option {name!r}{there}")
    forms = []
    for each in candidates:
        usual = each.backend.traits.options
        own = [name for name in options if name in usual]
        for chosen in itertools.product(*(options[name] for name in own)):
            settings = {name: _option(name, usual[name], text) for name, text in zip(own, chosen, strict=True)}
            numbers = workers if each.backend.program is None else [1]
            forms += [replace(each, workers=number, options=settings) for number in numbers]
    return forms


def _option(name: str, usual: Option, text: str) -> Option:
    try:
        value = type(usual)(text)
    except ValueError:
        raise PlanError(f"option {name}: {text!r} is no {type(usual).__name__}, as {usual!r} would be") from None
    if name in ("backlog", "read_size") and isinstance(value, int):
        most = most_waiting() if name == "backlog" else MOST_READ
        if not 1 <= value <= most:
            why = ", as net.core.somaxconn says" if name == "backlog" else ""
            raise PlanError(f"option {name} is {value}, must be 1 to {most}{why}")
    return value


@dataclass(frozen=True, slots=True)
class Cell:
    """One backend at one point.

    Attributes:
        candidate: The backend.
        point: The point.
        refusal: Why it is not measured, or empty.
    """

    candidate: Candidate
    point: Point
    refusal: str = ""

    @property
    def restless(self) -> bool:
        """Whether its server uses CPU even when nobody asks: it is halted while others are measured."""
        return "waiting-without-spinning" in self.candidate.backend.traits.faults


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        scenario: The scenario, overrides applied.
        cells: Every point with its cells, in the order they are measured.
    """

    scenario: Scenario
    cells: Mapping[Point, Sequence[Cell]]


def choose_backends(names: Sequence[str], root: Path = ROOT) -> dict[str, Backend]:
    """Return the backends of these names or paths of files, or all that are known if there are none.

    Args:
        names: Names or paths.
        root: Folder that holds the package `backends` whose built-in ones are meant.

    Raises:
        PlanError: A name is unknown, a file is no backend, or two have the same name.
    """
    try:
        known, _problems = known_backends(root)
        if not names:
            return known
        chosen: dict[str, Backend] = {}
        for name in names:
            is_file = name.endswith((".py", ".toml"))
            if not is_file and name not in known:
                raise PlanError(f"no backend is called {name!r}{nearest(name, known)}")
            backend = read_backend(Path(name).resolve()) if is_file else known[name]
            other = chosen.setdefault(backend.traits.name, backend)
            if other.file != backend.file:
                raise PlanError(f"{other.file} and {backend.file} are both called {backend.traits.name!r}: rename one")
    except BackendError as fault:
        raise PlanError(str(fault)) from None
    return chosen


def known_backends(root: Path = ROOT) -> tuple[dict[str, Backend], list[str]]:
    """Return built-in backends and those of plugins by name, and one line for each plugin that is faulty.

    Args:
        root: Folder that holds the package `backends` whose built-in ones are meant.

    Raises:
        BackendError: A built-in one is faulty.
    """
    built_in = find_backends(root / "backends")
    plugins, problems = find_plugins(built_in)
    return built_in | plugins, problems


def make_plan(scenario: Scenario, candidates: Sequence[Candidate], descriptor_limit: int) -> Plan:
    """Return the cells of a scenario.

    Args:
        scenario: What is asked.
        candidates: Who is asked; all of them available.
        descriptor_limit: Open files that one process can have (the hard limit, RLIMIT_NOFILE).

    Raises:
        PlanError: There is nothing to measure.
        LookupError: There is no such exchange.
    """
    if not candidates:
        raise PlanError("none of the backends is available here; `muxbench list` tells why")
    fan_out = load_exchange(scenario.exchange).fan_out
    cells = {
        point: [
            Cell(
                candidate,
                point,
                (refusal_to_fan_out(candidate, scenario, point) if fan_out else "")
                or refusal(candidate, scenario, point, descriptor_limit),
            )
            for candidate in candidates
        ]
        for point in points(scenario)
    }
    return Plan(scenario, cells)


def refusal_to_fan_out(candidate: Candidate, scenario: Scenario, point: Point) -> str:
    """Return why this backend is not measured at this point of a scenario with fan-out, or an empty text."""
    backend = candidate.backend
    if backend.program is None and not backend.traits.notify:
        return f"{backend.traits.name} does not declare notify, so it cannot send unasked as {scenario.exchange} does"
    if candidate.workers > 1:
        return f"{scenario.exchange} reaches the connections of its own process only: leave workers out"
    if point.reply_delay_us:
        return f"{scenario.exchange} has no replies to delay: leave reply_delay out"
    if point.transport == "tls":
        return f"{scenario.exchange} is measured over tcp and unix only, not over tls"
    return fan_out_refusal(
        point.connections,
        idle_connections=point.idle_connections,
        slow_connections=point.slow_connections,
        requests_per_connection=point.requests_per_connection,
    )


def refusal(candidate: Candidate, scenario: Scenario, point: Point, descriptor_limit: int) -> str:
    """Return why this backend is not measured at this point of a scenario, or an empty text."""
    exchange = scenario.exchange
    program = candidate.backend.program
    if program is not None and exchange not in program.exchanges:
        return f"{candidate.label} serves {', '.join(program.exchanges)} only, not {exchange}"
    if program is not None and (point.reply_delay_us or point.cpu_work_us):
        return f"{candidate.label} is a program of its own: it can neither delay its replies nor work for them"
    traits = candidate.backend.traits
    if scenario.load.half_close and "half-close" in traits.faults:
        return f"{traits.name} cannot half-close: {traits.faults['half-close']}"
    if point.transport == "tls" and program is not None:
        return f"{candidate.label} is a program of its own: TLS is measured around sessions in Python only"
    if point.transport == "tls" and not (candidate.root / "scenarios" / "tls.py").exists():
        return f"{candidate.label} is of a commit that had no TLS yet"
    listener = "tcp" if point.transport == "tls" else point.transport
    if listener not in traits.transports:
        return f"{traits.name} serves {' and '.join(traits.transports)} only, not {point.transport}"
    if point.transport == "unix" and candidate.workers > 1:
        return "workers share a port (SO_REUSEPORT), and a Unix socket has none"
    if point.transport == "unix" and sys.platform != "linux":
        return "Unix sockets are measured under abstract names, which only Linux has (unix(7))"
    connections = point.connections + point.idle_connections + point.slow_connections
    needed = connections + SPARE_DESCRIPTORS
    if traits.max_descriptors is not None and connections + SPARE_DESCRIPTORS > traits.max_descriptors:
        room = traits.max_descriptors - SPARE_DESCRIPTORS
        return f"{traits.name} watches descriptors below {traits.max_descriptors:,} only: at most {room:,} connections"
    if traits.max_connections is not None and connections > traits.max_connections:
        return f"{traits.name} serves at most {traits.max_connections:,} connections"
    if needed > descriptor_limit:
        return f"needs {needed:,} open files, the hard limit is {descriptor_limit:,}: raise it with ulimit -Hn {needed}"
    return ""

"""The cost of one `wait()` as watched descriptors grow, of every multiplexer there is: libevent's classic experiment.

Most descriptors are silent and a few are ready (http://libevent.org, "Benchmark"), so the figure shows what a
multiplexer pays for being told again and again of descriptors that have nothing to say. Each is a UDP socket of its
own: one descriptor apiece, and a file of its own in the kernel, which copies of one pipe would not be.

    .venv/bin/pytest benchmarks/test_multiplexers.py --benchmark-enable --benchmark-only --benchmark-json=FILE

What each benchmark was is in the JSON under `extra_info`, which `harness.report.microbench` reads.
"""

import importlib
import itertools
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import backends.readiness
from backends.readiness.reactor import READ, Multiplexer

REGISTERED = (10, 100, 250, 500, 900, 3_000, 10_000)
"""Of those at which 100 are ready, select, which watches descriptors below 1,024 only, has four: enough to judge by."""
READY = (1, 100)

SPARE_DESCRIPTORS = 64
"""Descriptors that pytest, the interpreter and the multiplexer need beside those that are watched."""

EDGE_ROUNDS = 1_000
"""Rounds of an edge-triggered wait, which cannot repeat within one: every event must be caused anew."""

FILES = sorted(Path(backends.readiness.__file__).parent.glob("mux_*.py"))

pytestmark = pytest.mark.benchmark(max_time=0.4, min_rounds=20, warmup=True, warmup_iterations=3)


@pytest.fixture(params=[file.stem for file in FILES], ids=lambda stem: stem.removeprefix("mux_"))
def module(request: pytest.FixtureRequest) -> ModuleType:
    """The file of one multiplexer, if it runs here."""
    try:
        found = importlib.import_module(f"backends.readiness.{request.param}")
    except ImportError as fault:
        pytest.skip(f"{request.param} cannot be imported: {fault}")
    platforms = found.TRAITS.get("platforms")
    if platforms and sys.platform not in platforms:
        pytest.skip(f"{found.TRAITS['name']} does not run on {sys.platform}")
    return found


@pytest.fixture
def multiplexer(module: ModuleType) -> Iterator[Multiplexer]:
    """A fresh multiplexer."""
    made = module.Multiplexer()
    yield made
    made.close()


@pytest.fixture
def sockets(module: ModuleType, registered: int) -> Iterator[list[socket.socket]]:
    """As many silent sockets as are to be registered, and one more."""
    limit = module.TRAITS.get("max_descriptors")
    if limit is not None and registered > limit:
        pytest.skip(f"{module.TRAITS['name']} watches at most {limit:,} descriptors, not {registered:,}")
    allow_descriptors(registered + SPARE_DESCRIPTORS)
    with ExitStack() as opened:
        silent = [opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(registered + 1)]
        highest = max(one.fileno() for one in silent)
        if limit is not None and highest >= limit:
            pytest.skip(f"{module.TRAITS['name']} watches no descriptor above {limit - 1:,}; this needs {highest:,}")
        yield silent


def allow_descriptors(needed: int) -> None:
    """Raise the soft limit of open files, or skip the test where the hard limit is too low."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            pytest.skip(f"{needed:,} open files are needed, the hard limit is {hard:,}: raise it with ulimit -Hn")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def make_ready(silent: socket.socket) -> None:
    """Send a socket one datagram of its own, which it will have to read for ever."""
    if silent.getsockname()[1] == 0:
        silent.bind(("127.0.0.1", 0))
    silent.sendto(b"x", silent.getsockname())


def label(benchmark: BenchmarkFixture, module: ModuleType, **facts: Any) -> None:  # noqa: ANN401 - JSON values
    """Say in the JSON what is measured, so that nobody has to read it out of a name."""
    benchmark.extra_info.update(multiplexer=module.TRAITS["name"], edge=module.Multiplexer.edge, **facts)


@pytest.mark.parametrize(
    ("registered", "ready"), [pair for pair in itertools.product(REGISTERED, READY) if pair[1] <= pair[0]]
)
def test_wait(
    benchmark: BenchmarkFixture,
    module: ModuleType,
    multiplexer: Multiplexer,
    sockets: list[socket.socket],
    registered: int,
    ready: int,
) -> None:
    """One wait() that finds `ready` of `registered` descriptors ready."""
    label(benchmark, module, operation="wait", registered=registered, ready=ready)
    watched = sockets[:registered]
    # Spread evenly, because select and poll search from the front.
    speaking = watched[:: registered // ready][:ready]
    for one in speaking:
        make_ready(one)
    for one in watched:
        multiplexer.register(one.fileno(), READ)

    def speak_again() -> None:
        for one in speaking:
            one.recv(1)
            make_ready(one)

    found = repeat_wait(benchmark, multiplexer, speak_again)
    assert sorted(fd for fd, _ in found) == sorted(one.fileno() for one in speaking)


def repeat_wait(
    benchmark: BenchmarkFixture, multiplexer: Multiplexer, speak_again: Callable[[], None]
) -> list[tuple[int, int]]:
    """Measure wait(0); an edge-triggered one reports each event once, so there every round has events of its own."""
    if multiplexer.edge:
        return benchmark.pedantic(multiplexer.wait, args=(0,), setup=speak_again, rounds=EDGE_ROUNDS)
    return benchmark(multiplexer.wait, 0)


@pytest.mark.parametrize("registered", REGISTERED)
def test_register_and_unregister(
    benchmark: BenchmarkFixture,
    module: ModuleType,
    multiplexer: Multiplexer,
    sockets: list[socket.socket],
    registered: int,
) -> None:
    """One register() and one unregister() of a descriptor beside `registered` others."""
    label(benchmark, module, operation="register + unregister", registered=registered, ready=0)
    *others, newcomer = sockets
    for one in others:
        multiplexer.register(one.fileno(), READ)
    fd = newcomer.fileno()
    make_ready(newcomer)

    def register_and_unregister() -> None:
        multiplexer.register(fd, READ)
        multiplexer.unregister(fd)

    benchmark(register_and_unregister)
    assert multiplexer.wait(0) == []
    multiplexer.register(fd, READ)
    assert [ready for ready, _ in multiplexer.wait(0)] == [fd]

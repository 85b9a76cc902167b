"""Several generator processes are one load: nothing is counted twice, nothing is lost, and all end."""

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from backends.find import find_backends
from harness.generators import Generators
from harness.loadgen.histogram import decode
from harness.loadgen.spec import Arrivals, LoadSpec
from harness.process import ChildFailedError
from harness.servers import start_server
from harness.verdict import judge
from scenarios.exchanges.echo import conversation
from tests.records import RESULT, USAGE


def load(port: int, **changes: object) -> LoadSpec:
    talk = conversation(64)
    return LoadSpec("127.0.0.1", port, talk.request, talk.reply, **{"connections": 7, "idle_connections": 3, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_they_load_a_server_together(tmp_path: Path, processes: int) -> None:
    with start_server(find_backends()["poll"], "echo", tmp_path / "log") as server:
        with Generators(load(server.address[1]), "portable", tmp_path / "log", processes) as generators:
            pids = generators.pids
            assert len(pids) == processes
            connected = generators.connect()
            assert (connected.connected, connected.idle, connected.errors) == (7, 3, {})
            result = generators.trial(0.2)
        assert result.processes == processes
        assert result.sent == result.replied + result.failed + result.in_flight
        assert decode(result.latency).get_total_count() == result.replied + result.late > 0
        assert not result.errors
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_an_open_loop_keeps_its_rate(tmp_path: Path) -> None:
    with start_server(find_backends()["poll"], "echo", tmp_path / "log") as server:
        spec = load(server.address[1], arrivals=Arrivals("constant", 1000.0))
        with Generators(spec, "portable", tmp_path / "log", 2) as generators:
            generators.connect()
            result = generators.trial(0.5)
    assert result.due == pytest.approx(500, abs=2)


def test_there_are_never_more_than_connections(tmp_path: Path) -> None:
    with start_server(find_backends()["poll"], "echo", tmp_path / "log") as server:
        spec = load(server.address[1], connections=2, idle_connections=0)
        with Generators(spec, "portable", tmp_path / "log", 5) as generators:
            assert len(generators.pids) == 2


def test_one_that_is_killed_fails_the_trial(tmp_path: Path) -> None:
    with (
        start_server(find_backends()["poll"], "echo", tmp_path / "log") as server,
        Generators(load(server.address[1]), "portable", tmp_path / "log", 2) as generators,
    ):
        generators.connect()
        psutil.Process(generators.pids[1]).kill()
        with pytest.raises(ChildFailedError):
            generators.trial(0.1)


@pytest.mark.parametrize(("cpu_s", "bound"), [(0.5, False), (0.98, True)])
def test_they_are_the_bottleneck_when_all_their_cpus_are_busy(cpu_s: float, bound: bool) -> None:
    result = replace(RESULT, cpu_s=cpu_s * RESULT.duration_s * 2, processes=2)
    server = replace(USAGE, cpu_s=0.1)
    kinds = [verdict.kind for verdict in judge(result, server, 1, generator_cpus=2)]
    assert ("generator-bound" in kinds) is bound

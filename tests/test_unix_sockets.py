"""Every backend that says it serves Unix sockets does, and leaves nothing behind."""

import time
from pathlib import Path

import pytest

from backends.find import Backend, find_backends
from harness.loadgen.engines import make_engine
from harness.loadgen.spec import LoadSpec
from harness.process import probe_backends
from harness.servers import start_server
from scenarios.exchanges.echo import conversation

SERVING = [each for each in find_backends().values() if "unix" in each.traits.transports]


@pytest.mark.parametrize("backend", SERVING, ids=lambda each: each.traits.name)
def test_a_backend_serves_unix_sockets(backend: Backend, tmp_path: Path) -> None:
    if reason := probe_backends({backend.traits.name: backend})[backend.traits.name].unavailable:
        pytest.skip(reason)
    talk = conversation(100)
    with start_server(backend, "echo", tmp_path / "log", transport="unix") as server:
        host, port = server.address
        assert host.startswith("unix:@")
        engine = make_engine(
            "portable", LoadSpec(host, port, talk.request, talk.reply, connections=5, idle_connections=2)
        )
        connected = engine.connect()
        assert (connected.connected, connected.idle, connected.errors) == (5, 2, {}), server.log_tail()
        result = engine.trial(0.2)
        assert result.replied + result.late > 0  # a busy machine may answer after the window
        assert not result.errors
        engine.close()
    # The kernel releases a socket that a ring or a child process held only after their end (fork, io_uring).
    deadline = time.monotonic() + 10
    while (left := host.removeprefix("unix:") in Path("/proc/net/unix").read_text().split()) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert not left

"""Every backend in Python serves TLS, to a peer that is not ours too, and leaves nothing behind."""

import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from backends.find import Backend, find_backends
from harness.loadgen import engines, openssl
from harness.loadgen.engines import make_engine
from harness.loadgen.spec import LoadSpec
from harness.plan import Candidate, PlanError, make_plan
from harness.process import ServerProcess, probe_backends
from harness.scenario import Load, Scenario
from harness.servers import start_server
from scenarios.conditions import Conditions
from scenarios.exchanges.echo import conversation

BACKENDS = find_backends()
SESSIONS = [each for each in BACKENDS.values() if each.program is None]
SOME = [BACKENDS[name] for name in ("epoll", "threads", "asyncio-protocol", "io_uring", "simulated-aio")]
WHEN_WOKEN = "session-that-raises-when-woken"


def client(server: ServerProcess) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=server.authority)
    connection = socket.create_connection(server.address, 20)
    return context.wrap_socket(connection, server_hostname=server.address[0], suppress_ragged_eofs=False)


def read_all(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := connection.recv(65536)):
        data += piece
    return data


def skip_unless_available(backend: Backend) -> None:
    if reason := probe_backends({backend.traits.name: backend})[backend.traits.name].unavailable:
        pytest.skip(reason)


@pytest.mark.parametrize("backend", SESSIONS, ids=lambda each: each.traits.name)
def test_a_backend_serves_a_foreign_peer(backend: Backend, tmp_path: Path) -> None:
    skip_unless_available(backend)
    message = os.urandom(100_000)
    with start_server(backend, "echo", tmp_path / "log", transport="tls") as server, client(server) as peer:
        assert peer.version() == "TLSv1.3"
        peer.sendall(message)
        assert read_all(peer, len(message)) == message
        if WHEN_WOKEN not in backend.traits.faults:
            for _ in range(5):
                with socket.create_connection(server.address, 20) as garbage:
                    garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    assert read_to_the_end(garbage) == b""
        peer.sendall(b"again")
        assert read_all(peer, 5) == b"again"
        peer.unwrap()  # both ends say close_notify
    log = server.log_tail()
    assert "Traceback" not in log
    assert len({line for line in log.splitlines() if "TLS" in line}) <= 1


def read_to_the_end(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


@pytest.fixture(params=SOME, ids=lambda each: each.traits.name)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    skip_unless_available(request.param)
    with start_server(request.param, "echo", tmp_path / "log", transport="tls") as started:
        yield started


@pytest.mark.parametrize("engine_name", ["native", "portable"])
def test_a_backend_is_loaded_over_tls(server: ServerProcess, engine_name: str) -> None:
    if engine_name == "native" and (reason := engines.native_missing() or engines.tls_missing("native")):
        pytest.skip(reason)
    talk = conversation(20_000)
    host, port = server.address
    load = LoadSpec(
        host, port, talk.request, talk.reply, 5, 2, pipeline_depth=3, grace_s=30, authority=server.authority
    )
    churn = replace(load, requests_per_connection=2, half_close=True)
    slow = replace(load, slow_connections=2, slow_bytes_per_s=100_000)
    for each in (load, churn, slow):
        engine = make_engine(engine_name, each)
        opened = engine.connect()
        assert (opened.connected, opened.idle, opened.errors) == (5, 2, {}), server.log_tail()
        result = engine.trial(0.1)
        assert (result.errors, result.fault) == ({}, "")
        assert result.replied + result.late > 0
        engine.close()
    assert server.log_tail() == ""


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """However the server ends: the certificate was in no folder, and its file in memory is closed."""
    before = set(Path("/tmp").iterdir())
    with start_server(BACKENDS["threads"], "echo", tmp_path / "log", transport="tls") as server, client(server):
        process = psutil.Process(server.pid)
        paths = [os.readlink(link) for link in Path(f"/proc/{server.pid}/fd").iterdir()]
        assert not any("memfd" in path for path in paths)
        assert not any("PRIVATE KEY" in word for word in process.cmdline())
        process.kill()
    assert not [path for path in set(Path("/tmp").iterdir()) - before if path.name.startswith("tmp") and path.is_file()]


def test_replies_are_late_over_tls_too(tmp_path: Path) -> None:
    conditions = Conditions(reply_delay_s=0.05)
    with (
        start_server(BACKENDS["epoll"], "echo", tmp_path / "log", transport="tls", conditions=conditions) as server,
        client(server) as peer,
    ):
        peer.sendall(b"later")
        peer.settimeout(0.01)
        with pytest.raises(TimeoutError):
            peer.recv(1)
        peer.settimeout(20)
        assert read_all(peer, 5) == b"later"


def asked_over_tls() -> Scenario:
    return Scenario(name="t", summary="t", exchange="echo", load=Load(transport=["tls"]))  # type: ignore[arg-type]


def refusal_of(candidate: Candidate) -> str:
    return next(iter(make_plan(asked_over_tls(), [candidate], 1000).cells.values()))[0].refusal


def test_external_servers_are_refused() -> None:
    external = next(each for each in BACKENDS.values() if each.program is not None)
    assert "TLS is measured around sessions in Python only" in refusal_of(Candidate(external, {}, ""))


def test_commits_without_tls_are_refused(tmp_path: Path) -> None:
    old = Candidate(BACKENDS["epoll"], {}, "", root=tmp_path, commit="abc1234")
    assert refusal_of(old) == "epoll abc1234 is of a commit that had no TLS yet"


def test_backends_that_declare_no_more_than_tcp_serve_tls() -> None:
    epoll = BACKENDS["epoll"]
    assert refusal_of(Candidate(replace(epoll, traits=replace(epoll.traits, transports=("tcp",))), {}, "")) == ""
    only_unix = replace(epoll, traits=replace(epoll.traits, transports=("unix",)))
    assert refusal_of(Candidate(only_unix, {}, "")) == "epoll serves unix only, not tls"


def test_without_openssl_the_native_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.launch import prepare

    openssl.load_openssl.cache_clear()
    monkeypatch.setattr(openssl, "CALLED_BY_THE_ENGINE", ("SSL_of_another_library",))
    try:
        with pytest.raises(PlanError, match=r"the native engine cannot speak TLS here: .*SSL_of_another_library"):
            prepare(asked_over_tls(), [Candidate(BACKENDS["epoll"], {}, "")], "native")
        assert prepare(asked_over_tls(), [Candidate(BACKENDS["epoll"], {}, "")], "portable").engine == "portable"
    finally:
        openssl.load_openssl.cache_clear()

"""What connections do beside carrying requests: they are replaced, half-closed, opened at a rate, and read slowly."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from loadgen_peers import SIZE, PeerEndedError, assert_adds_up, echo, read_exactly

from harness.loadgen.engines import Engine
from harness.loadgen.histogram import decode
from harness.loadgen.spec import Arrivals, LoadSpec
from scenarios.session import load_exchange

Serve = Callable[..., int]
Generator = Callable[..., Engine]


@pytest.fixture(params=["tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    """Both, one after the other."""
    name: str = request.param
    return name


LOADS = {
    "closed": {},
    "pipelined": {"pipeline_depth": 4},
    "open": {"arrivals": Arrivals("constant", 300.0)},
    "open pipelined": {"arrivals": Arrivals("poisson", 300.0, seed=1), "pipeline_depth": 4},
    "thinking": {"think_time_s": 0.01},
}


class Ledger:
    """Counts the requests of each connection, in the order in which they were accepted."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()

    def echo(self, connection: socket.socket, number: int) -> None:
        self.requests[number] += 0
        with contextlib.suppress(PeerEndedError):
            while True:
                data = read_exactly(connection, SIZE)
                self.requests[number] += 1
                connection.sendall(data)
        self.ends[number] += 1


@pytest.mark.parametrize("half_close", [False, True])
@pytest.mark.parametrize("load", LOADS.values(), ids=list(LOADS))
def test_connections_are_replaced_after_their_requests(
    serve: Serve, generator: Generator, load: dict[str, object], half_close: bool
) -> None:
    ledger = Ledger()
    engine = generator(serve(ledger.echo), requests_per_connection=3, half_close=half_close, grace_s=30, **load)
    engine.connect()
    result = engine.trial(1.0)
    assert_adds_up(result)
    assert (result.errors, result.fault) == ({}, "")
    assert result.opened > 0
    assert decode(result.connection_time).get_total_count() == result.opened
    deadline = time.monotonic() + 30  # the kernel establishes connections before the server accepts them
    while len(ledger.requests) < 2 + result.opened and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(ledger.requests) == 2 + result.opened
    assert sum(ledger.requests.values()) == 2 + result.sent + result.waiting
    for number, count in ledger.requests.items():
        assert count <= (4 if number < 2 else 3)  # the first two were verified by one request each
    assert result.replied + result.late == result.sent + result.waiting


def test_nothing_is_replaced_unless_asked_for(serve: Serve, generator: Generator) -> None:
    ledger = Ledger()
    engine = generator(serve(ledger.echo))
    engine.connect()
    result = engine.trial(0.2)
    assert (result.opened, result.connection_time, len(ledger.requests)) == (0, "", 2)


def test_trials_of_a_cell_with_churn_follow_each_other(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(Ledger().echo), requests_per_connection=1, half_close=True, grace_s=30)
    engine.connect()
    for _ in range(3):
        result = engine.trial(0.1)
        assert_adds_up(result)
        assert (result.errors, result.stopped) == ({}, "")
        assert result.opened > 0


def test_half_close_waits_for_what_the_server_says_at_the_end(
    serve: Serve, generator: Generator, transport: str
) -> None:
    ends: list[bytes] = []

    def note_the_end(connection: socket.socket, number: int) -> None:
        for _ in range(2 if number < 1 else 1):
            connection.sendall(read_exactly(connection, SIZE))
        ends.append(connection.recv(1))  # a peer that had closed would never see what is sent now
        connection.send(b"x" if number == 3 else b"")

    engine = generator(serve(note_the_end), connections=1, requests_per_connection=1, half_close=True)
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert ends == [b""] * 4
    # Python's ssl looks for the server's close_notify itself right after it has sent its own.
    if (engine.name, transport) == ("portable", "tls") and "wrong" not in result.errors:
        assert result.errors == {"TLS: application data after close notify": 1}
    else:
        assert result.errors == {"wrong": 1}
        assert "nothing was owed" in result.fault
    assert (result.replied, result.opened) == (4, 3)


def test_a_server_that_does_not_end_times_out(serve: Serve, generator: Generator) -> None:
    release = threading.Event()

    def never_end(connection: socket.socket, number: int) -> None:
        for _ in range(2):
            connection.sendall(read_exactly(connection, SIZE))
        release.wait(30)

    engine = generator(serve(never_end), connections=1, requests_per_connection=1, half_close=True, grace_s=0.2)
    engine.connect()
    result = engine.trial(0.2)
    release.set()
    assert_adds_up(result)
    assert result.errors == {"timed out": 1}


def test_a_refusal_of_a_replacement_is_counted(serve: Serve, generator: Generator) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def close_the_listener(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        read = read_exactly(connection, SIZE)
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        connection.sendall(read)
        connection.recv(1)

    engine = generator(serve(close_the_listener, listener), connections=1, requests_per_connection=1)
    engine.connect()
    result = engine.trial(5)
    assert_adds_up(result)
    assert result.replied == 1
    assert set(result.errors) <= {"refused", "reset"}
    assert result.stopped


@pytest.mark.parametrize("transport", ["unix"])
def test_a_unix_socket_is_measured(serve: Serve, generator: Generator, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    ledger = Ledger()
    engine = generator(serve(ledger.echo, listener), host=f"unix:{path}", idle_connections=3, requests_per_connection=5)
    opened = engine.connect()
    assert (opened.connected, opened.idle, opened.errors) == (2, 3, {})
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.replied > 5
    assert result.opened > 0


@pytest.mark.parametrize("transport", ["unix"])
def test_a_unix_socket_that_is_not_there_is_counted(generator: Generator, tmp_path: Path) -> None:
    engine = generator(0, host=f"unix:{tmp_path / 'nothing'}")
    assert engine.connect().errors == {"unreachable": 2}


@pytest.mark.parametrize("transport", ["unix"])
def test_a_unix_socket_whose_backlog_is_full_refuses(generator: Generator, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        errors = generator(0, host=f"unix:{path}", connections=10, grace_s=0.1).connect().errors
    assert set(errors) == {"refused", "timed out"}
    assert sum(errors.values()) == 10


def test_a_ramp_opens_connections_at_its_rate(serve: Serve, generator: Generator) -> None:
    accepted: list[float] = []

    def note(connection: socket.socket, number: int) -> None:
        accepted.append(time.monotonic())
        echo(connection, number)

    engine = generator(serve(note), connections=20, idle_connections=10, connections_per_s=100.0, grace_s=10)
    opened = engine.connect()
    assert (opened.connected, opened.idle, opened.errors) == (20, 10, {})
    assert decode(opened.connection_time).get_total_count() == 30
    assert max(accepted) - min(accepted) > 0.1  # 0.29 s, if both threads are as quick


def test_a_ramp_does_not_wait_for_the_connections_before(serve: Serve, generator: Generator) -> None:
    everyone = threading.Barrier(100, timeout=20)

    def meet(connection: socket.socket, number: int) -> None:
        first = read_exactly(connection, SIZE)
        everyone.wait()
        connection.sendall(first)
        connection.recv(1)

    engine = generator(serve(meet), connections=100, connections_per_s=1000.0, grace_s=20)
    assert engine.connect().connected == 100


def test_slow_readers_read_no_faster_than_told_and_hold_up_nobody(serve: Serve, generator: Generator) -> None:
    talk = load_exchange("download").conversation(20_000)

    def download(connection: socket.socket, number: int) -> None:
        session = load_exchange("download").new_session()
        while data := connection.recv(65536):
            connection.sendall(session.receive(data))

    engine = generator(
        serve(download),
        request=talk.request,
        reply=talk.reply,
        slow_connections=3,
        slow_bytes_per_s=100_000,
        grace_s=10,
    )
    opened = engine.connect()
    assert (opened.connected, opened.slow, opened.errors) == (2, 3, {})
    for _ in range(2):
        result = engine.trial(1.0)
        assert_adds_up(result)
        assert result.errors == {}
        assert 3 <= result.slow_replied <= 3 * 6  # 5 replies a second each, and what had come before
        assert result.replied > 5


def test_slow_readers_count_in_no_schedule(serve: Serve, generator: Generator) -> None:
    arrivals = Arrivals("constant", 100.0)
    engine = generator(serve(echo), arrivals=arrivals, slow_connections=2, slow_bytes_per_s=2 * SIZE, grace_s=10)
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert (result.errors, result.due) == ({}, 50)
    assert decode(result.latency).get_total_count() == 50
    assert result.slow_replied <= 2 * 4


def test_a_slow_reader_that_is_cut_off_is_counted(serve: Serve, generator: Generator) -> None:
    def cut_the_slow_one(connection: socket.socket, number: int) -> None:
        if number < 2:
            echo(connection, number)
        else:
            for _ in range(2):
                connection.sendall(read_exactly(connection, SIZE))

    engine = generator(serve(cut_the_slow_one), slow_connections=1, slow_bytes_per_s=SIZE)
    engine.connect()
    result = engine.trial(2.5)
    assert_adds_up(result)
    assert sum(result.errors.values()) == 1
    assert result.failed == 0


SHORT_OF_PORTS = """
import fcntl, json, socket, struct, sys, threading
sys.path.insert(0, {root!r})
from harness.loadgen.engines import make_engine
from harness.loadgen.spec import LoadSpec
from scenarios.exchanges.echo import conversation

with socket.socket() as lo:  # SIOCSIFFLAGS with IFF_UP: the loopback interface of a new network namespace is down
    fcntl.ioctl(lo, 0x8914, struct.pack("16sH14s", b"lo", 1, b""))
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as ports:
    ports.write("40000 40009")
listener = socket.create_server(("127.0.0.1", 5000), backlog=128)

def echo(peer):
    while data := peer.recv(65536):
        peer.sendall(data)

def accept():
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=echo, args=(peer,), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
talk = conversation(64)
engine = make_engine({engine!r}, LoadSpec("127.0.0.1", 5000, talk.request, talk.reply, connections=35, grace_s=10,
                                          requests_per_connection=2, think_time_s=0.02))
opened = engine.connect()
result = engine.trial(0.2)
print(json.dumps([opened.connected, opened.errors, result.errors, result.opened]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_when_ports_run_short_other_source_addresses_are_used(engine_name: str) -> None:
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    code = SHORT_OF_PORTS.format(root=os.fspath(Path(__file__).parents[2]), engine=engine_name)
    child = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", code], capture_output=True, check=False, timeout=60, text=True
    )
    assert child.returncode == 0, child.stderr
    connected, errors, later, replaced = json.loads(child.stdout)
    assert (connected, errors, later) == (35, {}, {})
    assert replaced > 3


def test_a_load_with_everything_comes_back_from_json() -> None:
    talk = load_exchange("http_plain").conversation(64)
    load = LoadSpec(
        "unix:/tmp/x", 0, talk.request, talk.reply, 5, 4, requests_per_connection=3, half_close=True,
        connections_per_s=7.0, slow_connections=2, slow_bytes_per_s=1000,
    )  # fmt: skip
    assert LoadSpec.from_json(json.loads(json.dumps(load.to_json()))) == load

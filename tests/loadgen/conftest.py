"""Fixtures that bring the engines together with small servers."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from loadgen_peers import SIZE, Behaviour

from harness.certificate import make_certificate
from harness.loadgen.engines import Engine, make_engine, native_missing, tls_missing
from harness.loadgen.spec import LoadSpec
from scenarios.exchanges.echo import conversation
from scenarios.tls import server_context

CERTIFICATE = make_certificate("127.0.0.1")


@pytest.fixture
def transport() -> str:
    """What servers and engines speak; modules whose tests are about both, or something else, have their own."""
    return "tcp"


@pytest.fixture
def serve(transport: str) -> Iterator[Callable[..., int]]:
    """Start a server with a behaviour, on a listener of its own unless one is given, and return its TCP port."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []
    context = server_context(CERTIFICATE.server)

    def one(connection: socket.socket, number: int, behave: Behaviour) -> None:
        with contextlib.suppress(OSError), connection:
            if transport != "tls":
                behave(connection, number)
                return
            with context.wrap_socket(connection, server_side=True) as secured:
                behave(secured, number)
                if secured.fileno() >= 0:
                    secured.setblocking(False)
                    secured.unwrap()  # close_notify

    def accept(listener: socket.socket, behave: Behaviour) -> None:
        with contextlib.suppress(OSError):
            for number in range(10**6):
                connection, _ = listener.accept()
                sockets.append(connection)
                threads.append(threading.Thread(target=one, args=(connection, number, behave), daemon=True))
                threads[-1].start()

    def start(behave: Behaviour, listener: socket.socket | None = None) -> int:
        listener = listener or socket.create_server(("127.0.0.1", 0), backlog=128)
        sockets.append(listener)
        threads.append(threading.Thread(target=accept, args=(listener, behave), daemon=True))
        threads[-1].start()
        port: int = listener.getsockname()[1] if listener.family == socket.AF_INET else 0
        return port

    yield start
    for item in sockets:
        with contextlib.suppress(OSError):
            item.shutdown(socket.SHUT_RDWR)
        item.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(params=["native", "portable"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Both engines, one after the other."""
    name: str = request.param
    if name == "native" and native_missing():
        pytest.skip(native_missing())
    return name


@pytest.fixture
def generator(engine_name: str, transport: str) -> Iterator[Callable[..., Engine]]:
    """Make an engine for the server at a port: two connections unless told, messages of `SIZE` bytes."""
    engines = []
    if transport == "tls" and tls_missing(engine_name):
        pytest.skip(tls_missing(engine_name))

    def make(port: int, *, size: int = SIZE, control_fd: int = -1, **load: object) -> Engine:
        talk = conversation(size)
        values = {"host": "127.0.0.1", "request": talk.request, "reply": talk.reply, "connections": 2, "grace_s": 0.5}
        if transport == "tls":
            values["authority"] = CERTIFICATE.authority
        engines.append(make_engine(engine_name, LoadSpec(port=port, **{**values, **load}), control_fd))  # type: ignore[arg-type]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()

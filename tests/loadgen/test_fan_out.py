"""Fan-out in both engines: one sends, all others receive. What is counted, what is caught; every trial ends."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest
from loadgen_peers import SIZE, assert_adds_up, read_exactly

from harness.loadgen.engines import Engine
from harness.loadgen.histogram import decode
from harness.loadgen.spec import Arrivals, LoadSpec
from scenarios.session import Message

Serve = Callable[..., int]
Generator = Callable[..., Engine]


class Hub:
    """Answers the first message of each connection, and passes every further one on to all others.

    Subclasses spoil `deliver`, which is told the number of the connection, from 0, and that of its delivery, from 1.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.joined: dict[int, socket.socket] = {}
        self.delivered: dict[int, int] = {}
        self.spoilt = False
        self.lock = threading.Lock()

    def __call__(self, connection: socket.socket, number: int) -> None:
        joining = read_exactly(connection, self.size)
        with self.lock:
            self.joined[number] = connection
            self.delivered[number] = 0
            connection.sendall(joining)
        try:
            while True:
                self.publish(read_exactly(connection, self.size), number)
        finally:
            with self.lock:
                del self.joined[number]

    def publish(self, message: bytes, publisher: int) -> None:
        with self.lock:
            for number, connection in self.joined.items():
                if number != publisher:
                    self.delivered[number] += 1
                    with contextlib.suppress(OSError):
                        self.deliver(connection, number, self.delivered[number], message)

    def deliver(self, connection: socket.socket, number: int, count: int, message: bytes) -> None:
        connection.sendall(message)


def end(connection: socket.socket) -> None:
    """Close a connection, though another thread waits for it."""
    connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def publishing(generator: Generator) -> Callable[..., Engine]:
    """Make an engine with fan-out for the server at a port: four connections unless told."""
    return lambda port, **load: generator(port, **{"connections": 4, "fan_out": True, **load})


def test_a_publication_is_answered_when_all_others_have_it(serve: Serve, publishing: Generator) -> None:
    hub = Hub()
    engine = publishing(serve(hub))
    opened = engine.connect()
    assert (opened.connected, opened.errors) == (4, {})
    for _ in range(2):
        before = dict(hub.delivered)
        result = engine.trial(0.2)
        assert_adds_up(result)
        assert (result.errors, result.fault, result.stopped) == ({}, "", "")
        assert result.replied > 5
        assert (result.in_flight, result.late) == (1, 1)
        assert decode(result.latency).get_total_count() == result.sent
        assert {number: hub.delivered[number] - before[number] for number in range(4)} == {
            0: 0,
            **dict.fromkeys((1, 2, 3), result.sent),
        }


def test_the_depth_of_the_pipeline_is_publications_in_flight(serve: Serve, publishing: Generator) -> None:
    engine = publishing(serve(Hub()), pipeline_depth=7)
    engine.connect()
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert (result.errors, result.in_flight, result.late) == ({}, 7, 7)


@pytest.mark.parametrize("size", [1, 9, 100_000])
def test_messages_of_any_size_are_verified(serve: Serve, publishing: Generator, size: int) -> None:
    engine = publishing(serve(Hub(size)), size=size, pipeline_depth=2, grace_s=10)
    engine.connect()
    result = engine.trial(0.1)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.replied + result.late > 1


@pytest.mark.parametrize("process", ["constant", "poisson"])
def test_publications_are_due_in_an_open_loop(serve: Serve, publishing: Generator, process: str) -> None:
    engine = publishing(serve(Hub()), arrivals=Arrivals(process, 200), pipeline_depth=4, grace_s=10)
    engine.connect()
    result = engine.trial(0.3)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.loop == "open"
    assert result.due > 20
    assert decode(result.latency).get_total_count() == result.due


def test_the_publisher_may_think(serve: Serve, publishing: Generator) -> None:
    engine = publishing(serve(Hub()), think_time_s=0.01)
    engine.connect()
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert result.errors == {}
    assert 0 < result.sent <= 20


def test_latency_counts_until_the_last_has_it(serve: Serve, publishing: Generator) -> None:
    class OneIsLate(Hub):
        def deliver(self, connection: socket.socket, number: int, count: int, message: bytes) -> None:
            if number == 2:
                time.sleep(0.03)
            connection.sendall(message)

    engine = publishing(serve(OneIsLate()))
    engine.connect()
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert result.errors == {}
    assert decode(result.latency).get_min_value() >= 29_000_000


def test_deliveries_split_and_merged_are_put_together(serve: Serve, publishing: Generator) -> None:
    class Splits(Hub):
        held: dict[int, bytes] = {}  # noqa: RUF012

        def deliver(self, connection: socket.socket, number: int, count: int, message: bytes) -> None:
            data = self.held.pop(number, b"") + message
            if number == 1 and count % 2:
                self.held[number] = data
                return
            for at in range(0, len(data), 7 if number == 2 else len(data)):
                connection.sendall(data[at : at + 7] if number == 2 else data)

    engine = publishing(serve(Splits()), pipeline_depth=4)
    engine.connect()
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert set(result.errors) <= {"timed out"}  # the last may be held back for another that never comes
    assert result.replied > 4


class Spoils(Hub):
    """Spoils what one subscriber receives from its third delivery on."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.held = b""

    def deliver(self, connection: socket.socket, number: int, count: int, message: bytes) -> None:
        if number != 2 or count not in (3, 4):
            connection.sendall(message)
        elif self.kind == "dropped":
            connection.sendall(b"" if count == 3 else message)
        elif self.kind == "repeated":
            connection.sendall(2 * message)
        elif self.kind == "reordered":
            self.held, data = (message, b"") if count == 3 else (b"", message + self.held)
            connection.sendall(data)
        elif self.kind == "truncated":
            connection.sendall(message[:-1])
        else:
            connection.sendall(message[:20] + bytes([message[20] ^ 1]) + message[21:])


@pytest.mark.parametrize("kind", ["dropped", "repeated", "reordered", "truncated", "corrupted"])
def test_a_delivery_that_is_not_right_is_caught_and_the_others_go_on(
    serve: Serve, publishing: Generator, kind: str
) -> None:
    engine = publishing(serve(Spoils(kind)), pipeline_depth=4)
    engine.connect()
    result = engine.trial(0.3)
    assert_adds_up(result)
    assert set(result.errors) == {"wrong"}
    assert result.fault.startswith("connection 2")
    assert 1 <= result.failed + result.in_flight - result.late <= 4
    assert result.replied > 10
    assert result.stopped == ""


def test_a_delivery_that_never_comes_times_out(serve: Serve, publishing: Generator) -> None:
    engine = publishing(serve(Spoils("dropped")), grace_s=0.3)
    engine.connect()
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert result.errors == {"timed out": 1}
    assert (result.replied, result.in_flight) == (2, 1)
    mended = engine.trial(0.2)
    assert_adds_up(mended)
    assert mended.errors == {}
    assert mended.replied > 2


@pytest.mark.parametrize("connections", [2, 4])
def test_a_subscriber_that_breaks_fails_what_it_misses(serve: Serve, publishing: Generator, connections: int) -> None:
    class Breaks(Hub):
        def deliver(self, connection: socket.socket, number: int, count: int, message: bytes) -> None:
            if number == 1 and count == 3:
                connection.sendall(message[:10])
                end(connection)
            else:
                connection.sendall(message)

    engine = publishing(serve(Breaks()), connections=connections)
    engine.connect()
    result = engine.trial(0.3)
    assert_adds_up(result)
    assert result.errors == {"closed": 1}
    assert result.failed == 1
    if connections == 2:
        assert result.replied == 2
        assert result.stopped.startswith("nobody was left to send or to receive")
    else:
        assert result.replied > 10
        assert (result.in_flight, result.late, result.stopped) == (1, 1, "")
    mended = engine.trial(0.2)
    assert_adds_up(mended)
    assert mended.errors == {}
    assert mended.replied > 2


@pytest.mark.parametrize("way", ["closed", "given back its own"])
def test_a_trial_ends_when_the_publisher_breaks(serve: Serve, publishing: Generator, way: str) -> None:
    class BreaksThePublisher(Hub):
        def publish(self, message: bytes, publisher: int) -> None:
            super().publish(message, publisher)
            if self.delivered[1] == 3 and not self.spoilt:
                self.spoilt = True
                if way == "closed":
                    self.joined[publisher].shutdown(socket.SHUT_WR)
                    while True:  # what else has come is passed on to nobody, and read, or closing would be a reset
                        read_exactly(self.joined[publisher], self.size)
                self.joined[publisher].sendall(message)

    engine = publishing(serve(BreaksThePublisher()), pipeline_depth=2)
    engine.connect()
    began = time.monotonic()
    result = engine.trial(60)
    assert time.monotonic() - began < 30
    assert_adds_up(result)
    assert set(result.errors) == {"closed" if way == "closed" else "wrong"}
    assert result.stopped.startswith("nobody was left to send or to receive")
    assert ("nothing was owed" in result.fault) == (way != "closed")
    mended = engine.trial(0.2)
    assert_adds_up(mended)
    assert mended.errors == {}
    assert mended.replied > 2


def test_a_publisher_that_is_flooded_holds_up_the_next_trial_for_the_grace_only(
    serve: Serve, publishing: Generator
) -> None:
    class Floods(Hub):
        def publish(self, message: bytes, publisher: int) -> None:
            if self.delivered[1] == 3 and not self.spoilt:
                self.spoilt = True
                while True:  # until the generator closes it
                    self.joined[publisher].sendall(bytes(65536))
            super().publish(message, publisher)

    engine = publishing(serve(Floods()), grace_s=0.5)
    engine.connect()
    assert engine.trial(60).errors == {"wrong": 1}
    began = time.monotonic()
    mended = engine.trial(0.1)
    assert time.monotonic() - began < 10
    assert_adds_up(mended)
    assert (mended.errors, mended.fault) == ({}, "")
    assert mended.replied > 2


def test_what_a_former_publisher_has_sent_is_awaited_before_others_join(serve: Serve, publishing: Generator) -> None:
    released = threading.Event()

    class HoldsBack(Hub):
        def publish(self, message: bytes, publisher: int) -> None:
            if self.delivered[1] == 3:
                released.wait(30)
            super().publish(message, publisher)

    engine = publishing(serve(HoldsBack()), pipeline_depth=2, grace_s=1)
    engine.connect()
    assert engine.trial(0.1).errors == {"timed out": 2}
    timer = threading.Timer(0.2, released.set)
    timer.start()
    mended = engine.trial(0.1)
    timer.join()
    assert_adds_up(mended)
    assert (mended.errors, mended.fault) == ({}, "")
    assert mended.replied + mended.late > 2


def test_nobody_to_receive_ends_a_trial_at_once(serve: Serve, publishing: Generator) -> None:
    class LetsInOne(Hub):
        def __call__(self, connection: socket.socket, number: int) -> None:
            if number == 0:
                super().__call__(connection, number)

    engine = publishing(serve(LetsInOne()))
    assert engine.connect().connected == 1
    result = engine.trial(60)
    assert_adds_up(result)
    assert result.sent == 0
    assert result.stopped


def test_many_subscribers(serve: Serve, publishing: Generator) -> None:
    engine = publishing(serve(Hub()), connections=200, grace_s=30)
    assert engine.connect().connected == 200
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.replied + result.late > 1


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"connections": 1}, "connections must be at least 2"),
        ({"idle_connections": 1}, "idle_connections"),
        ({"slow_connections": 1, "slow_bytes_per_s": 1}, "slow_connections"),
        ({"requests_per_connection": 5}, "requests_per_connection"),
        ({"parts": 2}, "one generator"),
    ],
)
def test_a_load_without_fan_out_is_refused_in_words(load: dict[str, int], words: str) -> None:
    message = Message(bytes(8))
    with pytest.raises(ValueError, match=words):
        LoadSpec("127.0.0.1", 1, message, message, **{"connections": 4, "fan_out": True, **load})  # type: ignore[arg-type]

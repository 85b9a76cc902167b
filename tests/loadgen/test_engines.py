"""Both engines against good and bad servers: what is counted, what is caught, and that every trial ends."""

import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest
from loadgen_peers import SIZE, Behaviour, assert_adds_up, echo, read_exactly

from harness.loadgen.engines import Engine
from harness.loadgen.histogram import decode

Serve = Callable[[Behaviour], int]
Generator = Callable[..., Engine]


@pytest.fixture(params=["tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    """Both, one after the other."""
    name: str = request.param
    return name


def after_first(behave: Behaviour) -> Behaviour:
    """Answer the first request, which only proves the connection, and behave from then on."""

    def serve(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        behave(connection, number)

    return serve


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN (socket(7), SO_LINGER)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_an_echo_is_measured_without_errors(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo), connections=5, idle_connections=3)
    opened = engine.connect()
    assert (opened.connected, opened.idle, opened.errors, opened.fault) == (5, 3, {}, "")
    result = engine.trial(0.3)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.fault == result.stopped == ""
    assert result.loop == "closed"
    assert result.engine == engine.name
    assert result.replied > 0
    assert result.in_flight == result.late == 5
    assert result.duration_s == pytest.approx(0.3)
    assert len(result.slices) == 10
    assert result.cpu_s > 0


def test_every_reply_is_in_the_histogram_late_ones_too(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo))
    engine.connect()
    result = engine.trial(0.2)
    histogram = decode(result.latency)
    assert histogram.get_total_count() == result.replied + result.late
    assert 0 < histogram.get_min_value() <= histogram.get_max_value() < 10**10


def test_trials_of_a_live_cell_start_clean(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo), pipeline_depth=3)
    engine.connect()
    for _ in range(3):
        result = engine.trial(0.1)
        assert_adds_up(result)
        assert result.errors == {}
        assert decode(result.latency).get_total_count() == result.replied + result.late


def test_a_deep_pipeline_keeps_its_depth_in_flight(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo), connections=3, pipeline_depth=17)
    engine.connect()
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.in_flight == 3 * 17


@pytest.mark.parametrize("size", [1, 3, 8, 9, 1000])
def test_messages_of_any_size_are_verified(serve: Serve, generator: Generator, size: int) -> None:
    engine = generator(serve(echo), size=size, pipeline_depth=2)
    engine.connect()
    result = engine.trial(0.1)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.replied > 0


def test_messages_larger_than_every_buffer_go_out_and_come_in_pieces(serve: Serve, generator: Generator) -> None:
    size = 8_000_001  # the buffers of a loopback connection swallow 4 MiB at once

    def read_all_then_answer(connection: socket.socket, number: int) -> None:
        while True:
            connection.sendall(read_exactly_fast(connection, size))

    engine = generator(serve(read_all_then_answer), size=size, pipeline_depth=2, grace_s=30)
    assert engine.connect().connected == 2
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.replied + result.late >= 4


def read_exactly_fast(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        piece = connection.recv_into(view[got:])
        if not piece:
            raise OSError("the peer has ended")
        got += piece
    return data


def test_replies_split_byte_by_byte_are_put_together(serve: Serve, generator: Generator) -> None:
    def drip(connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            for byte in read_exactly(connection, SIZE):
                connection.send(bytes([byte]))

    engine = generator(serve(drip))
    engine.connect()
    result = engine.trial(0.3)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.replied > 0


def test_replies_merged_into_one_are_told_apart(serve: Serve, generator: Generator) -> None:
    def merge(connection: socket.socket, number: int) -> None:
        while True:
            connection.sendall(read_exactly(connection, 4 * SIZE))

    engine = generator(serve(after_first(merge)), pipeline_depth=4)
    engine.connect()
    result = engine.trial(0.2)
    assert_adds_up(result)
    assert set(result.errors) <= {"timed out"}  # the last replies may wait for a fourth request that never comes
    assert result.replied > 4


def test_a_wrong_byte_is_caught_and_quoted(serve: Serve, generator: Generator) -> None:
    def corrupt(connection: socket.socket, number: int) -> None:
        data = bytearray(read_exactly(connection, SIZE))
        data[40] ^= 0x01
        connection.sendall(data)
        connection.recv(1)

    engine = generator(serve(after_first(corrupt)), connections=1)
    assert engine.connect().connected == 1
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert result.errors == {"wrong": 1}
    assert result.failed == 1
    assert "connection 0, reply 2, byte 40: expected " in result.fault
    assert decode(result.latency).get_total_count() == 0


def test_replies_swapped_between_connections_are_caught(serve: Serve, generator: Generator) -> None:
    meeting = threading.Barrier(2, timeout=10)
    held: dict[int, bytes] = {}

    def swap(connection: socket.socket, number: int) -> None:
        held[number] = read_exactly(connection, SIZE)
        meeting.wait()
        connection.sendall(held[1 - number])
        connection.recv(1)

    engine = generator(serve(after_first(swap)))
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert result.errors == {"wrong": 2}
    assert result.replied == 0


def test_a_repeated_reply_is_caught(serve: Serve, generator: Generator) -> None:
    def repeat(connection: socket.socket, number: int) -> None:
        while True:
            connection.sendall(2 * read_exactly(connection, SIZE))

    engine = generator(serve(after_first(repeat)), connections=1)
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert result.errors == {"wrong": 1}
    assert result.replied == 1
    assert "nothing was owed" in result.fault


def test_replies_before_a_wrong_one_still_count(serve: Serve, generator: Generator) -> None:
    def third_is_wrong(connection: socket.socket, number: int) -> None:
        data = bytearray(read_exactly(connection, 4 * SIZE))
        data[2 * SIZE + 20] ^= 0xFF
        connection.sendall(data)
        connection.recv(1)

    engine = generator(serve(after_first(third_is_wrong)), connections=1, pipeline_depth=4)
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert (result.replied, result.failed) == (2, 2)
    assert result.in_flight == 0
    assert "reply 4, byte 20" in result.fault


def test_a_close_in_the_middle_of_a_reply_is_counted(serve: Serve, generator: Generator) -> None:
    def cut(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE)[:10])

    engine = generator(serve(after_first(cut)), connections=3)
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert result.errors == {"closed": 3}
    assert result.failed == 3


def test_a_reset_is_counted(serve: Serve, generator: Generator, transport: str) -> None:
    def break_off(connection: socket.socket, number: int) -> None:
        read_exactly(connection, SIZE)
        reset(connection)

    engine = generator(serve(after_first(break_off)), connections=1)
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    # Python's ssl before 3.11.9 may take a reset for an end (SSLEOFError).
    ended = (engine.name, transport) == ("portable", "tls") and "closed" in result.errors
    assert result.errors == {"closed" if ended else "reset": 1}


def test_a_trial_without_connections_left_ends_early_and_says_so(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(after_first(lambda connection, number: read_exactly(connection, SIZE) and None)))
    engine.connect()
    began = time.monotonic()
    result = engine.trial(60)
    assert time.monotonic() - began < 30
    assert_adds_up(result)
    assert result.stopped.startswith("no connection was left")
    assert result.duration_s < 30


def test_what_broke_is_opened_again_by_the_next_trial(serve: Serve, generator: Generator) -> None:
    def echo_twice_at_first(connection: socket.socket, number: int) -> None:
        if number < 2:
            for _ in range(2):
                connection.sendall(read_exactly(connection, SIZE))
        else:
            echo(connection, number)

    engine = generator(serve(echo_twice_at_first))
    engine.connect()
    broken = engine.trial(0.2)
    assert_adds_up(broken)
    assert set(broken.errors) <= {"closed", "reset"}
    assert broken.replied == 2
    mended = engine.trial(0.2)
    assert_adds_up(mended)
    assert mended.errors == {}
    assert mended.replied > 2


def test_other_connections_go_on_when_one_breaks(serve: Serve, generator: Generator) -> None:
    def first_breaks(connection: socket.socket, number: int) -> None:
        if number:
            echo(connection, number)
        else:
            read_exactly(connection, SIZE)

    engine = generator(serve(after_first(first_breaks)), connections=3)
    engine.connect()
    result = engine.trial(0.3)
    assert_adds_up(result)
    assert sum(result.errors.values()) == 1
    assert result.replied > 10
    assert result.in_flight == 2


def test_a_stall_times_out_within_the_grace(serve: Serve, generator: Generator) -> None:
    release = threading.Event()
    engine = generator(serve(after_first(lambda connection, number: release.wait(30) and None)), grace_s=0.3)
    engine.connect()
    began = time.monotonic()
    result = engine.trial(0.2)
    release.set()
    assert 0.5 <= time.monotonic() - began < 10
    assert_adds_up(result)
    assert result.errors == {"timed out": 2}
    assert (result.sent, result.in_flight, result.late) == (2, 2, 0)


def test_a_flood_is_a_wrong_reply_and_ends_only_its_connection(serve: Serve, generator: Generator) -> None:
    def flood(connection: socket.socket, number: int) -> None:
        while True:
            connection.sendall(bytes(1_000_000))

    engine = generator(serve(after_first(flood)))
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert set(result.errors) == {"wrong"}
    assert result.replied == 0
    assert result.fault


def test_a_refusal_is_counted_at_once(generator: Generator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    engine = generator(port, connections=3, idle_connections=1, grace_s=30)
    began = time.monotonic()
    opened = engine.connect()
    assert (opened.connected, opened.idle, opened.errors) == (0, 0, {"refused": 4})
    result = engine.trial(60)
    assert time.monotonic() - began < 20
    assert_adds_up(result)
    assert result.errors == {"refused": 4}
    assert result.sent == 0
    assert result.stopped


def test_a_server_that_never_answers_is_given_up_after_the_grace(serve: Serve, generator: Generator) -> None:
    release = threading.Event()
    engine = generator(serve(lambda connection, number: release.wait(30) and None), connections=3, grace_s=0.3)
    began = time.monotonic()
    opened = engine.connect()
    release.set()
    assert time.monotonic() - began < 10
    assert opened.connected == 0
    assert opened.errors == {"timed out": 3}


def test_an_idle_connection_that_is_closed_is_noticed(serve: Serve, generator: Generator) -> None:
    close_it = threading.Event()

    def close_the_idle_one(connection: socket.socket, number: int) -> None:
        if number == 2:
            connection.sendall(read_exactly(connection, SIZE))
            close_it.wait(30)
        else:
            echo(connection, number)

    engine = generator(serve(close_the_idle_one), connections=2, idle_connections=1)
    assert engine.connect().idle == 1
    threading.Timer(0.1, close_it.set).start()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert result.errors == {"closed": 1}
    assert result.failed == 0


def test_many_connections_are_opened_and_verified(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo), connections=10, idle_connections=290, grace_s=30)
    opened = engine.connect()
    assert (opened.connected, opened.idle, opened.errors) == (10, 290, {})


@pytest.mark.parametrize("call", ["connect", "trial"])
def test_the_end_of_the_control_socket_ends_everything(serve: Serve, generator: Generator, call: str) -> None:
    ours, theirs = socket.socketpair()
    release = threading.Event()
    port = serve(after_first(echo) if call == "trial" else lambda connection, number: release.wait(30) and None)
    with theirs:
        engine = generator(port, control_fd=theirs.fileno(), grace_s=30)
        if call == "trial":
            engine.connect()
        timer = threading.Timer(0.2, ours.close)
        timer.start()
        began = time.monotonic()
        if call == "trial":
            run_in_thread(lambda: engine.trial(60))
        else:
            run_in_thread(engine.connect)
        assert time.monotonic() - began < 20
        release.set()
        timer.join()


def run_in_thread(call: Callable[[], object]) -> None:
    with pytest.raises(EOFError):
        call()


def test_a_duration_that_is_none_is_refused(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo))
    for duration_s in (0.0, -1.0, 1e300, float("nan")):
        with pytest.raises(ValueError, match="duration_s"):
            engine.trial(duration_s)

"""Both engines in an open loop and with think time: latency counts from when a request was due, whatever delayed it."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from loadgen_peers import SIZE, Behaviour, assert_adds_up, echo, read_exactly

from harness.loadgen.engines import Engine
from harness.loadgen.histogram import decode
from harness.loadgen.schedule import due_times
from harness.loadgen.spec import Arrivals

Serve = Callable[[Behaviour], int]
Generator = Callable[..., Engine]


@pytest.fixture(params=["tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    """Both, one after the other."""
    name: str = request.param
    return name


PROCESSES = [
    Arrivals("constant", 200.0),
    Arrivals("poisson", 200.0, seed=3),
    Arrivals("bursts", 200.0, period_s=0.1, duty=0.5, seed=3),
]


def count_above(text: str, value_ns: int) -> int:
    histogram = decode(text)
    total: int = histogram.get_total_count()
    below: int = sum(
        item.count_added_in_this_iter_step
        for item in histogram.get_recorded_iterator()
        if item.value_iterated_to < value_ns
    )
    return total - below


@pytest.mark.parametrize("arrivals", PROCESSES, ids=lambda arrivals: arrivals.process)
def test_what_the_schedule_says_is_sent(serve: Serve, generator: Generator, arrivals: Arrivals) -> None:
    engine = generator(serve(echo), connections=4, arrivals=arrivals, grace_s=30)
    engine.connect()
    for trial in range(2):
        result = engine.trial(0.5)
        assert_adds_up(result)
        assert result.loop == "open"
        assert result.errors == {}
        assert result.due == len(due_times(arrivals, 0.5, trial))
        assert result.replied + result.late == result.due
        assert decode(result.latency).get_total_count() == result.due
        assert decode(result.slip).get_total_count() == result.due


def test_latency_counts_from_when_a_request_was_due(serve: Serve, generator: Generator) -> None:
    def stall_once(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        first = read_exactly(connection, SIZE)
        time.sleep(0.3)
        connection.sendall(first)
        echo(connection, number)

    engine = generator(serve(stall_once), connections=1, arrivals=Arrivals("constant", 100.0), grace_s=30)
    engine.connect()
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.due == result.replied + result.late == 50
    # Due at 0, 10, ... 190 ms, and the first reply came after 300 ms: each waited for 100 ms at least.
    assert count_above(result.latency, 100_000_000) >= 20
    # The generator was not to blame: it noticed every one of them in time, or the slip would hide the stall.
    assert decode(result.slip).get_value_at_percentile(50) < 100_000_000


def test_a_closed_loop_hides_the_same_stall(serve: Serve, generator: Generator) -> None:
    def stall_once(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        first = read_exactly(connection, SIZE)
        time.sleep(0.3)
        connection.sendall(first)
        echo(connection, number)

    engine = generator(serve(stall_once), connections=1)
    engine.connect()
    result = engine.trial(0.6)
    assert result.loop == "closed"
    assert result.slip == ""
    assert result.replied > 20
    assert count_above(result.latency, 290_000_000) >= 1
    assert count_above(result.latency, 100_000_000) < result.replied / 2


def test_requests_that_wait_are_sent_in_the_grace_and_counted_late(serve: Serve, generator: Generator) -> None:
    release = threading.Event()

    def wait(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        release.wait(30)
        echo(connection, number)

    engine = generator(serve(wait), connections=2, arrivals=Arrivals("constant", 100.0), grace_s=30)
    engine.connect()
    timer = threading.Timer(0.6, release.set)
    timer.start()
    result = engine.trial(0.3)
    timer.join()
    assert_adds_up(result)
    assert result.errors == {}
    assert (result.due, result.sent, result.replied, result.in_flight, result.waiting) == (30, 2, 0, 2, 28)
    assert result.late == 30
    assert decode(result.latency).get_min_value() >= 290_000_000


def test_requests_that_never_find_a_connection_are_counted(serve: Serve, generator: Generator) -> None:
    release = threading.Event()

    def stall(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        release.wait(30)

    engine = generator(serve(stall), connections=1, pipeline_depth=3, arrivals=Arrivals("constant", 100.0), grace_s=0.2)
    engine.connect()
    result = engine.trial(0.2)
    release.set()
    assert_adds_up(result)
    assert (result.due, result.sent, result.waiting, result.late) == (20, 3, 17, 0)
    assert result.errors == {"timed out": 20}


def test_free_connections_take_turns(serve: Serve, generator: Generator) -> None:
    requests: Counter[int] = Counter()

    def count(connection: socket.socket, number: int) -> None:
        while True:
            data = read_exactly(connection, SIZE)
            requests[number] += 1
            connection.sendall(data)

    engine = generator(serve(count), connections=4, arrivals=Arrivals("constant", 200.0), grace_s=30)
    engine.connect()
    requests.clear()
    result = engine.trial(0.4)
    assert result.due == 80
    assert sum(requests.values()) == 80
    assert min(requests.values()) >= 10


def test_the_rest_goes_on_when_a_connection_breaks(serve: Serve, generator: Generator) -> None:
    def first_breaks(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        if number:
            echo(connection, number)
        else:
            read_exactly(connection, SIZE)

    engine = generator(serve(first_breaks), connections=3, arrivals=Arrivals("constant", 100.0), grace_s=30)
    engine.connect()
    result = engine.trial(0.4)
    assert_adds_up(result)
    assert sum(result.errors.values()) == result.failed == 1
    assert result.replied + result.late == 39


def test_a_rate_beyond_reach_still_ends_in_time_and_shows_it(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo), connections=4, arrivals=Arrivals("constant", 1e6), grace_s=0.2)
    engine.connect()
    began = time.monotonic()
    result = engine.trial(0.2)
    assert time.monotonic() - began < 30
    assert_adds_up(result)
    assert result.due == 200_000
    assert result.waiting > 0
    assert result.errors["timed out"] > 0
    assert result.replied < 200_000


def test_the_same_trial_after_an_overload_starts_clean(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo), connections=2, arrivals=Arrivals("constant", 1e6), grace_s=0.1)
    engine.connect()
    engine.trial(0.1)
    second = engine.trial(0.1)
    assert_adds_up(second)
    assert second.fault == ""
    assert set(second.errors) == {"timed out"}


def test_think_time_passes_between_a_reply_and_the_next_request(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo), connections=3, think_time_s=0.1, grace_s=30)
    engine.connect()
    for _ in range(2):
        result = engine.trial(0.5)
        assert_adds_up(result)
        assert result.errors == {}
        assert result.loop == "closed"
        assert 3 <= result.sent <= 3 * 5  # each at 0 to 0.1 s, and then at best every 0.1 s
        assert decode(result.slip).get_total_count() == result.sent
        assert decode(result.latency).get_total_count() == result.replied + result.late


def test_connections_that_think_do_not_start_in_step(serve: Serve, generator: Generator) -> None:
    arrived: list[float] = []

    def note(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        data = read_exactly(connection, SIZE)
        arrived.append(time.monotonic())
        connection.sendall(data)
        echo(connection, number)

    engine = generator(serve(note), connections=5, think_time_s=0.5, grace_s=30)
    engine.connect()
    result = engine.trial(0.49)
    assert result.sent == len(arrived) == 5
    assert max(arrived) - min(arrived) > 0.2


def test_who_thinks_when_the_window_ends_sends_no_more(serve: Serve, generator: Generator) -> None:
    requests: Counter[int] = Counter()

    def first_is_slow(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        while True:
            data = read_exactly(connection, SIZE)
            requests[number] += 1
            time.sleep(0.0 if number else 0.8)
            connection.sendall(data)

    engine = generator(serve(first_is_slow), connections=2, think_time_s=0.1, grace_s=30)
    engine.connect()
    result = engine.trial(0.3)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.late >= 1
    assert sum(requests.values()) == result.sent


def test_sleeping_costs_less_than_spinning(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo), connections=1, arrivals=Arrivals("constant", 10.0), grace_s=30)
    engine.connect()
    result = engine.trial(0.5)
    assert result.errors == {}
    assert 0 <= result.spun_s <= 0.5
    assert result.cpu_s < 0.25


@pytest.mark.parametrize(
    "pace",
    [{}, {"think_time_s": 0.05}, {"arrivals": Arrivals("constant", 10.0)}],
    ids=["closed", "thinking", "open"],
)
def test_who_never_sleeps_counts_the_same(serve: Serve, generator: Generator, pace: dict[str, Any]) -> None:
    engine = generator(serve(echo), connections=2, busy_wait=True, grace_s=30, **pace)
    engine.connect()
    began = time.monotonic()
    result = engine.trial(0.5)
    took_s = time.monotonic() - began  # on a busy machine the last wait ends late
    assert_adds_up(result)
    assert result.errors == {}
    assert result.replied > 0
    if pace:  # hardly anything to do
        assert 0.25 < result.spun_s <= took_s


def test_think_time_goes_on_after_all_connections_waited_for_replies_at_once(
    serve: Serve, generator: Generator
) -> None:
    def slow(connection: socket.socket, number: int) -> None:
        while data := read_exactly(connection, SIZE):
            time.sleep(0.03)
            connection.sendall(data)

    engine = generator(serve(slow), connections=1, think_time_s=0.02, grace_s=30)
    engine.connect()
    result = engine.trial(1.0)
    assert_adds_up(result)
    assert result.errors == {}
    assert result.sent > 1

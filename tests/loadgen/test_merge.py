"""Several generators as one: nothing is lost or counted twice."""

import socket
import threading
from collections.abc import Callable

import pytest
from loadgen_peers import SIZE, assert_adds_up, echo

from harness.loadgen.engines import make_engine
from harness.loadgen.histogram import COUNTS, decode, encode_counts, index_of
from harness.loadgen.merge import merge, share_out
from harness.loadgen.schedule import due_times
from harness.loadgen.spec import Arrivals, LoadSpec, TrialResult, sequence_offset
from scenarios.exchanges.echo import conversation

TALK = conversation(SIZE)


def histogram(*times_ns: int) -> str:
    counts = [0] * COUNTS
    for time_ns in times_ns:
        counts[index_of(time_ns)] += 1
    return encode_counts(counts)


def result(**values: object) -> TrialResult:
    plain = {
        "engine": "native", "loop": "closed", "duration_s": 1.0, "sent": 0, "replied": 0, "failed": 0, "in_flight": 0,
        "late": 0, "errors": {}, "latency": histogram(), "slices": [0] * 10,
    }  # fmt: skip
    return TrialResult(**{**plain, **values})  # type: ignore[arg-type]


def test_counts_histograms_and_cpu_times_are_added() -> None:
    one = result(
        sent=10, replied=7, failed=1, in_flight=2, late=1, errors={"reset": 1}, latency=histogram(5, 70_000, 10**9),
        slices=[1] * 10, cpu_s=0.5, due=11, waiting=1, slip=histogram(3), spun_s=0.1, opened=2,
        connection_time=histogram(9), slow_replied=4, duration_s=1.0,
    )  # fmt: skip
    two = result(
        sent=20, replied=15, failed=2, in_flight=3, late=2, errors={"reset": 2, "wrong": 1}, latency=histogram(5, 6),
        slices=[2] * 10, cpu_s=0.75, due=22, waiting=2, slip=histogram(4), spun_s=0.2, opened=3, fault="words",
        connection_time=histogram(9), slow_replied=5, duration_s=1.25, stopped="why",
    )  # fmt: skip
    both = merge([one, two])
    assert both == result(
        sent=30, replied=22, failed=3, in_flight=5, late=3, errors={"reset": 3, "wrong": 1},
        latency=histogram(5, 5, 6, 70_000, 10**9), slices=[3] * 10, cpu_s=1.25, due=33, waiting=3,
        slip=histogram(3, 4), spun_s=pytest.approx(0.3), opened=5, fault="words", connection_time=histogram(9, 9),
        slow_replied=9, duration_s=1.25, stopped="why", processes=2,
    )  # fmt: skip


def test_one_result_stays_as_it_is_and_merging_again_counts_on() -> None:
    one = result(latency=histogram(1, 2, 3))
    assert merge([one]) == one
    assert merge([merge([one, one]), one]).processes == 3
    assert merge([one, one]).slip == ""


@pytest.mark.parametrize("other", [{"engine": "portable"}, {"loop": "open"}, {"slices": [0]}])
def test_what_cannot_be_merged_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cannot be merged"):
        merge([result(), result(**other)])
    with pytest.raises(ValueError, match="no result"):
        merge([])


def load(**values: object) -> LoadSpec:
    return LoadSpec("127.0.0.1", 1, TALK.request, TALK.reply, **{"connections": 10, **values})  # type: ignore[arg-type]


def test_a_load_is_shared_out_whole() -> None:
    whole = load(idle_connections=5, slow_connections=2, slow_bytes_per_s=10, connections_per_s=30.0)
    shares = share_out(whole, 3)
    assert [share.connections for share in shares] == [4, 3, 3]
    assert [share.idle_connections for share in shares] == [2, 2, 1]
    assert [share.slow_connections for share in shares] == [1, 1, 0]
    assert sum(share.connections_per_s for share in shares) == pytest.approx(30.0)
    numbers = [
        share.first_connection + place
        for share in shares
        for place in range(share.connections + share.idle_connections + share.slow_connections)
    ]
    assert numbers == list(range(17))
    assert len({sequence_offset(number) for number in numbers}) == 17


@pytest.mark.parametrize("processes", [0, 11])
def test_more_generators_than_connections_are_refused(processes: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        share_out(load(), processes)


def test_generators_that_share_a_load_follow_its_schedule(serve: Callable[..., int], engine_name: str) -> None:
    sequences: list[bytes] = []

    def note(connection: socket.socket, number: int) -> None:
        while data := connection.recv(SIZE, socket.MSG_WAITALL):
            sequences.append(data[:8])
            connection.sendall(data)

    arrivals = Arrivals("poisson", 300.0, seed=5)
    whole = LoadSpec("127.0.0.1", serve(note), TALK.request, TALK.reply, 5, arrivals=arrivals, grace_s=30)
    engines = [make_engine(engine_name, share) for share in share_out(whole, 2)]
    results: list[TrialResult] = []

    def measure(place: int) -> None:
        engines[place].connect()
        results.append(engines[place].trial(0.4))

    threads = [threading.Thread(target=measure, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for engine in engines:
        engine.close()
    both = merge(results)
    assert_adds_up(both)
    assert both.errors == {}
    assert both.due == len(due_times(arrivals, 0.4)) == decode(both.latency).get_total_count()
    assert abs(results[0].due - results[1].due) <= 1
    assert len(set(sequences)) == len(sequences) == both.due + 5


def test_a_share_alone_is_measured_like_any_load(serve: Callable[..., int], engine_name: str) -> None:
    whole = LoadSpec("127.0.0.1", serve(echo), TALK.request, TALK.reply, 4)
    engine = make_engine(engine_name, share_out(whole, 2)[1])
    assert engine.connect().connected == 2
    engine.close()

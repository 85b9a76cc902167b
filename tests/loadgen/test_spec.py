"""Specifications and results survive their way through JSON, and contradictions are refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.loadgen.spec import MAX_RATE_RPS, Arrivals, ConnectResult, LoadSpec, TrialResult, sequence_offset
from scenarios.session import Message

counts = st.integers(min_value=0, max_value=2**53)
seconds = st.floats(min_value=0, max_value=1e6)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    data = draw(st.binary(min_size=1, max_size=100))
    width = draw(st.integers(0, min(8, len(data))))
    return Message(data, draw(st.integers(0, len(data) - width)), width)


arrivals = st.one_of(
    st.just(Arrivals()),
    st.builds(
        Arrivals,
        process=st.sampled_from(["constant", "poisson"]),
        rate_rps=st.floats(0.001, MAX_RATE_RPS),
        seed=st.integers(),
    ),
    st.builds(
        Arrivals,
        process=st.just("bursts"),
        rate_rps=st.floats(0.001, MAX_RATE_RPS),
        period_s=st.floats(0.001, 100),
        duty=st.floats(0.001, 1),
    ),
)


@settings(deadline=None)  # the machine may be busy
@given(
    st.builds(
        LoadSpec,
        host=st.sampled_from(["127.0.0.1", "::1"]),
        port=st.integers(1, 65535),
        request=messages(),
        reply=messages(),
        connections=st.integers(1, 100_000),
        idle_connections=st.integers(0, 100_000),
        pipeline_depth=st.integers(1, 1000),
        grace_s=seconds,
        arrivals=arrivals,
    )
)
def test_a_spec_comes_back_from_json_as_it_was(spec: LoadSpec) -> None:
    assert LoadSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@settings(deadline=None)  # the machine may be busy
@given(
    st.builds(
        TrialResult,
        engine=st.sampled_from(["native", "portable"]),
        loop=st.sampled_from(["open", "closed"]),
        duration_s=seconds,
        sent=counts,
        replied=counts,
        failed=counts,
        in_flight=counts,
        late=counts,
        errors=st.dictionaries(st.text(), counts),
        latency=st.text(),
        slices=st.lists(counts),
        cpu_s=seconds,
        fault=st.text(),
    )
)
def test_a_result_comes_back_from_json_as_it_was(result: TrialResult) -> None:
    assert TrialResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_connect_result_is_json() -> None:
    assert ConnectResult(1, 2, {"reset": 3}, "words").to_json() == {
        "connected": 1,
        "idle": 2,
        "errors": {"reset": 3},
        "fault": "words",
        "slow": 0,
        "connection_time": "",
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"process": "sometimes"}, "closed, constant, poisson, bursts"),
        ({"rate_rps": 5.0}, "a closed loop has no rate"),
        ({"process": "poisson"}, "rate_rps is 0"),
        ({"process": "poisson", "rate_rps": -1.0}, "rate_rps is -1"),
        ({"process": "poisson", "rate_rps": float("nan")}, "rate_rps is nan"),
        ({"process": "poisson", "rate_rps": 1e300}, r"rate_rps is 1e\+300"),
        ({"process": "bursts", "rate_rps": 1.0, "duty": 0.5}, "period_s is 0"),
        ({"process": "bursts", "rate_rps": 1.0, "period_s": 1.0, "duty": 1.5}, "duty is 1.5"),
        ({"process": "constant", "rate_rps": 1.0, "period_s": 1.0}, "belong to bursts"),
    ],
)
def test_arrivals_that_contradict_themselves_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Arrivals(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"connections": 0}, "connections is 0"),
        ({"idle_connections": -1}, "idle_connections is -1"),
        ({"pipeline_depth": 0}, "pipeline_depth is 0"),
        ({"grace_s": -1.0}, "grace_s is -1"),
        ({"think_time_s": float("nan")}, "think_time_s is nan"),
        ({"request": Message(bytes(8), framing="http")}, "framing of a request"),
        ({"requests_per_connection": -1}, "requests_per_connection is -1"),
        ({"half_close": True}, "needs requests_per_connection"),
        ({"connections_per_s": float("nan")}, "connections_per_s is nan"),
        ({"connections_per_s": -1.0}, "connections_per_s is -1"),
        ({"slow_connections": -1}, "slow_connections is -1"),
        ({"slow_connections": 1}, "belong together"),
        ({"slow_bytes_per_s": 1}, "belong together"),
        ({"host": "unix:/tmp/x"}, "port is 1"),
        ({"host": "unix:", "port": 0}, "1 to 107 bytes"),
        ({"host": "unix:/" + "x" * 107, "port": 0}, "1 to 107 bytes"),
        ({"think_time_s": 1.0, "arrivals": Arrivals("constant", 5.0)}, "belongs to a closed loop"),
    ],
)
def test_loads_that_contradict_themselves_are_refused(values: dict[str, object], words: str) -> None:
    message = Message(bytes(8))
    with pytest.raises(ValueError, match=words):
        LoadSpec(**{"host": "127.0.0.1", "port": 1, "request": message, "reply": message, "connections": 1, **values})  # type: ignore[arg-type]


def test_connections_never_share_a_sequence_number() -> None:
    offsets = sorted(sequence_offset(connection) for connection in range(65_536))
    gaps = [after - before for before, after in zip(offsets, [*offsets[1:], offsets[0] + 2**64], strict=True)]
    assert min(gaps) > 2**46


def test_neighbouring_connections_differ_even_in_a_single_byte() -> None:
    assert len({sequence_offset(connection) % 256 for connection in range(256)}) == 256

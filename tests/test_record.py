"""A record comes back as it was, or is refused in words."""

import copy
import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import record as record_module
from harness.loadgen.spec import TrialResult
from harness.record import SCHEMA, Record, RecordError, ServerUsage, Verdict
from tests.records import record as usable_record

counts = st.integers(0, 2**53)
seconds = st.floats(0, 1e6)
texts = st.text(max_size=20)

results = st.builds(
    TrialResult,
    engine=texts,
    loop=st.sampled_from(["closed", "open"]),
    duration_s=seconds,
    sent=counts,
    replied=counts,
    failed=counts,
    in_flight=counts,
    late=counts,
    errors=st.dictionaries(texts, counts, max_size=3),
    latency=texts,
    slices=st.lists(counts, max_size=10),
    cpu_s=seconds,
    fault=texts,
    due=counts,
    waiting=counts,
    slip=texts,
    spun_s=seconds,
    stopped=texts,
)
usages = st.builds(
    ServerUsage,
    cpu_s=seconds,
    user_s=seconds,
    system_s=seconds,
    rss_bytes=counts,
    rss_start_bytes=counts,
    threads=counts,
    voluntary_switches=counts,
    involuntary_switches=counts,
)
records = st.builds(
    Record,
    run=texts,
    scenario=texts,
    exchange=texts,
    backend=texts,
    label=texts,
    family=texts,
    workers=counts,
    options=st.dictionaries(texts, counts | seconds | texts, max_size=3),
    packages=st.dictionaries(texts, texts, max_size=2),
    interpreter=texts,
    point=st.dictionaries(texts.filter(lambda axis: axis != "transport"), counts, max_size=4)
    | st.fixed_dictionaries({"connections": counts, "transport": texts}),
    round=st.integers(-1, 1000),
    started=texts,
    result=st.none() | results,
    server=st.none() | usages,
    verdicts=st.lists(st.builds(Verdict, kind=texts, reason=texts), max_size=3).map(tuple),
    load_average=seconds,
    steal_s=seconds,
)


@given(records)
def test_a_record_survives_the_way_through_json(record: Record) -> None:
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


@given(
    st.recursive(
        st.none() | st.booleans() | counts | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
    )
)
def test_anything_else_is_refused_in_words(raw: object) -> None:
    with pytest.raises(RecordError):
        Record.from_json(raw)


def test_a_newer_schema_is_refused_with_the_way_out() -> None:
    with pytest.raises(RecordError, match=r"newer.*upgrade"):
        Record.from_json({**usable_record().to_json(), "schema": SCHEMA + 1})


def edited(path: tuple[str, ...], value: object) -> dict[str, Any]:
    """A record in which one thing was changed by hand."""
    raw: dict[str, Any] = copy.deepcopy(WHOLE)
    place = raw
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return raw


WHOLE = json.loads(json.dumps(usable_record(verdicts=(Verdict("unsteady", "x"),)).to_json()))
PLACES = [(name,) for name in WHOLE] + [(part, name) for part in ("result", "server") for name in WHOLE[part]]


def read_or_refused(raw: object) -> Record | str:
    """What a record reads as, or the words that refuse it."""
    try:
        return Record.from_json(raw)
    except RecordError as fault:
        return str(fault)


@pytest.mark.parametrize("path", PLACES, ids=".".join)
@settings(max_examples=30)  # in each of some fifty places
@given(value=st.none() | st.booleans() | st.floats() | texts | st.lists(st.none()) | st.just({"x": [1]}))
def test_whatever_stands_in_a_place_is_of_its_type_or_refused(path: tuple[str, ...], value: object) -> None:
    found = read_or_refused(edited(path, value))
    if isinstance(found, Record):
        assert read_or_refused(found.to_json()) == found
    else:
        assert found.startswith("damaged record: ") or path == ("schema",)


@pytest.mark.parametrize("point", [{"connections": "many"}, {"transport": 1}, {"transport": True}, {"rate": 1.5}])
def test_axes_are_whole_numbers_and_the_transport_is_a_text(point: dict[str, object]) -> None:
    assert isinstance(read_or_refused(edited(("point",), point)), str)
    assert isinstance(read_or_refused(edited(("point",), {"connections": 1, "transport": "unix"})), Record)


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None, True, [1.0], 10**400])
def test_a_time_must_be_a_finite_number(value: object) -> None:
    with pytest.raises(RecordError, match="duration_s"):
        Record.from_json(edited(("result", "duration_s"), value))


def has_default(path: tuple[str, ...]) -> bool:
    kind = {"result": TrialResult, "server": ServerUsage}[path[0]] if len(path) > 1 else Record
    [field] = [field for field in dataclasses.fields(kind) if field.name == path[-1]]
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


@pytest.mark.parametrize("value", [10**400, 2**63, -(2**63), 1.0, True, "1", None])
def test_a_count_must_be_a_whole_number_that_tables_can_hold(value: object) -> None:
    with pytest.raises(RecordError, match="replied"):
        Record.from_json(edited(("result", "replied"), value))


@pytest.mark.parametrize("path", PLACES[1:], ids=".".join)
def test_a_missing_field_is_named_unless_it_has_a_default(path: tuple[str, ...]) -> None:
    raw = edited(path, None)
    place = raw[path[0]] if len(path) > 1 else raw
    del place[path[-1]]
    found = read_or_refused(raw)
    if not has_default(path):
        assert isinstance(found, str)
        assert path[-1] in found
    else:
        assert isinstance(found, Record)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(RecordError, match="colour"):
        Record.from_json(edited(("result", "colour"), 1))


@pytest.mark.parametrize("schema", [0, -1, True, 1.0, "1", None])
def test_a_schema_is_a_number_from_1_on(schema: object) -> None:
    with pytest.raises(RecordError, match="not a record"):
        Record.from_json(edited(("schema",), schema))


def test_an_older_schema_is_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "SCHEMA", 3)
    steps = {
        1: lambda raw: {**raw, "between": raw["old_name"]},
        2: lambda raw: {
            **{key: value for key, value in raw.items() if key not in ("old_name", "between")},
            "backend": raw["between"],
        },
    }
    monkeypatch.setattr(record_module, "UPGRADES", steps)
    old = {key: value for key, value in WHOLE.items() if key != "backend"}
    assert Record.from_json({**old, "schema": 1, "old_name": "epoll"}).backend == "epoll"
    with pytest.raises(RecordError, match="old_name"):
        Record.from_json({**old, "schema": 1})

"""Planning: which cells there are, and which are refused before anything starts."""

import dataclasses
from pathlib import Path

import pytest

from backends.contract import Traits
from backends.find import Backend, find_backends
from harness.launch import prepare
from harness.machine import most_waiting
from harness.plan import MOST_READ, Candidate, PlanError, choose_backends, choose_forms, make_plan
from harness.scenario import Load, Scenario, ServiceConditions

MINE = 'TRAITS = {"name": "mine", "family": "readiness", "summary": "s"}\ndef serve(server): ...\n'


def candidate(**limits: object) -> Candidate:
    return Candidate(Backend(Traits("some", "readiness", "s", **limits), Path("some.py")), {}, "")  # type: ignore[arg-type]


def scenario(connections: list[int], idle: int = 0) -> Scenario:
    load = Load(connections=connections, idle_connections=idle)  # type: ignore[arg-type]
    return Scenario(name="s", summary="s", exchange="echo", load=load)


def refusals(plan_for: Candidate, connections: list[int], idle: int = 0, descriptors: int = 100_000) -> list[str]:
    plan = make_plan(scenario(connections, idle), [plan_for], descriptors)
    return [cell.refusal for cells in plan.cells.values() for cell in cells]


def test_a_backend_without_limits_is_measured_everywhere() -> None:
    assert refusals(candidate(), [1, 10_000]) == ["", ""]


def test_descriptors_above_fd_setsize_are_refused_with_the_reason() -> None:
    fine, refused = refusals(candidate(max_descriptors=1024), [900, 1000], idle=50)
    assert fine == ""
    assert "1,024" in refused


def test_more_connections_than_a_backend_can_serve_are_refused() -> None:
    assert ["at most 100" in words for words in refusals(candidate(max_connections=100), [100, 101])] == [False, True]


def test_a_transport_is_refused_for_backends_that_do_not_serve_it() -> None:
    load = Load(transport=["tcp", "unix"])  # type: ignore[arg-type]
    asked = Scenario(name="s", summary="s", exchange="echo", load=load)
    cells = make_plan(asked, [candidate(transports=("tcp",)), candidate()], 1000).cells.values()
    assert [[cell.refusal for cell in at_point] for at_point in cells] == [
        ["", ""],
        ["some serves tcp only, not unix", ""],
    ]


def fan_out_refusals(plan_for: Candidate, **load: object) -> list[str]:
    asked = Scenario(name="s", summary="s", exchange="broadcast", load=Load(**{"connections": 10, **load}))  # type: ignore[arg-type]
    return [cell.refusal for cells in make_plan(asked, [plan_for], 100_000).cells.values() for cell in cells]


def test_fan_out_needs_a_backend_that_declares_notify() -> None:
    assert fan_out_refusals(candidate(notify=True)) == [""]
    assert fan_out_refusals(candidate()) == [
        "some does not declare notify, so it cannot send unasked as broadcast does"
    ]


def test_fan_out_needs_somebody_to_receive() -> None:
    alone, two = fan_out_refusals(candidate(notify=True), connections=[1, 2])
    assert "at least 2" in alone
    assert two == ""


@pytest.mark.parametrize(
    "load",
    [{"idle_connections": 5}, {"slow_connections": 5, "slow_rate": 100}, {"requests_per_connection": 5}],
    ids=lambda load: next(iter(load)),
)
def test_fan_out_is_refused_beside_what_only_replies_make_sense_for(load: dict[str, int]) -> None:
    (words,) = fan_out_refusals(candidate(notify=True), **load)
    assert words.startswith(f"{next(iter(load))} is 5, must be 0")


def test_fan_out_reaches_one_process_only() -> None:
    (words,) = fan_out_refusals(dataclasses.replace(candidate(notify=True), workers=2))
    assert "leave workers out" in words
    asked = Scenario(name="s", summary="s", exchange="broadcast", load=Load(connections=10))  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="one generator"):
        prepare(asked, [candidate(notify=True)], generators=2)


def test_replies_that_there_are_none_of_cannot_be_delayed() -> None:
    conditions = ServiceConditions(reply_delay="1 ms")  # type: ignore[arg-type]
    asked = Scenario(
        name="s",
        summary="s",
        exchange="broadcast",
        load=Load(connections=2),
        conditions=conditions,  # type: ignore[arg-type]
    )
    ((cell,),) = make_plan(asked, [candidate(notify=True)], 1000).cells.values()
    assert "no replies to delay" in cell.refusal


def test_too_low_a_descriptor_limit_is_refused_with_the_number_needed() -> None:
    (words,) = refusals(candidate(), [1000], descriptors=1000)
    assert "1,032" in words
    assert "ulimit -Hn" in words


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(PlanError, match="muxbench list"):
        make_plan(scenario([1]), [], 1000)


def test_an_unknown_backend_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(PlanError, match="did you mean epoll"):
        choose_backends(["epol"])


def test_a_file_is_a_backend_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    assert list(choose_backends(["epoll", str(file)])) == ["epoll", "mine"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "No such file"),
        ("def serve(:", "invalid syntax"),
        ("TRAITS = {}", "no function serve"),
        ("def serve(server): ...", "no dictionary TRAITS"),
        ("TRAITS = dict()\ndef serve(server): ...", "literal"),
        (MINE.replace("readiness", "magic"), "must be one of blocking"),
        (MINE.replace('"family"', '"famly"'), "unknown key 'famly'"),
        (MINE.replace('"s"', "3"), "'summary'"),
        (MINE.replace('"s"', '"s", "max_connections": "many"'), "'max_connections'"),
        (MINE.replace('"s"', '"s", "notify": "yes"'), "'notify'"),
    ],
)
def test_a_file_that_is_no_backend_is_refused_with_its_name(tmp_path: Path, source: str | None, words: str) -> None:
    file = tmp_path / "mine.py"
    if source is not None:
        file.write_text(source)
    with pytest.raises(PlanError) as refused:
        choose_backends([str(file)])
    assert str(file) in str(refused.value)
    assert words in str(refused.value)


def test_two_backends_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace("mine", "epoll"))
    with pytest.raises(PlanError, match="both called 'epoll'"):
        choose_backends(["epoll", str(file)])


def test_every_candidate_is_measured_in_every_form_that_applies_to_it() -> None:
    plain, adjustable = candidate(), candidate(options={"pool": 8})  # type: ignore[arg-type]
    forms = choose_forms([plain, adjustable], [1, 2], {"pool": ["4", "16"]})
    assert [form.label for form in forms] == [
        "some",
        "some x2",
        "some pool=4",
        "some x2 pool=4",
        "some pool=16",
        "some x2 pool=16",
    ]
    assert forms[2].options == {"pool": 4}


def test_another_interpreter_is_part_of_what_a_backend_is_called() -> None:
    one = Candidate(candidate().backend, {}, "", python="/opt/python", interpreter="CPython 3.13.0")
    assert one.label == "some @3.13.0"


@pytest.mark.parametrize(
    ("name", "text", "words"), [("pol", "4", "did you mean pool"), ("pool", "four", "'four' is no int")]
)
def test_an_option_that_cannot_be_is_refused_in_words(name: str, text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        choose_forms([candidate(options={"pool": 8})], [1], {name: [text]})  # type: ignore[arg-type]


COMMON = {"backlog": 4096, "read_size": 65536}


@pytest.mark.parametrize("name", COMMON)
@pytest.mark.parametrize(
    ("text", "words"),
    [("0", "is 0, must be 1 to"), ("-1", "is -1, must be 1 to"), ("1000000000", "must be 1 to"), ("x", "is no int")],
)
def test_a_read_size_or_backlog_that_cannot_be_is_refused_in_one_line(name: str, text: str, words: str) -> None:
    with pytest.raises(PlanError, match=f"^option {name}.*{words}.*$") as refused:
        choose_forms([candidate(options=COMMON)], [1], {name: [text]})
    assert "\n" not in str(refused.value)


def test_read_size_and_backlog_are_taken_up_to_their_limits() -> None:
    most = {"backlog": [str(most_waiting())], "read_size": [str(MOST_READ)]}
    forms = choose_forms([candidate(options=COMMON)], [1], most)
    assert [form.options for form in forms] == [{"backlog": most_waiting(), "read_size": MOST_READ}]


def test_every_backend_whose_listener_is_handed_to_it_has_a_backlog_and_external_servers_have_none() -> None:
    assert {"backlog" in each.traits.options for each in find_backends().values() if each.program is None} == {True}
    assert {"backlog" in each.traits.options for each in find_backends().values() if each.program} == {False}

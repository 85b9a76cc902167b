"""Cells of two runs are matched, and limits are broken only by more than chance."""

from dataclasses import replace

import pytest

from harness.compare_runs import Change, Limit, LimitError, changes, environment_changes, only_in_one, to_markdown
from harness.report.frame import tabulate
from tests.records import rounds

BASE = [100_000.0, 101_000.0, 99_000.0, 100_500.0, 99_500.0, 100_200.0]


def scaled(factor: float) -> list[float]:
    return [factor * value for value in BASE]


def throughput(factor: float) -> Change:
    found = changes(tabulate(rounds("epoll", BASE)), tabulate(rounds("epoll", scaled(factor))))
    return next(change for change in found if change.metric == "throughput")


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, "worse"), (1.0, "undecided"), (1.1, "better")])
def test_a_ratio_is_later_over_earlier(factor: float, verdict: str) -> None:
    change = throughput(factor)
    assert change.ratio == pytest.approx(factor, rel=0.01)
    assert change.low <= change.ratio <= change.high
    assert change.verdict == verdict


@pytest.mark.parametrize(("factor", "broken"), [(0.9, True), (0.985, False), (1.2, False)])
def test_a_limit_is_broken_beyond_its_ratio_only(factor: float, broken: bool) -> None:
    assert Limit.parse("throughput < 0.97").broken_by(throughput(factor)) is broken


def test_noise_breaks_no_limit() -> None:
    noisy = [60_000.0, 150_000.0, 90_000.0, 95_000.0, 140_000.0, 70_000.0]
    found = changes(tabulate(rounds("epoll", BASE)), tabulate(rounds("epoll", noisy)))
    assert not any(Limit.parse("throughput < 0.99").broken_by(change) for change in found)


@pytest.mark.parametrize("text", ["", "throughput", "speed < 1", "throughput <= 1", "throughput < fast"])
def test_what_is_no_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(LimitError, match="such as"):
        Limit.parse(text)


def test_cells_of_one_run_only_are_named() -> None:
    before, after = tabulate(rounds("epoll", BASE)), tabulate(rounds("poll", BASE))
    assert changes(before, after) == []
    assert only_in_one(before, after) == ["only in the earlier run: epoll", "only in the later run: poll"]


def test_runs_with_and_without_a_transport_axis_are_matched() -> None:
    both = [
        *rounds("epoll", BASE),
        *(replace(each, point={**each.point, "transport": "unix"}) for each in rounds("epoll", BASE)),
    ]
    before, after = tabulate(rounds("epoll", BASE)), tabulate(both)
    assert len({change.cell for change in changes(before, after)}) == 1
    [other] = only_in_one(before, after)
    assert "unix" in other
    assert "transport unix" in changes(after, after)[-1].cell


def test_changes_of_the_environment_are_listed_and_what_always_changes_is_not() -> None:
    before = {"machine": {"kernel": "6.1", "load_average": [1.0]}, "muxbench": {"commit": "a"}}
    after = {"machine": {"kernel": "6.2", "load_average": [2.0]}, "muxbench": {"commit": "a"}}
    assert environment_changes(before, after) == ["machine.kernel: 6.1 -> 6.2"]


def test_the_table_for_a_pull_request_escapes_names() -> None:
    found = changes(tabulate(rounds("<b>|x", BASE)), tabulate(rounds("<b>|x", scaled(0.5))))
    text = to_markdown(found, found[:1])
    assert "<b>" not in text
    assert "**limit broken**" in text

"""Ratios are paired within rounds, and a winner needs an interval without 1."""

import math

import pytest

from harness.compare import METRICS, Ratio, ratio, ratios
from harness.record import Record, Verdict
from harness.report.frame import tabulate
from tests.records import refused, rounds


def compared(mine: list[Record], other: list[Record], metric: str = "throughput_rps") -> Ratio:
    return ratio(tabulate(mine).trials, tabulate(other).trials, metric)


def test_noise_that_falls_on_both_cancels() -> None:
    noise = [1.0, 0.5, 2.0, 0.7, 1.5]
    found = compared(
        rounds("mine", [11_000 * each for each in noise]), rounds("other", [10_000 * each for each in noise])
    )
    assert found.median == pytest.approx(1.1)
    assert [found.low, found.high] == pytest.approx([1.1, 1.1], rel=1e-3)
    assert found.verdict == "better"


def test_a_backend_beside_itself_is_undecided() -> None:
    found = compared(
        rounds("mine", [10_000, 11_000, 9_000, 9_500, 9_900]), rounds("other", [11_000, 10_000, 9_000, 9_900, 9_500])
    )
    assert found.low <= 1 <= found.high
    assert found.verdict == "undecided"


def test_more_cost_is_worse() -> None:
    found = compared(rounds("mine", [8_000] * 5), rounds("other", [10_000] * 5), "cpu_us")
    assert found.median == pytest.approx(5_010 / 4_010)
    assert found.verdict == "worse"
    mine, other = rounds("mine", [10_000] * 5, rss_bytes=200), rounds("other", [10_000] * 5, rss_bytes=100)
    assert compared(mine, other, "rss_bytes").verdict == "worse"


def test_only_rounds_that_both_have_count() -> None:
    found = compared(rounds("mine", [10_000] * 5), rounds("other", [10_000, 10_000]))
    assert found.pairs == 2
    assert math.isnan(found.low)
    assert found.verdict == "undecided"


BOUND = (Verdict("generator-bound", "…"),)


@pytest.mark.parametrize(
    ("mine_bound", "base_bound", "rate_rps", "verdict"),
    [
        (False, False, 20_000, "better"),
        (True, False, 20_000, "better"),
        (False, True, 20_000, "undecided"),
        (True, True, 20_000, "undecided"),
        (False, False, 5_000, "worse"),
        (True, False, 5_000, "undecided"),
        (False, True, 5_000, "worse"),
        (True, True, 5_000, "undecided"),
    ],
)
def test_a_bound_decides_only_what_it_can(mine_bound: bool, base_bound: bool, rate_rps: float, verdict: str) -> None:
    mine = rounds("mine", [rate_rps] * 5, verdicts=BOUND if mine_bound else ())
    other = rounds("other", [10_000] * 5, verdicts=BOUND if base_bound else ())
    found = compared(mine, other)
    assert (found.at_least, found.at_most) == (mine_bound, base_bound)
    assert found.verdict == verdict


def test_a_baseline_that_did_nothing_gives_no_ratio() -> None:
    assert compared(rounds("mine", [1_000] * 5), rounds("other", [0] * 5)).pairs == 0


def test_every_cell_is_compared_in_every_metric_with_the_fastest_of_its_point() -> None:
    records = [
        *rounds("a", [1_000] * 5, connections=1),
        *rounds("b", [2_000] * 5, connections=1),
        *rounds("a", [4_000] * 5, connections=2),
        *rounds("b", [1_000] * 5, connections=2),
        *rounds("alone", [1_000] * 5, connections=3),
        refused("c", connections=1),
    ]
    frames = tabulate(records)
    table = ratios(frames.trials, frames.cells, frames.axes)
    assert set(table["metric"]) == set(METRICS)
    throughput = table[table["metric"] == "throughput_rps"].set_index("connections")
    assert throughput["backend"].to_dict() == {1: "a", 2: "b"}
    assert throughput["baseline"].to_dict() == {1: "b", 2: "a"}
    assert throughput["median"].to_dict() == {1: 0.5, 2: 0.25}
    assert set(throughput["verdict"]) == {"worse"}


def test_a_baseline_that_was_not_measured_everywhere_is_replaced_by_the_fastest() -> None:
    records = [
        *rounds("a", [1_000] * 5, connections=1),
        *rounds("b", [2_000] * 5, connections=1),
        *rounds("b", [1_000] * 5, connections=2),
        *rounds("c", [3_000] * 5, connections=2),
    ]
    frames = tabulate(records)
    table = ratios(frames.trials, frames.cells, frames.axes, "a").drop_duplicates(["connections", "baseline"])
    assert table.set_index("connections")["baseline"].to_dict() == {1: "a", 2: "c"}


@pytest.mark.parametrize("records", [[], [refused()], rounds("alone", [1_000] * 5)])
def test_without_anything_to_compare_there_are_columns_and_no_rows(records: list[Record]) -> None:
    frames = tabulate(records)
    table = ratios(frames.trials, frames.cells, frames.axes)
    assert len(table) == 0
    assert {"scenario", "connections", "backend", "baseline", "median", "verdict"} <= set(table.columns)

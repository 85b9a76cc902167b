"""Ratios are paired within rounds, and a winner needs an interval without 1."""

import math

import pytest

from harness.compare import Ratio, ratio
from harness.record import Record
from harness.report.frame import tabulate
from tests.records import rounds


def compared(mine: list[Record], other: list[Record], metric: str = "throughput_rps") -> Ratio:
    return ratio(tabulate(mine).trials, tabulate(other).trials, metric)


def test_noise_that_falls_on_both_cancels() -> None:
    noise = [1.0, 0.5, 2.0, 0.7, 1.5]
    found = compared(
        rounds("mine", [11_000 * each for each in noise]), rounds("other", [10_000 * each for each in noise])
    )
    assert found.median == pytest.approx(1.1)
    assert (found.low, found.high) == (pytest.approx(1.1, rel=1e-3), pytest.approx(1.1, rel=1e-3))
    assert found.verdict == "better"


def test_a_backend_beside_itself_is_undecided() -> None:
    found = compared(rounds("mine", [10_000, 11_000, 9_000]), rounds("other", [11_000, 10_000, 9_000]))
    assert found.low <= 1 <= found.high
    assert found.verdict == "undecided"


def test_more_cost_is_worse() -> None:
    found = compared(rounds("mine", [8_000] * 3), rounds("other", [10_000] * 3), "cpu_us")
    assert found.median == pytest.approx(5_010 / 4_010)
    assert found.verdict == "worse"
    mine, other = rounds("mine", [10_000] * 3, rss_bytes=200), rounds("other", [10_000] * 3, rss_bytes=100)
    assert compared(mine, other, "rss_bytes").verdict == "worse"


def test_only_rounds_that_both_have_count() -> None:
    found = compared(rounds("mine", [10_000] * 5), rounds("other", [10_000, 10_000]))
    assert found.pairs == 2
    assert math.isnan(found.low)
    assert found.verdict == "undecided"

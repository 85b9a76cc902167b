"""A duel names a winner only on evidence that chance does not give, and calls equals equal."""

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.commands.duel import in_words
from harness.duel import LOOKS, answer, clear, judge, start_ratios
from harness.record import Record, Verdict
from harness.report.frame import tabulate
from tests.records import RESULT, rounds

PER_START = 4


def noisy(mean: float, count: int, seed: int, spread: float = 0.02) -> list[float]:
    return list(mean * np.exp(np.random.default_rng(seed).normal(0, spread, count)))


def first_answer(ratios: list[float]) -> str:
    """Return what a duel that stops at the first clear look says."""
    outcomes = [judge(ratios[:look], "throughput_rps", 0.01).outcome for look in LOOKS]
    return next((outcome for outcome in outcomes if outcome != "undecided"), "undecided")


def test_two_that_are_alike_are_told_apart_in_hardly_any_duel() -> None:
    outcomes = [first_answer(noisy(1.0, LOOKS[-1], seed)) for seed in range(400)]
    assert outcomes.count("better") + outcomes.count("worse") <= 400 * 0.02


def test_three_percent_are_found_in_nearly_every_duel() -> None:
    outcomes = [first_answer(noisy(0.97, LOOKS[-1], seed)) for seed in range(100)]
    assert outcomes.count("worse") >= 95


def test_equals_are_called_equal_where_the_evidence_is_narrow() -> None:
    assert first_answer(noisy(1.0, LOOKS[-1], 1, spread=0.002)) == "equal"


def test_advice_is_of_use_an_undecided_duel_with_all_its_starts_gains_nothing_from_a_budget() -> None:
    for look, advice in ((LOOKS[0], "a longer --budget or"), (LOOKS[-1], "a longer --duration or")):
        found = judge(noisy(1.0, look, 1, spread=0.2), "throughput_rps", 0.01)
        assert found.outcome == "undecided"
        assert advice in in_words(found, "one", "other", "throughput")


def test_too_few_starts_have_no_interval_and_decide_nothing() -> None:
    found = judge([2.0] * (LOOKS[0] - 1), "throughput_rps", 0.01)
    assert math.isnan(found.low)
    assert found.outcome == "undecided"


@pytest.mark.parametrize(("metric", "outcome"), [("throughput_rps", "better"), ("cpu_us", "worse")])
def test_more_is_better_or_worse_as_the_metric_says(metric: str, outcome: str) -> None:
    assert judge([1.1, 1.11, 1.12, 1.1, 1.11], metric, 0.01).outcome == outcome


def test_the_ratio_is_that_of_rounds_of_the_same_start() -> None:
    # The machine doubles its speed at the second start: each start's ratio stays 1.1.
    slow, fast = [1.1e5] * PER_START, [2.2e5] * PER_START
    records = [*rounds("x", slow + fast), *rounds("y", [1e5] * PER_START + [2e5] * PER_START)]
    found = answer(records, "x", "y", "throughput_rps", PER_START, 0.01)
    assert (found.ratio, found.starts) == (pytest.approx(1.1), 2)


def test_disturbed_rounds_count_only_where_a_start_has_no_others() -> None:
    disturbed = (Verdict("disturbed", "…"),)
    calm = rounds("x", [1.1e5] * 2 * PER_START)
    hit = {0, 1, *range(PER_START, 2 * PER_START)}  # two rounds of the first start, all of the second
    records = [
        replace(each, result=replace(RESULT, replied=RESULT.replied * 5), verdicts=disturbed)
        if each.round in hit
        else each
        for each in calm
    ]
    trials = tabulate([*records, *rounds("y", [1e5] * 2 * PER_START)]).trials
    first, second = start_ratios(trials, "x", "y", "throughput_rps", PER_START)
    assert first == pytest.approx(1.1)
    assert second == pytest.approx(0.5)


def test_a_duel_ends_at_a_look_with_an_answer_and_not_between() -> None:
    enough = clear("x", "y", "throughput_rps", PER_START, 0.01)

    def records(starts: int, extra: int = 0) -> list[Record]:
        count = starts * PER_START + extra
        return [*rounds("x", [2e5 + 100 * number for number in range(count)]), *rounds("y", [1e5] * count)]

    assert not enough([])
    assert not enough(records(LOOKS[0] - 1))
    assert enough(records(LOOKS[0]))
    assert not enough(records(LOOKS[0], extra=1))

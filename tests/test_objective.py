"""Objectives are read as they are written, and a trial keeps one only if all its requests are accounted for."""

import math
from dataclasses import replace

import pytest

from harness.loadgen.spec import TrialResult
from harness.objective import LONGEST_TRIAL_S, ObjectiveError, parse_objective
from tests.records import RESULT, histogram

FAST, SLOW = 1_000_000, 9_000_000
"""Nanoseconds: 1 ms and 9 ms."""


def trial(fast: int, slow: int = 0, lost: int = 0, **changes: object) -> TrialResult:
    latency = histogram((FAST, fast), (SLOW, slow))
    return replace(RESULT, loop="open", latency=latency, due=fast + slow + lost, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "percent", "limit_s", "errors"),
    [
        ("p99 < 5ms", 99, 0.005, None),
        ("p99.9<20ms and errors < 0.1%", 99.9, 0.02, 0.001),
        (" p50 < 250us ", 50, 250e-6, None),
        ("p90 < 1.5 s and errors<5%", 90, 1.5, 0.05),
    ],
)
def test_an_objective_is_a_percentile_a_limit_and_perhaps_a_share_of_errors(
    text: str, percent: float, limit_s: float, errors: float | None
) -> None:
    found = parse_objective(text)
    assert (found.percent, found.limit_s, found.errors) == (percent, pytest.approx(limit_s), errors)
    assert found.text == text.strip()


@pytest.mark.parametrize(
    "text", ["", "p99", "p95 < 5ms", "p99 < 5", "p99 > 5ms", "p99 < 5min", "p99 < -1ms", "p99 < 5ms and p50 < 1ms"]
)
def test_anything_else_is_refused_in_one_line_that_shows_how(text: str) -> None:
    with pytest.raises(ObjectiveError, match=r"must be p50, p90, p99 or p99\.9.*'p99 < 5ms'") as caught:
        parse_objective(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["p99 < 0ms", "p99 < 5ms and errors < 0%"])
def test_what_can_never_hold_is_refused(text: str) -> None:
    with pytest.raises(ObjectiveError, match="can never hold"):
        parse_objective(text)


def test_the_percentile_decides() -> None:
    objective = parse_objective("p99 < 5ms")
    assert objective.holds(trial(9_950, 50)) is True
    assert objective.holds(trial(9_850, 150)) is False
    assert objective.latency_s(trial(9_850, 150)) == pytest.approx(0.009, rel=1e-3)


def test_requests_that_were_never_answered_count_as_too_late() -> None:
    objective = parse_objective("p99 < 5ms")
    assert objective.holds(trial(9_950, lost=50)) is True
    assert objective.holds(trial(9_800, lost=200)) is False
    assert objective.latency_s(trial(9_800, lost=200)) == math.inf


def test_errors_may_have_a_limit_of_their_own() -> None:
    failing = trial(99_900, lost=100, errors={"reset": 100})
    assert parse_objective("p99 < 5ms").holds(failing) is True
    assert parse_objective("p99 < 5ms and errors < 1%").holds(failing) is True
    assert parse_objective("p99 < 5ms and errors < 0.1%").holds(failing) is False


def test_too_few_requests_for_the_percentile_say_nothing() -> None:
    assert parse_objective("p99.9 < 5ms").holds(trial(9_900)) is None
    assert parse_objective("p99 < 5ms").holds(trial(9_900)) is True


def test_the_length_of_a_trial_follows_from_the_rate() -> None:
    objective = parse_objective("p99.9 < 5ms")
    assert objective.samples == 20_000
    assert objective.trial_s(100_000, 1.0) == 1.0
    assert objective.trial_s(5_000, 1.0) == 4.0
    assert objective.trial_s(objective.lowest_rps, 1.0) == pytest.approx(LONGEST_TRIAL_S)
    assert parse_objective("p50 < 5ms and errors < 0.01%").samples == 20_000

"""The search finds the capacity of servers whose capacity is known, and says so where it cannot."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from harness.search import CapacitySearch, Estimate, Outcome

Server = Callable[[float], Outcome]

LIMIT_S = 0.005
SERVICE_RPS = 10_000.0
CAPACITY_RPS = SERVICE_RPS - math.log(100) / LIMIT_S
"""Sojourn times of an M/M/1 queue are exponential with the rate mu - lambda, so p99 is ln(100) / (mu - lambda).
(Kleinrock: Queueing Systems, volume 1, section 3.2.)"""


def queue(seed: int, duration_s: float = 4.0) -> Server:
    """An M/M/1 queue that starts empty: whether p99 of a trial is below the limit.

    Of trials of a second more than half have a p99 below that of the queue: long waits are rare, and rarely seen.
    """
    numbers = np.random.default_rng(seed)

    def trial(rate_rps: float) -> Outcome:
        count = int(numbers.poisson(rate_rps * duration_s))
        due = np.cumsum(numbers.exponential(1 / rate_rps, count))
        work = numbers.exponential(1 / SERVICE_RPS, count)
        # Lindley: a request begins when it is due or when the one before ends, whichever is later.
        total = np.cumsum(work)
        end = total + np.maximum.accumulate(due - (total - work))
        return Outcome.HELD if np.quantile(end - due, 0.99) < LIMIT_S else Outcome.MISSED

    return trial


def coin(threshold_rps: float, width: float, seed: int) -> Server:
    """A server that holds with the probability of a normal distribution: not the search's own model."""
    numbers = np.random.default_rng(seed)
    return lambda rate: Outcome.HELD if numbers.normal(0, width) < math.log(threshold_rps / rate) else Outcome.MISSED


def sought(
    server: Server, seed: int = 0, closed_rps: float = 10_000, precision: float = 0.05, trials: int = 100
) -> tuple[Estimate, int]:
    """Search to the end; return what was found, after how many trials."""
    search = CapacitySearch(closed_rps, 100, 30_000, precision, seed)
    for number in range(trials):
        if search.done:
            return search.estimate(), number
        rate = search.next_rate()
        search.tell(rate, server(rate))
    return search.estimate(), trials


def test_the_capacity_of_a_queue_is_what_theory_says() -> None:
    found = [sought(queue(seed), seed) for seed in range(60)]
    assert all(estimate.kind == "capacity" and estimate.precise for estimate, _ in found)
    inside = sum(estimate.low_rps <= CAPACITY_RPS <= estimate.high_rps for estimate, _ in found)
    assert inside >= 0.9 * len(found)
    assert np.median([estimate.rate_rps for estimate, _ in found]) == pytest.approx(CAPACITY_RPS, rel=0.01)
    assert np.quantile([trials for _, trials in found], 0.9) <= 40


@pytest.mark.parametrize("width", [0.005, 0.03, 0.08])
def test_the_interval_covers_the_capacity_however_noisy_trials_are(width: float) -> None:
    found = [sought(coin(6_000, width, seed), seed)[0] for seed in range(120)]
    inside = sum(estimate.low_rps <= 6_000 <= estimate.high_rps for estimate in found)
    assert inside >= 0.9 * len(found)
    assert all(estimate.high_rps - estimate.low_rps <= 2 * 0.05 * estimate.rate_rps for estimate in found)


@pytest.mark.parametrize("closed_rps", [1_000, 5_000, 25_000])
def test_a_wrong_first_guess_costs_trials_but_no_truth(closed_rps: float) -> None:
    found = [sought(coin(6_000, 0.02, seed), seed, closed_rps=closed_rps) for seed in range(100)]
    assert sum(each.low_rps <= 6_000 <= each.high_rps for each, _ in found) >= 90
    assert np.median([trials for _, trials in found]) <= 40


def test_more_precision_takes_more_trials() -> None:
    rough, fine = (
        np.mean([sought(coin(6_000, 0.03, seed), seed, precision=precision)[1] for seed in range(30)])
        for precision in (0.1, 0.02)
    )
    assert fine > 1.5 * rough


def test_a_server_that_always_holds_has_a_lower_bound() -> None:
    found, trials = sought(lambda rate: Outcome.HELD)
    assert (found.kind, found.precise) == ("at least", True)
    assert 25_000 < found.rate_rps <= 30_000
    assert trials < 20


def test_a_server_that_never_holds_has_an_upper_bound() -> None:
    found, trials = sought(lambda rate: Outcome.MISSED)
    assert (found.kind, found.precise) == ("below", True)
    assert 100 <= found.rate_rps < 130
    assert trials < 40


def test_what_a_generator_spoils_is_no_fail_of_the_server_but_a_lower_bound() -> None:
    found, _ = sought(lambda rate: Outcome.GENERATOR if rate > 5_000 else Outcome.HELD)
    assert found.kind == "at least"
    assert 3_500 < found.rate_rps <= 5_000


def test_what_disturbs_trials_changes_nothing_that_is_known() -> None:
    search = CapacitySearch(10_000, 100, 30_000, 0.05, 0)
    rate = search.next_rate()
    for _ in range(50):
        search.tell(rate, Outcome.DISTURBED)
    assert search.next_rate() == rate
    assert search.estimate().kind == "unknown"


def test_a_generator_that_fails_now_and_then_is_no_limit() -> None:
    tries = iter(range(1_000))
    server = coin(6_000, 0.02, 1)
    found, _ = sought(lambda rate: Outcome.GENERATOR if next(tries) % 3 == 0 else server(rate))
    assert found.kind == "capacity"
    assert found.low_rps <= 6_000 <= found.high_rps


def test_a_search_that_ends_early_says_what_it_has_seen() -> None:
    search = CapacitySearch(10_000, 100, 30_000, 0.05, 0)
    search.tell(8_000, Outcome.HELD)
    assert (search.estimate().kind, search.estimate().rate_rps) == ("at least", 8_000)
    assert not search.done
    search.tell(9_000, Outcome.MISSED)
    found = search.estimate()
    assert (found.kind, found.precise) == ("capacity", False)
    assert found.low_rps < 8_500 < found.high_rps

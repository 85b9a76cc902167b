"""Arrival processes: repeatable, of the rate and the shape that was asked for. No clock and no sockets."""

import math
import statistics
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.loadgen.schedule import due_times
from harness.loadgen.spec import Arrivals

OPEN = [
    Arrivals("constant", 1000.0, seed=7),
    Arrivals("poisson", 1000.0, seed=7),
    Arrivals("bursts", 1000.0, period_s=0.1, duty=0.25, seed=7),
]


def by_process(arrivals: Arrivals) -> str:
    return arrivals.process


@pytest.mark.parametrize("arrivals", OPEN, ids=by_process)
def test_the_same_seed_gives_the_same_times(arrivals: Arrivals) -> None:
    assert due_times(arrivals, 2.0, trial=3) == due_times(arrivals, 2.0, trial=3)


@pytest.mark.parametrize("arrivals", OPEN[1:], ids=by_process)
def test_trials_and_seeds_have_schedules_of_their_own(arrivals: Arrivals) -> None:
    other = Arrivals(arrivals.process, arrivals.rate_rps, arrivals.period_s, arrivals.duty, seed=8)
    first = due_times(arrivals, 2.0)
    assert first != due_times(arrivals, 2.0, trial=1)
    assert first != due_times(other, 2.0)


def test_the_times_of_a_seed_never_change() -> None:
    """Records name only the seed, so a new version must give the old times."""
    assert list(due_times(Arrivals("poisson", 1000.0, seed=1), 0.005)) == [1634064, 2816872, 3396998, 3993326, 4425446]
    assert list(due_times(Arrivals("bursts", 1000.0, period_s=0.004, duty=0.5, seed=1), 0.012)) == [
        817032,
        1408436,
        1698499,
        1996663,
        4212723,
        4530630,
        5717464,
        8136136,
        8893251,
    ]


@settings(deadline=None)  # the machine may be busy
@given(
    st.sampled_from(["constant", "poisson", "bursts"]),
    st.floats(0.5, 20_000),
    st.floats(0.001, 1.5),
    st.integers(0, 2**32),
)
def test_times_are_in_order_and_within_the_trial(process: str, rate_rps: float, duration_s: float, seed: int) -> None:
    shape = {"period_s": 0.05, "duty": 0.3} if process == "bursts" else {}
    times = due_times(Arrivals(process, rate_rps, seed=seed, **shape), duration_s)
    assert all(before <= after for before, after in pairwise(times))
    assert all(0 <= time < round(duration_s * 1e9) for time in times)


@pytest.mark.parametrize("arrivals", OPEN, ids=by_process)
def test_the_mean_rate_is_kept(arrivals: Arrivals) -> None:
    count = len(due_times(arrivals, 100.0))
    assert abs(count - 100_000) < 6 * math.sqrt(100_000)


def test_constant_arrivals_are_one_interval_apart_and_never_drift() -> None:
    times = due_times(Arrivals("constant", 3.0), 1000.0)
    assert len(times) == 3000
    assert times[0] == 0
    assert all(abs(time - number * 1e9 / 3) <= 0.5 for number, time in enumerate(times))


def test_poisson_gaps_are_exponential() -> None:
    times = due_times(Arrivals("poisson", 1000.0, seed=5), 100.0)
    gaps = [(after - before) / 1e6 for before, after in pairwise(times)]
    assert statistics.fmean(gaps) == pytest.approx(1.0, rel=0.02)
    assert statistics.stdev(gaps) == pytest.approx(1.0, rel=0.03)
    for gap_ms in (0.1, 1.0, 3.0):  # P(gap > t) = exp(-t)
        share = sum(gap > gap_ms for gap in gaps) / len(gaps)
        assert share == pytest.approx(math.exp(-gap_ms), abs=0.01)


def test_bursts_arrive_at_the_peak_rate_and_then_not_at_all() -> None:
    arrivals = Arrivals("bursts", 1000.0, period_s=0.1, duty=0.25, seed=9)
    assert arrivals.peak_rps == 4000
    phases = [time % 100_000_000 for time in due_times(arrivals, 50.0)]
    assert max(phases) < 25_000_000
    assert min(phases) < 100_000
    tenths = [sum(lower <= phase < lower + 2_500_000 for phase in phases) for lower in range(0, 25_000_000, 2_500_000)]
    assert all(abs(count - 5000) < 6 * math.sqrt(5000) for count in tenths)


def test_a_closed_loop_has_no_schedule() -> None:
    with pytest.raises(ValueError, match="no schedule"):
        due_times(Arrivals(), 1.0)

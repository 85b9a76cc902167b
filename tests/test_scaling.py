"""How costs grow: known functions are found, noise is not taken for growth, and too few points decide nothing."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record import Record, Verdict
from harness.report.frame import tabulate
from harness.scaling import (
    BETWEEN_STARTS,
    CONSTANT,
    INVERSE,
    IRREGULAR,
    LINEAR,
    LINEARITHMIC,
    LOGARITHMIC,
    QUADRATIC,
    UNKNOWN,
    Growth,
    Observation,
    growth,
    growths,
)
from tests.records import USAGE, record

LADDER = (0, 100, 300, 800, 3000, 10000)

LONG = (1, 10, 100, 1_000, 10_000, 100_000)
"""What tells n log n from n."""

FUNCTIONS: dict[str, Callable[[float], float]] = {
    CONSTANT: lambda n: 20.0,
    LINEAR: lambda n: 20 + 0.02 * n,
    LOGARITHMIC: lambda n: 5 + 2 * math.log2(1 + n),
    LINEARITHMIC: lambda n: 2 + 0.2 * n * math.log2(1 + n),
    QUADRATIC: lambda n: 20 + 2e-6 * n**2,
    INVERSE: lambda n: 20 + 200 / max(n, 1),
}


def observed(values: Sequence[float], at: Sequence[float] = LADDER, precision: float = 0.01) -> list[Observation]:
    return [Observation(n, y, y * (1 - precision), y * (1 + precision)) for n, y in zip(at, values, strict=True)]


def noisy(function: Callable[[float], float], seed: int, spread: float = 0.02) -> Growth:
    noise = np.exp(np.random.default_rng(seed).normal(0, spread, len(LONG)))
    return growth(observed([function(n) * factor for n, factor in zip(LONG, noise, strict=True)], LONG))


@pytest.mark.parametrize("model", FUNCTIONS)
def test_a_known_function_is_found_with_its_coefficients(model: str) -> None:
    found = growth(observed([FUNCTIONS[model](n) for n in LONG], LONG))
    assert found.model == model
    assert [found.at(n) for n in (0, 50, 20_000)] == pytest.approx([FUNCTIONS[model](n) for n in (0, 50, 20_000)])
    assert found.r_squared == (0 if model == CONSTANT else pytest.approx(1))
    assert found.deviation == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("model", FUNCTIONS)
def test_a_known_function_is_found_in_noise(model: str) -> None:
    found = Counter(noisy(FUNCTIONS[model], seed).model for seed in range(200))
    assert found[model] >= 190


def test_equal_costs_are_hardly_ever_said_to_grow_or_fall() -> None:
    outcomes = [noisy(FUNCTIONS[CONSTANT], seed, BETWEEN_STARTS).model for seed in range(1000)]
    assert outcomes.count(CONSTANT) >= 990


def test_noise_that_the_rounds_show_is_not_taken_for_growth() -> None:
    values = [20.0, 22, 25, 27, 29, 30]
    assert growth(observed(values)).model != CONSTANT
    assert growth(observed(values, precision=0.6)).model == CONSTANT


def test_what_cannot_be_told_apart_is_named() -> None:
    found = growth(observed([20 + 0.001 * n for n in LADDER]))
    assert found.model == LINEAR
    assert LINEARITHMIC in found.rivals
    assert growth(observed([FUNCTIONS[LINEAR](n) for n in LONG], LONG)).rivals == ()


def test_the_part_that_every_request_costs_is_not_below_nothing() -> None:
    found = growth(observed([1 + n**2 / 1e3 for n in (1, 10, 100, 1000)], (1, 10, 100, 1000)))
    assert (found.model, found.intercept >= 0, found.slope > 0) == (QUADRATIC, True, True)


def test_ups_and_downs_are_not_given_a_function() -> None:
    zigzag = [growth(observed(values)) for values in ([20, 60, 20, 60, 20, 60], [10, 80, 12, 90, 11, 15])]
    assert [each.model for each in zigzag] == [IRREGULAR, IRREGULAR]
    assert all(math.isnan(each.at(5)) for each in zigzag)


def test_three_values_of_the_axis_decide_nothing() -> None:
    assert growth(observed([1, 2, 3], (0, 1, 2))).model == UNKNOWN
    assert growth(observed([1, 2, 3, 4], (0, 1, 2, 2))).points == 3
    assert growth(observed([1, 2, 3, math.nan, -1], (0, 1, 2, 3, 4))).points == 3
    assert growth([]).model == UNKNOWN


@given(
    model=st.sampled_from(sorted(FUNCTIONS)),
    seed=st.integers(0, 50),
    unit=st.floats(1e-9, 1e9),
)
def test_the_unit_of_what_is_measured_does_not_change_the_verdict(model: str, seed: int, unit: float) -> None:
    plain = noisy(FUNCTIONS[model], seed)
    scaled = noisy(lambda n: FUNCTIONS[model](n) * unit, seed)
    assert (scaled.model, scaled.rivals) == (plain.model, plain.rivals)
    assert scaled.r_squared == pytest.approx(plain.r_squared, abs=1e-6)
    assert scaled.intercept == pytest.approx(plain.intercept * unit, rel=1e-4, abs=1e-6 * unit)


@given(st.permutations(range(len(LADDER))))
def test_the_order_of_the_observations_does_not_matter(order: list[int]) -> None:
    ordered = observed([FUNCTIONS[LINEAR](n) for n in LADDER])
    assert growth([ordered[place] for place in order]).model == LINEAR


def ladder_records(backend: str, cpu_us: Callable[[float], float], **changes: Any) -> list[Record]:  # noqa: ANN401
    """Five rounds at each step, in which CPU and throughput follow a function."""
    return [
        record(
            backend,
            number,
            idle_connections=idle,
            server=replace(USAGE, cpu_s=cpu_us(idle) * 1e-6 * 5_010 * (1 + 0.001 * number)),
            **changes,
        )
        for idle in LADDER
        for number in range(5)
    ]


def rows(records: Sequence[Record]) -> dict[tuple[str, str], dict[str, Any]]:
    frames = tabulate(records)
    return {
        (str(row["backend"]), str(row["measure"])): {str(name): value for name, value in row.items()}
        for row in growths(frames.cells, frames.axes).to_dict("records")
    }


def test_a_table_says_how_each_backend_grows() -> None:
    records = [
        *ladder_records("poll", lambda n: 20 + 0.02 * n),
        *ladder_records("epoll", lambda n: 20.0),
    ]
    found = rows(records)
    assert found["poll", "cpu_us"]["model"] == LINEAR
    assert found["poll", "cpu_us"]["slope"] == pytest.approx(0.02, rel=0.01)
    assert found["epoll", "cpu_us"]["model"] == CONSTANT
    assert found["epoll", "rss_bytes"]["model"] == CONSTANT
    assert (found["poll", "cpu_us"]["first"], found["poll", "cpu_us"]["last"]) == (0, 10_000)


def test_time_per_request_is_not_judged_where_the_generator_held_it_up_or_the_rate_was_given() -> None:
    bound = (Verdict("generator-bound", "x"),)
    assert rows(ladder_records("poll", lambda n: 20.0))["poll", "request_us"]["model"] == CONSTANT
    assert rows(ladder_records("poll", lambda n: 20.0, verdicts=bound))["poll", "request_us"]["points"] == 0
    assert rows(ladder_records("poll", lambda n: 20.0, loop="open"))["poll", "request_us"]["model"] == UNKNOWN
    assert rows(ladder_records("poll", lambda n: 20.0, verdicts=bound))["poll", "cpu_us"]["model"] == CONSTANT


def test_an_axis_of_one_value_has_no_growth() -> None:
    assert rows([record()]) == {}
    assert rows([]) == {}

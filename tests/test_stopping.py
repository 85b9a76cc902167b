"""Rounds go on until ratios are known precisely."""

from harness.stopping import precise
from tests.records import rounds

NOISY = [1e3 * value for value in (100.0, 110.0, 90.0, 105.0, 95.0, 120.0, 80.0, 100.0, 101.0, 99.0)]
STEADY = [1e3 * value for value in (100.0, 100.5, 99.5, 100.2, 99.8, 100.1, 99.9, 100.0, 100.3, 99.7)]


def test_a_narrow_interval_is_enough_and_a_wide_one_is_not() -> None:
    base = rounds("base", [1e5] * 10)
    assert precise(0.02, "base")([*base, *rounds("steady", STEADY)])
    assert not precise(0.02, "base")([*base, *rounds("noisy", NOISY)])
    assert not precise(0.02, "base")([*base, *rounds("steady", STEADY), *rounds("noisy", NOISY)])


def test_too_few_rounds_for_an_interval_are_not_enough() -> None:
    assert not precise(0.02, "a")([*rounds("a", [1e5] * 3), *rounds("b", [100.0] * 3)])


def test_a_backend_alone_has_nothing_to_be_compared_with() -> None:
    assert precise(0.02, None)(rounds("alone", NOISY))

"""Verdicts follow from the evidence."""

from dataclasses import replace

from harness.loadgen.spec import TrialResult
from harness.record import ServerUsage
from harness.verdict import judge
from tests.records import histogram

GOOD = TrialResult(
    engine="native",
    loop="closed",
    duration_s=1.0,
    sent=10_010,
    replied=10_000,
    failed=0,
    in_flight=10,
    late=10,
    errors={},
    latency="",
    slices=[1000] * 10,
    cpu_s=0.5,
)
BUSY = ServerUsage(0.99, 0.3, 0.69, 1, 1, 1, 0, 0)
BORED = replace(BUSY, cpu_s=0.5)


def kinds(result: TrialResult, server: ServerUsage = BUSY, cpus: int = 1) -> list[str]:
    return [verdict.kind for verdict in judge(result, server, cpus)]


def test_nothing_speaks_against_a_good_trial() -> None:
    assert kinds(GOOD) == []


def test_a_saturated_generator_beside_a_bored_server_is_the_bottleneck() -> None:
    busy = replace(GOOD, cpu_s=0.98)
    assert kinds(busy, BORED) == ["generator-bound"]
    assert kinds(busy, BUSY) == []
    assert kinds(busy, BUSY, cpus=2) == ["generator-bound"]


def test_watching_the_clock_does_not_saturate_a_generator() -> None:
    assert kinds(replace(GOOD, cpu_s=0.98, spun_s=0.5), BORED) == []


def test_one_wrong_reply_voids_a_trial() -> None:
    (verdict,) = judge(replace(GOOD, errors={"wrong": 1}, fault="byte 3 is 0x00"), BUSY, 1)
    assert verdict.kind == "wrong replies"
    assert verdict.void
    assert "byte 3" in verdict.reason


def test_errors_are_counted_by_kind_and_do_not_void() -> None:
    (verdict,) = judge(replace(GOOD, errors={"reset": 3, "timed out": 2}), BUSY, 1)
    assert verdict.kind == "errors"
    assert not verdict.void
    assert "3 reset, 2 timed out" in verdict.reason


def test_no_reply_at_all_voids() -> None:
    assert kinds(replace(GOOD, replied=0, late=0, slices=[0] * 10), BORED) == ["timed out"]


def test_a_trend_is_unsteady_but_noise_and_few_replies_are_not() -> None:
    assert kinds(replace(GOOD, slices=[1000 + 60 * i for i in range(10)])) == ["unsteady"]
    assert kinds(replace(GOOD, slices=[1300, 700] * 5)) == []
    assert kinds(replace(GOOD, slices=[10 + i for i in range(10)])) == []


def test_a_generator_that_is_late_itself_says_so() -> None:
    punctual = replace(GOOD, loop="open", due=10_010, slip=histogram((50_000, 10_010)))
    assert kinds(punctual) == []
    late = replace(punctual, slip=histogram((50_000, 9_000), (20_000_000, 1_010)))
    (verdict,) = judge(late, BUSY, 1)
    assert verdict.kind == "generator-bound"
    assert "20.0 ms late" in verdict.reason


def test_requests_that_queue_up_at_their_source_are_an_overload() -> None:
    (verdict,) = judge(replace(GOOD, loop="open", due=20_000, waiting=9_990), BUSY, 1)
    assert verdict.kind == "overloaded"
    assert "10,000 requests/s were answered of 20,000 due" in verdict.reason


def test_a_trial_whose_cpu_was_taken_by_others_is_disturbed() -> None:
    assert [verdict.kind for verdict in judge(GOOD, BUSY, 1, waited_s=0.01)] == []
    (verdict,) = judge(GOOD, BUSY, 1, waited_s=0.3)
    assert verdict.kind == "disturbed"
    assert "30%" in verdict.reason

"""What speaks against a trial's numbers, computed from the evidence in its record. Pure."""

from collections.abc import Sequence

from harness.loadgen.spec import TrialResult
from harness.record import ServerUsage, Verdict

BUSY = 0.95
"""Share of its CPU from which a process counts as saturated."""

TREND = 0.20
"""Change of throughput from the first half of a trial to the second, from which it counts as unsteady."""

TREND_SIGNIFICANCE = 0.01
"""The trend must be this improbable among equal slices (Mann-Kendall test), or noise would be taken for a trend."""

SLIP_PERCENTILE = 99.0
SLIP_NS = 1_000_000
"""Lateness of the generator itself from which latencies are no longer the server's alone: 1 ms at p99."""

DISTURBED = 0.05
"""Share of a trial that server or generator may spend waiting for a CPU of their own."""

OVERLOAD = 0.01
"""Share of due requests that may still wait for a connection when a trial ends."""


def judge(
    result: TrialResult, server: ServerUsage, server_cpus: int, waited_s: float = 0.0, generator_cpus: int = 1
) -> tuple[Verdict, ...]:
    """Return everything that speaks against a trial; nothing means that its numbers can be trusted.

    Args:
        result: What the generator saw.
        server: What the server used.
        server_cpus: CPUs the server could run on.
        waited_s: How long server or generator waited for a CPU that should have been theirs.
        generator_cpus: CPUs that the generator's processes could run on.
    """
    found = [
        _wrong_replies(result),
        _errors(result),
        _no_replies(result),
        _generator_bound(result, server, server_cpus, min(generator_cpus, result.processes)),
        _late_generator(result),
        _overloaded(result),
        _disturbed(result, waited_s),
        _unsteady(result.slices),
    ]
    return tuple(verdict for verdict in found if verdict is not None)


def _wrong_replies(result: TrialResult) -> Verdict | None:
    wrong = result.errors.get("wrong", 0)
    return Verdict("wrong replies", f"{wrong:,} wrong: {result.fault}") if wrong or result.fault else None


def _errors(result: TrialResult) -> Verdict | None:
    kinds = {kind: count for kind, count in result.errors.items() if count and kind != "wrong"}
    if not kinds:
        return None
    listed = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    return Verdict("errors", f"{listed} beside {result.replied:,} replies")


def _no_replies(result: TrialResult) -> Verdict | None:
    if result.replied or result.late:
        return None
    return Verdict(
        "timed out", f"no reply to {result.sent:,} requests in {result.duration_s:.1f} s and the grace after it"
    )


def _generator_bound(result: TrialResult, server: ServerUsage, server_cpus: int, generator_cpus: int) -> Verdict | None:
    generator_busy = (result.cpu_s - result.spun_s) / result.duration_s / generator_cpus
    server_busy = server.cpu_s / result.duration_s / server_cpus
    if generator_busy < BUSY or server_busy >= BUSY:
        return None
    return Verdict(
        "generator-bound",
        f"the generator used {generator_busy:.0%} of its CPU, the server only {server_busy:.0%} of its own: "
        "throughput is a lower bound",
    )


def _late_generator(result: TrialResult) -> Verdict | None:
    """An open loop's requests must leave when they are due, or their lateness is the generator's own."""
    if result.loop != "open" or not result.slip:
        return None
    from harness.loadgen.histogram import decode

    slip_ns = decode(result.slip).get_value_at_percentile(SLIP_PERCENTILE)
    if slip_ns <= SLIP_NS:
        return None
    return Verdict(
        "generator-bound",
        f"the generator itself was {slip_ns / 1e6:.1f} ms late (p{SLIP_PERCENTILE:g}) in a schedule of "
        f"{result.due / result.duration_s:,.0f} requests/s, sent {result.sent / result.duration_s:,.0f}: "
        "latencies include that",
    )


def _overloaded(result: TrialResult) -> Verdict | None:
    """Where requests queue up at their source, latency grows with the length of the trial and says little else."""
    if result.loop != "open" or result.waiting <= OVERLOAD * result.due:
        return None
    answered_rps, due_rps = result.replied / result.duration_s, result.due / result.duration_s
    return Verdict(
        "overloaded",
        f"{result.waiting:,} of {result.due:,} due requests still waited for a free connection at the end: "
        f"{answered_rps:,.0f} requests/s were answered of {due_rps:,.0f} due",
    )


def _disturbed(result: TrialResult, waited_s: float) -> Verdict | None:
    share = waited_s / result.duration_s
    if share < DISTURBED:
        return None
    return Verdict(
        "disturbed", f"for {share:.0%} of the trial something else ran on the CPU of the server or of the generator"
    )


def _unsteady(slices: Sequence[int]) -> Verdict | None:
    middle = len(slices) // 2
    total = sum(slices)
    if middle < 2 or total < 100 * len(slices):
        return None  # so few replies vary by chance
    first, second = sum(slices[:middle]), sum(slices[-middle:])
    change = (second - first) / (total / 2)
    if abs(change) < TREND:
        return None
    from scipy.stats import kendalltau

    if kendalltau(range(len(slices)), slices).pvalue > TREND_SIGNIFICANCE:
        return None
    return Verdict("unsteady", f"throughput changed by {change:+.0%} from the first half to the second")

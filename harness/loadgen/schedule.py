"""When requests are due in an open loop: seeded arrival processes as arrays of times. Pure: no clock, no sockets.

A schedule is made before the trial and handed to the engine whole, so that both engines follow the very same times and
the measuring loop draws no random numbers. It takes 8 bytes a request.
"""

import random
from array import array
from math import log

from harness.loadgen.spec import Arrivals


def due_times(arrivals: Arrivals, duration_s: float, trial: int = 0) -> "array[int]":
    """Return when requests are due, in nanoseconds from the start of the trial, in order, below its duration.

    Args:
        arrivals: The process; the same seed gives the same times, whichever engine runs them.
        duration_s: Length of the trial in seconds.
        trial: Number of the trial in its cell: each has a schedule of its own.

    Raises:
        ValueError: The process is a closed loop, in which nothing is due by the clock.
    """
    if not arrivals.open_loop:
        raise ValueError("a closed loop has no schedule")
    if arrivals.process == "constant":
        return _constant(arrivals.rate_rps, duration_s)
    # A text as seed: random.seed hashes it with SHA-512, so neighbouring seeds and trials have nothing in common.
    source = random.Random(f"muxbench schedule {arrivals.seed} {trial}")
    if arrivals.process == "poisson":
        return _poisson(source, arrivals.rate_rps, duration_s)
    return _bursts(source, arrivals, duration_s)


def _constant(rate_rps: float, duration_s: float) -> "array[int]":
    """Return times one interval apart, each computed from the start so that rounding never adds up."""
    end_ns = round(duration_s * 1e9)
    interval_ns = 1e9 / rate_rps
    times = array("q", (round(number * interval_ns) for number in range(int(duration_s * rate_rps) + 1)))
    while times and times[-1] >= end_ns:
        times.pop()
    return times


def _poisson(source: random.Random, rate_rps: float, duration_s: float) -> "array[int]":
    """Return the times of a Poisson process: gaps are exponential, so arrivals know nothing of each other."""
    end_ns = round(duration_s * 1e9)
    times = array("q")
    append, uniform = times.append, source.random
    mean_gap_ns = -1e9 / rate_rps
    # 1 - u is above 0, so the logarithm exists; inlined expovariate, because there may be millions.
    now_ns = mean_gap_ns * log(1.0 - uniform())
    while now_ns < end_ns:
        append(int(now_ns))
        now_ns += mean_gap_ns * log(1.0 - uniform())
    return times


def _bursts(source: random.Random, arrivals: Arrivals, duration_s: float) -> "array[int]":
    """Return a Poisson process at the peak rate whose clock stands still in the silences."""
    end_ns = round(duration_s * 1e9)
    on_ns = arrivals.period_s * arrivals.duty * 1e9
    off_ns = arrivals.period_s * (1 - arrivals.duty) * 1e9
    busy_s = duration_s * arrivals.duty + arrivals.period_s
    times = array("q")
    for busy_ns in _poisson(source, arrivals.peak_rps, busy_s):
        due_ns = int(busy_ns + busy_ns // on_ns * off_ns)
        if due_ns >= end_ns:
            break
        times.append(due_ns)
    return times

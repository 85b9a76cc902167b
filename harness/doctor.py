"""What makes a machine noisy or limits a run, and the command that would change it. Only looks; changes nothing."""

import os
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from backends.contract import BACKLOG
from harness.machine import usable_cpus

WATCHED_S = 1.0
SLICE_NS = 20_000_000
GAP_NS = 100_000
"""Far longer than an interrupt takes: something else had the CPU."""

MOST_AWAY = 0.002
MOST_SWING = 0.1
"""How much of the time a busy CPU may be away, and of its speed may vary, before it is said to disturb."""

CONNECTIONS_WANTED = 10_000
STEAL_SECONDS = 1.0
BUSY = 0.2
"""Share of the machine that others may use, and load for each CPU, before they are said to disturb."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What.
        state: How it is.
        fine: Whether that is as it should be.
        cost: What it does to measurements if it is not.
        remedy: The command or the change that would help; empty where there is none.
    """

    subject: str
    state: str
    fine: bool
    cost: str = ""
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything; takes some seconds, in which the CPUs are watched idle and busy."""
    return [*(found for look in LOOKS if (found := look()) is not None), *judge_busy(watch_all())]


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _cpus() -> Finding:
    count = len(usable_cpus())
    return Finding(
        "CPUs",
        f"{count} usable",
        count >= 3,
        "server and generator need one each, and with fewer than three the harness shares the generator's: its work "
        "between trials delays the next one, not a trial itself"
        if count == 2
        else "server, generator and harness share one: latencies include waiting for each other",
        "give the machine or container more CPUs",
    )


def _siblings() -> Finding | None:
    siblings = _read("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    if not siblings:
        return None
    shared = "," in siblings or "-" in siblings
    return Finding(
        "hyper-threading",
        f"CPU 0 shares its core with {siblings}" if shared else "CPU 0 has a core of its own",
        not shared,
        "two busy threads of one core slow each other down by a third or so; muxbench never puts server and generator "
        "on one core if there is another",
        "echo off > /sys/devices/system/cpu/smt/control",
    )


def _governor() -> Finding | None:
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if not governor:
        return Finding("frequency governor", "not visible (a virtual machine's host decides)", True)
    return Finding(
        "frequency governor",
        governor,
        governor == "performance",
        "the clock rises only some time after the load: short trials are slower and vary",
        "cpupower frequency-set --governor performance",
    )


def _turbo() -> Finding | None:
    no_turbo, boost = (
        _read("/sys/devices/system/cpu/intel_pstate/no_turbo"),
        _read("/sys/devices/system/cpu/cpufreq/boost"),
    )
    if not no_turbo and not boost:
        return None
    on = no_turbo == "0" or boost == "1"
    remedy = "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo"
    return Finding(
        "turbo",
        "on" if on else "off",
        not on,
        "the clock depends on heat and on what other cores do",
        remedy if no_turbo else "echo 0 > /sys/devices/system/cpu/cpufreq/boost",
    )


def _others() -> Finding:
    before, began = psutil.cpu_times(), time.monotonic()
    time.sleep(STEAL_SECONDS)
    after, took_s = psutil.cpu_times(), time.monotonic() - began
    available_s = took_s * (psutil.cpu_count() or 1)
    steal = (getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)) / available_s
    idle = (after.idle + getattr(after, "iowait", 0.0) - before.idle - getattr(before, "iowait", 0.0)) / available_s
    busy = max(0.0, 1 - idle - steal)
    return Finding(
        "other load",
        f"{busy:.0%} of the CPU time used by others, {steal:.0%} stolen by the hypervisor, in {took_s:.0f} s",
        busy < BUSY and steal < 0.01,
        "what others use is missing in trials: they are marked disturbed, intervals widen",
        "stop other programs (top shows them); stolen time only a host of your own ends",
    )


def _descriptors() -> Finding:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    return Finding(
        "open files",
        "unlimited" if unlimited else f"at most {hard:,} in a process",
        unlimited or hard > CONNECTIONS_WANTED + 100,
        f"points with more connections are refused; idle-ladder needs {CONNECTIONS_WANTED:,}",
        f"ulimit -Hn {2 * CONNECTIONS_WANTED}",
    )


def _ports() -> Finding | None:
    ends = _read("/proc/sys/net/ipv4/ip_local_port_range").split()
    if len(ends) != 2:
        return None
    count = int(ends[1]) - int(ends[0]) + 1
    return Finding(
        "ephemeral ports",
        f"{count:,} for each address",
        count > CONNECTIONS_WANTED,
        "many connections need further source addresses, and churn waits for ports in TIME_WAIT",
        "sysctl net.ipv4.ip_local_port_range='10000 65535'",
    )


def _backlog() -> Finding | None:
    limit = _read("/proc/sys/net/core/somaxconn")
    if not limit:
        return None
    return Finding(
        "somaxconn",
        limit,
        int(limit) >= BACKLOG,
        "when many connections come at once some are dropped and tried again after a second",
        f"sysctl net.core.somaxconn={BACKLOG}",
    )


def _clock() -> Finding | None:
    clock = _read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if not clock:
        return None
    return Finding(
        "clock source",
        clock,
        clock in {"tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"},
        "every reading of the clock is a system call: generator and timers cost more",
        "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
    )


def _mitigations() -> Finding | None:
    files = sorted(Path("/sys/devices/system/cpu/vulnerabilities").glob("*"))
    if not files:
        return None
    active = [file.name for file in files if "Mitigation" in _read(str(file))]
    return Finding(
        "mitigations",
        f"active against {', '.join(active)}" if active else "none active",
        True,
        "each system call costs more; leave them on to measure what production has, and compare only alike machines",
    )


@dataclass(frozen=True, slots=True)
class Busy:
    """What a CPU did while one program had it to itself, as far as that could see.

    Attributes:
        gaps_ns: How long the program stood still, each time that it did.
        slices: Turns of its loop in each `SLICE_NS`.
    """

    gaps_ns: Sequence[int]
    slices: Sequence[int]


def watch_busy(cpu: int) -> Busy:
    """Read the clock without pause on this CPU, for `WATCHED_S`."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})
    clock = time.perf_counter_ns
    gaps = []
    slices = [0] * round(WATCHED_S * 1e9 / SLICE_NS)
    start = last = clock()
    end = start + len(slices) * SLICE_NS
    while True:
        now = clock()
        if now - last > GAP_NS:
            gaps.append(now - last)
        if now >= end:
            return Busy(gaps, slices)
        last = now
        slices[(now - start) // SLICE_NS] += 1


def watch_all() -> list[Busy]:
    """Watch all usable CPUs, busy at the same time: what they share shows only then."""
    cpus = usable_cpus()
    with ProcessPoolExecutor(len(cpus)) as pool:
        return list(pool.map(watch_busy, cpus))


def judge_busy(watched: Sequence[Busy]) -> list[Finding]:
    """Return what trials on these CPUs will be like; each needs two slices at least."""
    away = max(sum(each.gaps_ns) / (len(each.slices) * SLICE_NS) for each in watched)
    gaps = [gap for each in watched for gap in each.gaps_ns]
    # Not the first slice, in which the program gets going; and not the extremes, which may be anything.
    tenths = [np.percentile(each.slices[1:], (10, 50, 90)) for each in watched]
    low, high = min(low / middle for low, middle, _ in tenths), max(high / middle for _, middle, high in tenths)
    remedy = "end other programs, or take CPUs that are yours alone (a machine of your own, a dedicated instance)"
    return [
        Finding(
            "interruptions",
            f"{away:.2%} of a busy CPU's time, at most {max(gaps, default=0) / 1e6:.1f} ms at once",
            away <= MOST_AWAY,
            "what is due meanwhile is late, in the generator too: slip, p99 and p99.9 are those of the machine; a host "
            "that takes the CPU away need not tell its guests",
            remedy,
        ),
        Finding(
            "speed",
            f"in {SLICE_NS / 1e6:.0f} ms a busy CPU does {low:.0%} to {high:.0%} of its usual work",
            1 - low <= MOST_SWING and high - 1 <= MOST_SWING,
            "trials differ as much: intervals are wide, and duels long or undecided",
            remedy,
        ),
    ]


LOOKS: tuple[Callable[[], Finding | None], ...] = (
    _cpus,
    _siblings,
    _governor,
    _turbo,
    _others,
    _descriptors,
    _ports,
    _backlog,
    _clock,
    _mitigations,
)

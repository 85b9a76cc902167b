"""What makes a machine noisy or limits a run, and the command that would change it. Only looks; changes nothing."""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from backends.contract import BACKLOG

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
    """Look at everything; takes a second, in which the CPUs are watched."""
    return [found for look in LOOKS if (found := look()) is not None]


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _cpus() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
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

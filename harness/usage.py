"""What a server's processes use: CPU time, memory, threads, context switches, before and after a trial."""

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil

from harness.record import ServerUsage


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters of a process and its descendants at one moment, times in seconds since their start."""

    cpu_s: float
    user_s: float
    system_s: float
    rss_bytes: int
    threads: int
    voluntary_switches: int
    involuntary_switches: int


def snapshot(pid: int) -> Snapshot | None:
    """Return the counters of a process and all its descendants, or None if it is gone.

    CPU time includes that of descendants which have ended and were waited for. A single process's memory is its
    resident set; of several it is the sum of their proportional sets, in which what they share counts once
    (smaps_rollup in proc(5)).
    """
    try:
        process = psutil.Process(pid)
        family = [process, *_descendants(process)]
        return _sum([_counters(each, alone=len(family) == 1) for each in family])
    except psutil.NoSuchProcess:
        # A process that has just ended took its counters to its parent: look again, unless it is the first one.
        return snapshot(pid) if psutil.pid_exists(pid) else None


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        if not children.read_text():
            return []  # the usual case, without a search through all processes
    except OSError:
        pass  # not Linux, or a kernel without CONFIG_PROC_CHILDREN
    return process.children(recursive=True)


def _counters(process: psutil.Process, alone: bool) -> Snapshot:
    """Return the counters of one process, with the CPU time of its children that were waited for."""
    with process.oneshot():
        times = process.cpu_times()
        memory = process.memory_info().rss if alone or not psutil.LINUX else process.memory_full_info().pss
        threads = process.num_threads()
    voluntary, involuntary = _context_switches(process)
    ended_s = times.children_user + times.children_system
    return Snapshot(
        cpu_s=_cpu_s(process.pid, times.user + times.system) + ended_s,
        user_s=times.user + times.children_user,
        system_s=times.system + times.children_system,
        rss_bytes=memory,
        threads=threads,
        voluntary_switches=voluntary,
        involuntary_switches=involuntary,
    )


def _sum(family: Sequence[Snapshot]) -> Snapshot:
    return Snapshot(*(sum(values) for values in zip(*map(astuple, family), strict=True)))


def usage(before: Snapshot, after: Snapshot, rss_start_bytes: int) -> ServerUsage:
    """Return what was used between two snapshots.

    The total is exact; it is shared out between user and system mode as the kernel's clock ticks say.

    Args:
        before: At the start of the trial.
        after: At its end.
        rss_start_bytes: Resident memory before the first connection.
    """
    cpu_s = after.cpu_s - before.cpu_s
    user_ticks_s = after.user_s - before.user_s
    system_ticks_s = after.system_s - before.system_s
    ticks_s = user_ticks_s + system_ticks_s
    user_s = cpu_s * user_ticks_s / ticks_s if ticks_s > 0 else cpu_s
    return ServerUsage(
        cpu_s=cpu_s,
        user_s=user_s,
        system_s=cpu_s - user_s,
        rss_bytes=after.rss_bytes,
        rss_start_bytes=rss_start_bytes,
        threads=after.threads,
        voluntary_switches=after.voluntary_switches - before.voluntary_switches,
        involuntary_switches=after.involuntary_switches - before.involuntary_switches,
    )


def _cpu_s(pid: int, ticks_s: float) -> float:
    """Return the CPU time of a process to the nanosecond where the kernel tells, else to the clock tick.

    A process has a CPU-time clock whose id is made of its number (clock_getcpuclockid(3)); psutil's times count in
    ticks of 10 ms, which is 3% of a trial of 300 ms.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return ticks_s


def _context_switches(process: psutil.Process) -> tuple[int, int]:
    """Return voluntary and involuntary switches of all threads; the process's own counter is its first thread's."""
    totals = {"voluntary_ctxt_switches": 0, "nonvoluntary_ctxt_switches": 0}
    tasks = Path(f"/proc/{process.pid}/task")
    if not tasks.exists():
        switches = process.num_ctx_switches()
        return switches.voluntary, switches.involuntary
    for status in tasks.glob("*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:
            continue  # the thread has ended meanwhile
        for line in lines:
            key, _, value = line.partition(":")
            if key in totals:
                totals[key] += int(value)
    return totals["voluntary_ctxt_switches"], totals["nonvoluntary_ctxt_switches"]

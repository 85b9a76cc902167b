"""The machine: its fingerprint, which CPUs go to whom, what it has done meanwhile, and how many files may be open."""

import hashlib
import os
import platform
import resource
import socket
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
UNLIMITED_DESCRIPTORS = 1 << 20


@dataclass(frozen=True, slots=True)
class CpuSplit:
    """Who runs where; empty means anywhere.

    Attributes:
        servers: CPUs of the measured servers.
        generators: CPUs of the load generators.
        orchestrator: CPUs of this process.
    """

    servers: frozenset[int]
    generators: frozenset[int]
    orchestrator: frozenset[int]

    def apart(self, generators: int = 1) -> bool:
        """Return whether each of so many generators has a CPU that neither a server nor another of them uses."""
        return not self.servers & self.generators and len(self.generators) >= generators


def usable_cpus() -> list[int]:
    """Return the numbers of the CPUs that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def split_cpus(generators: int = 1) -> CpuSplit:
    """Give servers a core and each generator its own, and this process the rest, or the generators' where none is left.

    Threads of one core share its execution units, so server and generator never get two threads of the same core if
    there is another. With a single CPU everybody shares it, and latencies include that.

    Args:
        generators: Generator processes of a cell; where there are fewer cores, they share them.
    """
    if not hasattr(os, "sched_getaffinity"):
        return CpuSplit(frozenset(), frozenset(), frozenset())
    usable = usable_cpus()
    cores: dict[str, int] = {}
    for cpu in usable:
        siblings = _read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        cores.setdefault(siblings, cpu)
    chosen = list(cores.values()) if len(cores) > 1 else usable
    server, loading = chosen[0], frozenset(chosen[1 : 1 + generators] or chosen)
    rest = frozenset(usable) - {server} - loading
    return CpuSplit(frozenset({server}), loading, rest or loading)


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit of open files to the hard one, for its children too, and return it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = UNLIMITED_DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return hard


def most_waiting() -> int:
    """Return the longest backlog that the kernel grants; it shortens longer ones silently (listen(2))."""
    return int(_read("/proc/sys/net/core/somaxconn") or socket.SOMAXCONN)


def steal_s() -> float:
    """Return the CPU time that a hypervisor has given to others since boot, all CPUs together, in seconds."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def waited_for_cpu_s(pid: int) -> float:
    """Return how long a thread, or the first of a process, has been ready to run but waited for a CPU, in seconds.

    It is the second number of /proc/PID/schedstat (Documentation/scheduler/sched-stats.rst); 0 where there is none.
    """
    numbers = _read(f"/proc/{pid}/schedstat").split()
    return int(numbers[1]) / 1e9 if len(numbers) > 1 else 0.0


def fingerprint() -> dict[str, Any]:
    """Return what a reader needs to know of this machine and installation to judge or repeat a run."""
    import ssl  # large, and of no use to those that measure nothing

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    vulnerabilities = Path("/sys/devices/system/cpu/vulnerabilities")
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "hypervisor": "hypervisor" in _read("/proc/cpuinfo"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not readable",
        "mitigations": {file.name: _read(str(file)) for file in sorted(vulnerabilities.glob("*"))},
        "clock_source": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "open_files": {"soft": soft, "hard": hard},
        "somaxconn": _read("/proc/sys/net/core/somaxconn"),
        "port_range": _read("/proc/sys/net/ipv4/ip_local_port_range").split(),
        "load_average": list(os.getloadavg()),
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
        "openssl": ssl.OPENSSL_VERSION,
    }


def installation() -> dict[str, Any]:
    """Return which muxbench this is: version, commit where it is a checkout, and a hash of what is measured."""
    return {"version": version("muxbench"), "commit": _commit(), "measured_code": measured_code()}


def measured_code() -> str:
    """Return a SHA-256 over the code that runs in the measured process: the folders backends and scenarios."""
    digest = hashlib.sha256()
    for folder in ("backends", "scenarios"):
        for file in sorted([*(ROOT / folder).rglob("*.py"), *(ROOT / folder / "external").glob("*/*")]):
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _commit() -> str:
    try:
        described = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return described.stdout.strip() if (ROOT / ".git").exists() else ""


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""

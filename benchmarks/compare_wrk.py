"""Compare the generator with Debian's wrk: requests per second and latency percentiles of HTTP on the same server.

    apt-get install wrk && python benchmarks/compare_wrk.py

Both load the same backend, which serves the exchange http_plain on CPU 0, over the same number of connections, from
CPU 1. They take turns, in random order, each with fresh connections, and the figure is the median of the ratios of
neighbouring turns. wrk is a closed loop with one request in flight on each connection, so the generator runs as one
here; it verifies every byte of each reply, wrk only where each reply ends. As in a run, it watches for replies
without sleeping (which is not in its CPU time here); wrk sleeps when there is none.
"""

import argparse
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from backends.find import find_backends  # noqa: E402
from harness.loadgen.spec import LoadSpec  # noqa: E402
from harness.process import GeneratorProcess  # noqa: E402
from harness.servers import start_server  # noqa: E402
from harness.stats import decode, percentiles_ns  # noqa: E402
from scenarios.session import load_exchange  # noqa: E402

UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6}
PERCENTS = (50.0, 99.0)


def turn_of_wrk(port: int, connections: int, size: int, duration_s: int, cpu: int) -> tuple[float, ...]:
    """Return wrk's requests per second, CPU microseconds per request, and percentiles in microseconds."""
    url = f"http://127.0.0.1:{port}/{size}/{0:016x}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(
        ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{duration_s}s", url],
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"wrk met errors:\n{output}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    times = dict(re.findall(r"(50|99)%\s+([\d.]+[a-z]+)", output))
    total = re.search(r"(\d+) requests in", output)
    if rate is None or total is None or len(times) != len(PERCENTS):
        raise SystemExit(f"wrk's output is not understood:\n{output}")
    return float(rate[1]), cpu_s / int(total[1]) * 1e6, *(in_us(times[f"{percent:g}"]) for percent in PERCENTS)


def in_us(text: str) -> float:
    """Return a time such as "1.25ms" in microseconds."""
    match = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    assert match is not None, text
    return float(match[1]) * UNITS_US[match[2]]


def turn_of_ours(load: LoadSpec, engine: str, duration_s: int, cpu: int, log: Path) -> tuple[float, ...]:
    """Return the same of our generator."""
    with GeneratorProcess(load, engine, log, cpus={cpu}) as generator:
        generator.connect()
        result = generator.trial(duration_s)
    if result.errors:
        raise SystemExit(f"errors: {result.errors} {result.fault}")
    percentiles = percentiles_ns(decode(result.latency), PERCENTS)
    cpu_us = (result.cpu_s - result.spun_s) / result.replied * 1e6
    return result.replied / result.duration_s, cpu_us, *(value / 1000 for value in percentiles)


def main() -> None:
    """Run the comparison and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="epoll")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--size", type=int, default=64, help="bytes of the body")
    parser.add_argument("--turns", type=int, default=8, help="pairs of turns")
    parser.add_argument("--duration-s", type=int, default=2, help="length of a turn in whole seconds")
    parser.add_argument("--engine", default="native", choices=["native", "portable"])
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    backends = find_backends()
    if arguments.backend not in backends:
        raise SystemExit(f"no backend is called {arguments.backend!r}; there are {', '.join(backends)}")
    program = backends[arguments.backend].program
    if program is not None and "http_plain" not in program.exchanges:
        raise SystemExit(f"{arguments.backend} serves {', '.join(program.exchanges)} only, and wrk speaks HTTP")
    cpus = sorted(os.sched_getaffinity(0))
    talk = load_exchange("http_plain").conversation(arguments.size)
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with start_server(backends[arguments.backend], "http_plain", log, cpus={cpus[0]}) as server:
            host, port = server.address
            load = LoadSpec(host, port, talk.request, talk.reply, arguments.connections, busy_wait=len(cpus) > 1)
            rest = (arguments.connections, arguments.size, arguments.duration_s, cpus[-1])
            for _ in range(arguments.turns):
                if random.random() < 0.5:
                    ours = turn_of_ours(load, arguments.engine, arguments.duration_s, cpus[-1], log)
                    theirs = turn_of_wrk(port, *rest)
                else:
                    theirs = turn_of_wrk(port, *rest)
                    ours = turn_of_ours(load, arguments.engine, arguments.duration_s, cpus[-1], log)
                pairs.append((ours, theirs))
    for item, title in enumerate(("requests/s", "CPU us/req", *(f"p{percent:g} us" for percent in PERCENTS))):
        ratios = sorted(ours[item] / theirs[item] for ours, theirs in pairs)
        print(
            f"{title:>12}: {arguments.engine} {statistics.median(ours[item] for ours, _ in pairs):10.1f}   "
            f"wrk {statistics.median(theirs[item] for _, theirs in pairs):10.1f}   "
            f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


if __name__ == "__main__":
    main()

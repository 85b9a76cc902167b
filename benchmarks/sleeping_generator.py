"""Measure what a generator that sleeps adds to the figures of a server: it and one that watches, over the same load.

    python benchmarks/sleeping_generator.py epoll asyncio-buffered --connections 1 100

Both load the same server from the same CPU, in turns. Where the generator's CPU sleeps between replies, the server
must wake it, and what that takes is in the server's CPU time and in every latency.
"""

import argparse
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from backends.find import Backend, find_backends
from harness.loadgen.engines import default_engine
from harness.loadgen.spec import LoadSpec
from harness.process import GeneratorProcess
from harness.servers import start_server
from harness.stats import decode, percentiles_ns
from harness.usage import snapshot, usage
from scenarios.exchanges.echo import conversation


def compare(backend: Backend, connections: int, trials: int, duration_s: float) -> None:
    """Print throughput, the server's CPU time and median latency, sleeping and watching."""
    first, *_, last = sorted(os.sched_getaffinity(0))
    talk = conversation(64)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with start_server(backend, "echo", log, cpus={first}) as server:
            load = LoadSpec(*server.address, talk.request, talk.reply, connections)
            with (
                GeneratorProcess(load, default_engine(), log, cpus={last}) as sleeping,
                GeneratorProcess(replace(load, busy_wait=True), default_engine(), log, cpus={last}) as watching,
            ):
                seen: dict[str, list[tuple[float, float, float]]] = {"sleeping": [], "watching": []}
                for number in range(trials + 1):
                    for name, generator in (("sleeping", sleeping), ("watching", watching)):
                        if not number:
                            generator.connect()
                        before = snapshot(server.pid)
                        result = generator.trial(duration_s)
                        after = snapshot(server.pid)
                        assert before is not None, "the server has ended"
                        assert after is not None, "the server has ended"
                        assert not result.errors, result.errors
                        cpu_us = usage(before, after, 0).cpu_s / result.replied * 1e6
                        latency_us = percentiles_ns(decode(result.latency), (50.0,))[0] / 1e3
                        if number:  # the first of each warms up
                            seen[name].append((result.replied / result.duration_s, cpu_us, latency_us))
    for name, figures in seen.items():
        rate, cpu_us, latency_us = (statistics.median(column) for column in zip(*figures, strict=True))
        print(
            f"{backend.traits.name:>18} {connections:6,} connections, generator {name}: {rate:10,.0f} requests/s, "
            f"server's CPU {cpu_us:5.1f} us/request, p50 {latency_us:8,.1f} us"
        )


def main() -> None:
    """Compare for each backend and number of connections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backends", nargs="+")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--trials", type=int, default=7)
    parser.add_argument("--duration-s", type=float, default=0.25)
    arguments = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("server and generator need a CPU each, and there is one")
    backends = find_backends()
    for name in arguments.backends:
        if name not in backends:
            raise SystemExit(f"no backend is called {name!r}; there are {', '.join(backends)}")
        for connections in arguments.connections:
            compare(backends[name], connections, arguments.trials, arguments.duration_s)


if __name__ == "__main__":
    main()

"""Show how punctual the generator is: its slip and latency in an open loop against the backend c-epoll.

    muxbench build c-epoll && python benchmarks/slip.py --rate 20000

The server runs on CPU 0, the generator on CPU 1. Slip is how late the generator was to act on a due request, through
no fault of the server.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from backends.find import find_backends  # noqa: E402
from harness.loadgen.engines import make_engine  # noqa: E402
from harness.loadgen.histogram import decode  # noqa: E402
from harness.loadgen.spec import Arrivals, LoadSpec  # noqa: E402
from harness.servers import start_server  # noqa: E402
from scenarios.exchanges.echo import conversation  # noqa: E402


def main() -> None:
    """Run trials and print their percentiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=20_000, help="requests per second")
    parser.add_argument("--process", default="poisson", choices=["poisson", "constant"])
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--duration-s", type=float, default=2.0)
    parser.add_argument("--engine", default="native", choices=["native", "portable"])
    arguments = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory() as folder,
        start_server(find_backends()["c-epoll"], "echo", Path(folder) / "log", cpus={cpus[0]}) as server,
    ):
        measure(arguments, server.address[1], cpus)


def measure(arguments: argparse.Namespace, port: int, cpus: list[int]) -> None:
    """Load a server, and print the percentiles of each trial."""
    os.sched_setaffinity(0, {cpus[-1]})
    talk = conversation(64)
    arrivals = Arrivals(arguments.process, arguments.rate)
    load = LoadSpec(
        "127.0.0.1", port, talk.request, talk.reply, arguments.connections, arrivals=arrivals, busy_wait=len(cpus) > 1
    )
    engine = make_engine(arguments.engine, load)
    engine.connect()
    for _ in range(arguments.trials):
        result = engine.trial(arguments.duration_s)
        line = f"{result.replied / result.duration_s:9.0f}/s of {arguments.rate:.0f}"
        for name, text in (("slip", result.slip), ("latency", result.latency)):
            histogram = decode(text)
            line += f"   {name} us:" + "".join(
                f" p{level:g} {histogram.get_value_at_percentile(level) / 1000:.1f}" for level in (50, 99, 99.9, 100)
            )
        work = (result.cpu_s - result.spun_s) / result.duration_s
        print(f"{line}   working {work:.0%}, spinning {result.spun_s / result.duration_s:.0%} {result.errors or ''}")
    engine.close()


if __name__ == "__main__":
    main()

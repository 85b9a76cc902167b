"""Compare the native load generator with a minimal C client: requests per second and CPU time per request.

    make -C benchmarks && muxbench build c-epoll && python benchmarks/generator.py

Both are connected to the same server, the backend c-epoll, all the time and take turns in short slices, in random
order, so that the noise of the machine falls on both alike; the figure is the median of the ratios of neighbouring
slices. The server runs on CPU 0, the clients on CPU 1. The native engine verifies and records everything; the C client
does neither.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from backends.find import find_backends  # noqa: E402
from harness.loadgen.engines import make_engine  # noqa: E402
from harness.loadgen.spec import LoadSpec  # noqa: E402
from harness.servers import start_server  # noqa: E402
from scenarios.exchanges.echo import conversation  # noqa: E402


def start(cpu: int, *command: str) -> "subprocess.Popen[str]":
    """Start a program with pipes, pinned to one CPU."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )


def main() -> None:
    """Run the comparison and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--size", type=int, default=64, help="bytes of a message")
    parser.add_argument("--slices", type=int, default=40, help="pairs of slices")
    parser.add_argument("--slice-s", type=float, default=0.5, help="length of a slice in seconds")
    parser.add_argument("--engine", default="native", choices=["native", "portable"])
    arguments = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory() as folder,
        start_server(find_backends()["c-epoll"], "echo", Path(folder) / "log", cpus={cpus[0]}) as server,
    ):
        compare(arguments, server.address[1], cpus)


def compare(arguments: argparse.Namespace, port: int, cpus: list[int]) -> None:
    """Have both take turns on a server, and print the figures."""
    client = start(
        cpus[-1], str(FOLDER / "build" / "echo_client"), str(port), str(arguments.connections), str(arguments.size)
    )
    os.sched_setaffinity(0, {cpus[-1]})
    talk = conversation(arguments.size)
    engine = make_engine(
        arguments.engine, LoadSpec("127.0.0.1", port, talk.request, talk.reply, connections=arguments.connections)
    )
    engine.connect()

    def slice_of_c() -> tuple[float, float]:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(f"{arguments.slice_s}\n")
        client.stdin.flush()
        requests, seconds, cpu_s = map(float, client.stdout.readline().split())
        return requests / seconds, cpu_s / requests * 1e6

    def slice_of_engine() -> tuple[float, float]:
        result = engine.trial(arguments.slice_s)
        assert not result.errors, result.errors
        return result.replied / result.duration_s, result.cpu_s / result.replied * 1e6

    pairs = []
    for number in range(arguments.slices + 1):
        if random.random() < 0.5:
            mine, theirs = slice_of_engine(), slice_of_c()
        else:
            theirs, mine = slice_of_c(), slice_of_engine()
        if number:  # the first pair warms up
            pairs.append((mine, theirs))
    engine.close()
    assert client.stdin is not None
    client.stdin.close()
    client.wait()
    for title, item in (("requests/s", 0), ("CPU us/request", 1)):
        mine_median = statistics.median(mine[item] for mine, _ in pairs)
        theirs_median = statistics.median(theirs[item] for _, theirs in pairs)
        ratios = sorted(mine[item] / theirs[item] for mine, theirs in pairs)
        low, high = ratios[len(ratios) // 4], ratios[len(ratios) * 3 // 4]
        print(
            f"{title:>15}: {arguments.engine} {mine_median:10.2f}   C {theirs_median:10.2f}   "
            f"ratio {statistics.median(ratios):.3f} (quartiles {low:.3f} to {high:.3f})"
        )


if __name__ == "__main__":
    main()

"""Show how much memory a generator process needs for its connections, all of them active.

    python benchmarks/generator_memory.py --connections 10000

The backend epoll echoes 64 bytes on CPU 0. Memory is the generator's resident set after a trial over all connections:
its interpreter, libraries and histograms included.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import psutil

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from backends.find import find_backends  # noqa: E402
from harness.loadgen.spec import LoadSpec  # noqa: E402
from harness.machine import raise_descriptor_limit  # noqa: E402
from harness.process import GeneratorProcess  # noqa: E402
from harness.servers import start_server  # noqa: E402
from scenarios.exchanges.echo import conversation  # noqa: E402


def main() -> None:
    """Connect, run a trial and print the generator's memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--engine", default="native", choices=["native", "portable"])
    arguments = parser.parse_args()
    if raise_descriptor_limit() < arguments.connections + 100:
        raise SystemExit(f"a process may not open {arguments.connections:,} connections here: see ulimit -n")
    cpus = sorted(os.sched_getaffinity(0))
    talk = conversation(64)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with start_server(find_backends()["epoll"], "echo", log, cpus={cpus[0]}) as server:
            load = LoadSpec(*server.address, talk.request, talk.reply, arguments.connections, grace_s=10)
            with GeneratorProcess(load, arguments.engine, log, cpus={cpus[-1]}) as generator:
                connected = generator.connect()
                result = generator.trial(3)
                resident = psutil.Process(generator.pid).memory_info().rss
    print(
        f"{arguments.engine}: {resident / 2**20:.1f} MiB resident with {connected.connected:,} connections, "
        f"{result.replied:,} replies, errors: {result.errors or 'none'}"
    )


if __name__ == "__main__":
    main()

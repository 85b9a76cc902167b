"""Prove what `muxbench duel` can tell apart: many duels of a server with itself, slowed by a known share.

    python benchmarks/prove_duel.py --slower 0        # how often does it name a winner where there is none?
    python benchmarks/prove_duel.py --slower 3%       # how often, and how soon, does it see that?

The share is that of the time that the server spends on a request, measured first as 1 / throughput at 100 connections,
where the server is the bottleneck; the turns of an empty loop that last so long are measured in this process.
"""

import math
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

import click

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from harness.report.frame import tabulate  # noqa: E402
from harness.scenario import parse_share  # noqa: E402
from harness.store import read_run  # noqa: E402
from scenarios.conditions import spins_per_s  # noqa: E402

BACKEND = FOLDER / "slowed_epoll.py"


@click.command()
@click.option("--slower", default="3%", show_default=True, help="Known difference; 0 is a duel with itself.")
@click.option("--duels", default=20, show_default=True)
@click.option("--budget", default="60s", show_default=True, help="Time of one duel.")
def main(slower: str, duels: int, budget: str) -> None:
    """Run the duels and count their answers."""
    share = 0.0 if slower == "0" else parse_share(slower)
    request_s = request_time_s()
    turns = round(share * request_s * spins_per_s())
    click.echo(f"a request takes {request_s * 1e6:.2f} us; {share:.1%} of it are {turns} turns")
    outcomes: Counter[str] = Counter()
    ratios, durations = [], []
    for number in range(duels):
        began = time.monotonic()
        said = muxbench("duel", f"{BACKEND}:turns={turns}", f"{BACKEND}:turns=0", "--budget", budget)
        durations.append(time.monotonic() - began)
        answer = " ".join(said.split())
        outcome = re.search(r" is (better|worse) than |are (equal) within|(undecided)", answer)
        ratio = re.search(r"throughput ratio ([\d.]+)", answer)
        if outcome is None or ratio is None:
            raise click.ClickException(f"not an answer: {said}")
        outcomes[next(filter(None, outcome.groups()))] += 1
        ratios.append(float(ratio.group(1)))
        click.echo(f"{number + 1:3} {durations[-1]:5.1f} s  {answer[:150]}")
    click.echo(f"{dict(outcomes)}; median ratio {median(ratios):.4f}, expected {1 / (1 + share):.4f}")
    click.echo(f"seconds: median {median(durations):.1f}, most {max(durations):.1f}")


def request_time_s() -> float:
    """Return the time that the server spends on one request, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        muxbench("run", "quick", "--connections", "100", "--backend", str(BACKEND), "--output", f"{folder}/run")
        cells = tabulate(read_run(Path(folder) / "run").records).cells
    throughput = float(cells["throughput_rps"].iloc[0])
    if math.isnan(throughput) or bool(cells["lower_bound"].iloc[0]):
        raise click.ClickException("the server was not the bottleneck: nothing can be said of its time")
    return 1 / throughput


def muxbench(*arguments: str) -> str:
    """Run the command and return what it prints."""
    ran = subprocess.run([Path(sys.executable).parent / "muxbench", *arguments], capture_output=True, text=True)
    if ran.returncode:
        raise click.ClickException(ran.stdout + ran.stderr)
    return ran.stdout


if __name__ == "__main__":
    main()

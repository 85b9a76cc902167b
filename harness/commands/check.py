"""`muxbench check`: which promises of the contract a backend keeps, in words."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.common import open_console, probe

if TYPE_CHECKING:
    from rich.console import Console

    from harness.plan import Candidate

AT_ONCE = 4
"""Checks mostly wait, so several run side by side."""

STYLES = {"holds": "green", "does not hold": "bold red", "does not apply": "dim"}
KIND_WIDTH = max(map(len, STYLES))


@click.command()
@click.argument("names", metavar="BACKEND...", nargs=-1, required=True)
@click.option("--python", default=sys.executable, help="Interpreter of the servers. Default: this one.")
def check(names: tuple[str, ...], python: str) -> None:
    """Check whether backends keep the contract; BACKEND is a name, a .py or a .toml file.

    The exit status is 1 if one of them does not.
    """
    from harness.plan import PlanError, choose_backends

    console = open_console()
    try:
        candidates = probe(choose_backends(names), python)
        for each in candidates:
            if each.unavailable:
                raise PlanError(f"backend {each.label} is unavailable: {each.unavailable}")
    except PlanError as fault:
        raise click.UsageError(str(fault)) from None
    failures = [_checked(each, python, console) for each in candidates]
    sys.exit(1 if any(failures) else 0)


def _checked(candidate: Candidate, python: str, console: Console) -> int:
    """Print how a backend does in every check and return how many it fails."""
    from rich.table import Table
    from rich.text import Text

    from harness.conformance import CHECKS, Check, outcome

    console.print(f"\n{candidate.label}: does it keep the contract?", style="bold", markup=False)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:

        def run(one: Check) -> tuple[str, str]:
            return outcome(one, candidate.backend, Path(folder) / f"{one.name}.log", python)

        for one, (kind, reason) in zip(CHECKS, pool.map(run, CHECKS), strict=True):
            counts[kind] += 1
            line = Table.grid(padding=(0, 2, 0, 0))
            line.add_column(width=KIND_WIDTH)
            line.add_row(Text(kind, style=STYLES[kind]), Text(one.sentence))
            if reason:
                line.add_row("", Text(reason, style=STYLES[kind]))
            console.print(line)
    console.print(", ".join(f"{count} {kind}" for kind, count in counts.items()), markup=False)
    return counts["does not hold"]

"""`muxbench compare`: what changed from one run to another, and whether it may."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from harness.commands.common import open_console

STYLES = {"better": "green", "worse": "red", "undecided": ""}


@click.command()
@click.argument("runs", metavar="RUN RUN...", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--fail-if", "limits", multiple=True, help='A ratio that must not be, such as "throughput < 0.97".')
@click.option("--markdown", is_flag=True, help="Print a Markdown table, for a pull request.")
def compare(runs: tuple[Path, ...], limits: tuple[str, ...], markdown: bool) -> None:
    """Compare runs with the first of them: ratios of later over earlier with intervals, and what else changed.

    The exit status is 1 if a limit is broken by more than chance.
    """
    from rich.table import Table
    from rich.text import Text

    from harness import compare_runs as rules
    from harness.report.frame import tabulate
    from harness.store import StoreError, read_run

    if len(runs) < 2:
        raise click.UsageError("give two runs or more: the folders that `muxbench run` wrote")
    console = open_console()
    try:
        parsed = [rules.Limit.parse(text) for text in limits]
        read = [read_run(path) for path in runs]
    except (rules.LimitError, StoreError) as fault:
        raise click.UsageError(str(fault)) from None
    for run in read:
        for problem in run.problems:
            click.echo(problem, err=True)
    frames = [tabulate(run.records) for run in read]
    failed = False
    for path, run, each in zip(runs[1:], read[1:], frames[1:], strict=True):
        found = rules.changes(frames[0], each)
        if not found:
            raise click.UsageError(f"{runs[0]} and {path} have no cell in common")
        broken = [change for change in found if any(limit.broken_by(change) for limit in parsed)]
        failed = failed or bool(broken)
        if markdown:
            click.echo(rules.to_markdown(found, broken))
            continue
        console.print(Text(f"\n{path} over {runs[0]}", style="bold"))
        table = Table("cell", "metric", "ratio", "95% interval", "", box=None, pad_edge=False)
        for change in found:
            interval = "?" if math.isnan(change.low) else f"{change.low:.3f} to {change.high:.3f}"
            words = "limit broken" if change in broken else change.verdict
            style = "bold red" if change in broken else STYLES[change.verdict]
            cells = (change.cell, change.metric, f"{change.ratio:.3f}", interval, words)
            table.add_row(*(Text(text, style=style) for text in cells))
        console.print(table)
        differences = [
            *rules.only_in_one(frames[0], each),
            *rules.environment_changes(read[0].manifest, run.manifest),
        ]
        console.print(Text("What else differs: " + ("; ".join(differences) or "nothing"), style="dim"))
        console.print(Text("The runs were not interleaved: `muxbench duel` compares on equal terms.", style="dim"))
    sys.exit(1 if failed else 0)

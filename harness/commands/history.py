"""`muxbench history`: how backends fared from run to run."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.common import open_console, say_written


@click.command()
@click.argument(
    "folders", metavar="RUN RUN...", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Where to write.", required=True)
def history(folders: tuple[Path, ...], output: Path) -> None:
    """Draw several runs as lines by date and commit, and say what changed on the machine between them."""
    from harness.report import history as report
    from harness.store import StoreError, read_run

    if len(folders) < 2:
        raise click.UsageError("give two runs or more: the folders that `muxbench run` wrote")
    console = open_console()
    try:
        runs = report.in_order([read_run(path) for path in folders])
    except StoreError as fault:
        raise click.UsageError(str(fault)) from None
    for run in runs:
        for problem in run.problems:
            click.echo(problem, err=True)
    if not all(run.records for run in runs):
        raise click.UsageError("one of these runs has no records: leave it out")
    for name, differences in report.what_changed(runs):
        console.print(f"{name}: {'; '.join(differences) or 'nothing else changed'}", markup=False)
    try:
        say_written(
            report.write_history(report.gather(runs), [report.called(run.manifest) for run in runs], output), console
        )
    except OSError as fault:
        raise click.ClickException(f"{fault.filename}: {fault.strerror}") from None

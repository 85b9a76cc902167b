"""`muxbench report`: the tables, files and charts of a run."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.common import open_console, say_written, show_report, split


@click.command()
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path, exists=True))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Where to write. Default: RUN/report.")
@click.option("--baseline", help="Backend that the others are compared with. Default: the fastest of each point.")
@click.option(
    "--backend",
    "-b",
    multiple=True,
    callback=split,
    help="Report these only, separated by commas: for a chart of a few. Default: all.",
)
@click.option(
    "--histograms",
    is_flag=True,
    help="Write latencies for HdrHistogram's plotters too: a log, and a .hgrm of each cell.",
)
def report(source: Path, output: Path | None, baseline: str | None, backend: list[str], histograms: bool) -> None:
    """Show a run's tables and write its report: an HTML page, tables and charts; RUN is its folder.

    RUN may also be the JSON file of `make microbench`.
    """
    console = open_console()
    if source.is_dir():
        show_report(source, output or source / "report", baseline, console, backend)
        if histograms:
            from harness.report.histograms import write_histograms
            from harness.store import read_run

            log, *distributions = write_histograms(
                read_run(source).records, (output or source / "report") / "histograms"
            )
            say_written([log], console)
            console.print(f"{len(distributions)} .hgrm files beside it", style="dim")
        return
    from harness.report import microbench

    try:
        frame = microbench.read_microbench(source)
    except microbench.MicrobenchError as fault:
        raise click.UsageError(str(fault)) from None
    microbench.render(frame, console)
    say_written(microbench.draw(frame, output or source.parent / f"{source.stem}-report"), console)

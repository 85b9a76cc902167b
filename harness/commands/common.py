"""What several commands do alike: the console, values of options, probing backends, showing a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from harness.plan import Candidate


def split(_context: click.Context, _option: click.Parameter, value: str | Sequence[str] | None) -> list[str] | None:
    """Return the values of an option, which may be separated by commas and the option be repeated."""
    if value is None:
        return None
    texts = [value] if isinstance(value, str) else value
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]


def open_console() -> Console:
    """Return standard output; a file or a pipe, which has no width, is as wide as the widest table."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def probe(backends: dict[str, Any]) -> list[Candidate]:
    """Return backends with what the probe says of them: versions, or why they cannot run."""
    from harness.plan import Candidate
    from harness.process import probe_backends

    facts = probe_backends(backends)
    return [Candidate(backend, facts[name][1], facts[name][0]) for name, backend in backends.items()]


def show_report(run_path: Path, out_dir: Path, baseline: str | None, console: Console) -> None:
    """Print a run's tables and write its report, with one line for each thing that could not be read.

    Raises:
        click.ClickException: It is no run, the baseline is not in it, or the report cannot be written.
    """
    from harness.report.frame import tabulate
    from harness.report.terminal import render
    from harness.report.write import write_report
    from harness.store import StoreError, read_run

    try:
        measured = read_run(run_path)
        for problem in measured.problems:
            console.print(problem, style="yellow", markup=False)
        names = {record.backend for record in measured.records}
        if baseline is not None and baseline not in names:
            raise click.UsageError(
                f"the baseline {baseline!r} is not in this run; there are {', '.join(sorted(names))}"
            )
        frames = tabulate(measured.records)
        render(frames, console, baseline)
        say_written(write_report(frames, measured.manifest, out_dir, baseline), console)
    except StoreError as fault:
        raise click.UsageError(str(fault)) from None
    except OSError as fault:
        raise click.ClickException(f"{fault.filename}: {fault.strerror}") from None


def say_written(files: Sequence[Path], console: Console) -> None:
    """Print which files a report has."""
    if not files:
        return
    folder = files[0].parent
    console.print(f"Report in {folder}:", markup=False)
    console.print("  " + ", ".join(str(file.relative_to(folder)) for file in files), markup=False)

"""Several runs in the order in which they were made: their cells as one table, and how each run is called."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.compare_runs import environment_changes
from harness.report.charts import history
from harness.report.charts.look import drawing
from harness.report.charts.selection import named
from harness.report.charts.sheet import write
from harness.report.frame import plain, tabulate
from harness.store import Run

METRICS = {"throughput": "throughput_rps", "p99": "p99_us", "cpu": "cpu_us", "memory": "rss_bytes"}
"""Name of a metric, and of its chart -> its column."""


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Return the runs by the time when they were started, the earliest first."""
    return sorted(runs, key=lambda run: str(run.manifest.get("started", "")))


def called(manifest: Mapping[str, Any]) -> str:
    """Return what a run is called along an axis: its date and the commit that was measured, on two lines."""
    program = manifest.get("muxbench")
    commit = program.get("commit") if isinstance(program, Mapping) else None
    return (
        plain(str(manifest.get("started", "?"))[:16].replace("T", " ")) + "\n" + plain(str(commit or "no commit"))[:12]
    )


def gather(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the cells of all runs with the columns `step`, the number of the run, and `series`.

    Axes that a run does not have are 0 there, as in any record.
    """
    tables = [tabulate(run.records).cells.assign(step=number) for number, run in enumerate(runs)]
    cells = pd.concat([table for table in tables if len(table)], ignore_index=True)
    axes = [column for column in cells.columns if cells[column].dtype.kind in "if" and column not in tables[0]]
    cells[axes] = cells[axes].fillna(0)
    return named(cells)


def what_changed(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Return for each run but the first how it is called, and what differs from the one before."""
    return [
        (called(after.manifest).replace("\n", " "), environment_changes(before.manifest, after.manifest))
        for before, after in itertools.pairwise(runs)
    ]


def write_history(cells: pd.DataFrame, names: Sequence[str], out_dir: Path) -> list[Path]:
    """Write the table as CSV and a chart of each metric as PNG and SVG; return the files.

    Args:
        cells: What `gather` returned.
        names: How the runs are called, in order.
        out_dir: Where to; made if it is missing.

    Raises:
        OSError: The folder cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    table = out_dir / "history.csv"
    runs = [names[step].replace("\n", " ") for step in cells["step"]]
    cells.assign(run=runs).to_csv(table, index=False, errors="replace")
    files = [table]
    with drawing():
        for metric, column in METRICS.items():
            figure = history.figure(cells, column, names)
            if figure is not None:
                files += write(figure, out_dir, f"history-{metric}")
    return files

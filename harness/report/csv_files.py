"""A run's records as CSV files: a row a trial, a row a cell, and a row a ratio to the baseline."""

from pathlib import Path

from harness.compare import ratios
from harness.report.frame import Frames


def write_csv(frames: Frames, out_dir: Path, baseline: str | None = None) -> list[Path]:
    """Write `trials.csv`, `cells.csv` and `ratios.csv` and return their paths.

    Args:
        frames: Tables of a run's records.
        out_dir: An existing folder.
        baseline: Backend that the others are compared with; None takes the fastest of each point.

    Raises:
        OSError: The folder cannot be written.
    """
    files = []
    compared = ratios(frames.trials, frames.cells, frames.axes, baseline)
    for name, table in (("trials.csv", frames.trials), ("cells.csv", frames.cells), ("ratios.csv", compared)):
        file = out_dir / name
        table.to_csv(file, index=False)
        files.append(file)
    return files

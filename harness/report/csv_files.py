"""A run's records as CSV files: a row a trial, and a row a cell."""

from pathlib import Path

from harness.report.frame import Frames


def write_csv(frames: Frames, out_dir: Path) -> list[Path]:
    """Write `trials.csv` and `cells.csv` and return their paths.

    Raises:
        OSError: The folder cannot be written.
    """
    files = []
    for name, table in (("trials.csv", frames.trials), ("cells.csv", frames.cells)):
        file = out_dir / name
        table.to_csv(file, index=False)
        files.append(file)
    return files

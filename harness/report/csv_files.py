"""A run's records as CSV files: a row a trial, and a row a cell."""

from collections.abc import Sequence
from pathlib import Path

from harness.record import Record
from harness.report import frame


def write_csv(records: Sequence[Record], out_dir: Path) -> list[Path]:
    """Write `trials.csv` and `cells.csv` and return their paths.

    Raises:
        OSError: The folder cannot be written.
    """
    files = []
    for name, table in (("trials.csv", frame.trials(records)), ("cells.csv", frame.cells(records))):
        file = out_dir / name
        table.to_csv(file, index=False)
        files.append(file)
    return files

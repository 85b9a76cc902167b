"""A run's records as CSV files: a row a trial, a row a cell, and a row a ratio to the baseline."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.report.frame import Frames

if TYPE_CHECKING:
    from pandas import DataFrame


def write_csv(frames: Frames, ratios: "DataFrame", out_dir: Path) -> list[Path]:
    """Write `trials.csv`, `cells.csv` and `ratios.csv` and return their paths.

    Args:
        frames: Tables of a run's records.
        ratios: What `harness.compare.ratios` returned for them.
        out_dir: An existing folder.

    Raises:
        OSError: The folder cannot be written.
    """
    files = []
    for name, table in (("trials.csv", frames.trials), ("cells.csv", frames.cells), ("ratios.csv", ratios)):
        file = out_dir / name
        table.to_csv(file, index=False)
        files.append(file)
    return files

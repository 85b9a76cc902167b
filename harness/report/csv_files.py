"""A run's records as CSV files: a row a trial, a cell, a ratio to the baseline, and a cost along an axis."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.report.frame import Frames

if TYPE_CHECKING:
    from pandas import DataFrame


def write_csv(frames: Frames, ratios: "DataFrame", out_dir: Path, capacities: "DataFrame | None" = None) -> list[Path]:
    """Write `trials.csv`, `cells.csv`, `ratios.csv`, `growth.csv` and, if any, `capacity.csv`; return their paths.

    Args:
        frames: Tables of a run's records.
        ratios: What `harness.compare.ratios` returned for them.
        out_dir: An existing folder.
        capacities: What `harness.capacity.capacities` returned, if anything.

    Raises:
        OSError: The folder cannot be written.
    """
    files = []
    tables = {"trials": frames.trials, "cells": frames.cells, "ratios": ratios, "growth": frames.growths}
    if capacities is not None and len(capacities):
        tables["capacity"] = capacities
    for name, table in tables.items():
        file = out_dir / f"{name}.csv"
        table.to_csv(file, index=False)
        files.append(file)
    return files

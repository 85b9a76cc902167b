"""A run's tables for other programs: `report.json`, and Parquet where pyarrow is installed (the extra `parquet`)."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report.frame import Frames

if TYPE_CHECKING:
    from pandas import DataFrame


def write_json(frames: Frames, ratios: "DataFrame", file: Path, capacities: "DataFrame | None" = None) -> Path:
    """Write cells, ratios, growth, capacities and verdicts as one JSON object and return its path; NaN is null.

    Args:
        frames: Tables of a run's records.
        ratios: What `harness.compare.ratios` returned for them.
        file: In an existing folder.
        capacities: What `harness.capacity.capacities` returned, if anything.

    Raises:
        OSError: It cannot be written.
    """
    tables = {"cells": frames.cells, "ratios": ratios, "growth": frames.growths, "verdicts": frames.verdicts}
    if capacities is not None:
        tables["capacities"] = capacities
    parts = [f'"run": {json.dumps(frames.run)}', f'"axes": {json.dumps(frames.axes)}']
    parts += [f'"{name}": {table.to_json(orient="records", double_precision=15)}' for name, table in tables.items()]
    file.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")
    return file


def write_parquet(frames: Frames, out_dir: Path) -> list[Path]:
    """Write `trials.parquet` and `cells.parquet` and return their paths; none where pyarrow is not installed.

    Args:
        frames: Tables of a run's records.
        out_dir: An existing folder.

    Raises:
        OSError: The folder cannot be written.
    """
    if find_spec("pyarrow") is None:
        return []
    files = []
    for name, table in (("trials", frames.trials), ("cells", frames.cells)):
        file = out_dir / f"{name}.parquet"
        table.to_parquet(file, engine="pyarrow", index=False)
        files.append(file)
    return files

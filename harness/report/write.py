"""Everything that `muxbench report` writes: CSV files, a Markdown summary and charts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.report.charts import draw_charts
from harness.report.csv_files import write_csv
from harness.report.frame import Frames
from harness.report.markdown import to_markdown


def write_report(frames: Frames, manifest: Mapping[str, Any], out_dir: Path, baseline: str | None = None) -> list[Path]:
    """Write the report of a run.

    Args:
        frames: Tables of the run's records.
        manifest: Of the run.
        out_dir: Where to; made if it is missing, and what an earlier report left there is overwritten.
        baseline: Backend that the others are compared with; None takes the fastest of each point.

    Returns:
        The files written.

    Raises:
        OSError: The folder cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    summary = out_dir / "summary.md"
    summary.write_text(to_markdown(frames, manifest, baseline), encoding="utf-8", errors="replace")
    return [summary, *write_csv(frames, out_dir, baseline), *draw_charts(frames.cells, out_dir, frames.run)]

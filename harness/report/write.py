"""Everything that `muxbench report` writes: an HTML page, a Markdown summary, tables for programs, and charts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compare import ratios
from harness.report.charts import draw_charts
from harness.report.csv_files import write_csv
from harness.report.exports import write_json, write_parquet
from harness.report.frame import Frames
from harness.report.html import to_html
from harness.report.markdown import to_markdown

if TYPE_CHECKING:
    from pandas import DataFrame


def write_report(
    frames: Frames,
    manifest: Mapping[str, Any],
    out_dir: Path,
    baseline: str | None = None,
    problems: Sequence[str] = (),
    capacities: "DataFrame | None" = None,
) -> list[Path]:
    """Write the report of a run.

    Args:
        frames: Tables of the run's records.
        manifest: Of the run.
        out_dir: Where to; made if it is missing, and what an earlier report left there is overwritten.
        baseline: Backend that the others are compared with; None takes the fastest of each point.
        problems: One line for each thing that could not be read.
        capacities: What `harness.capacity.capacities` returned; None, or no row, if the run was no such search.

    Returns:
        The files written.

    Raises:
        OSError: The folder cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    compared = ratios(frames.trials, frames.cells, frames.axes, baseline)
    texts = {
        "report.html": to_html(frames, compared, manifest, problems, capacities),
        "summary.md": to_markdown(frames, manifest, baseline, capacities),
    }
    for name, text in texts.items():
        (out_dir / name).write_text(text, encoding="utf-8", errors="replace")
    return [
        *(out_dir / name for name in texts),
        *write_csv(frames, compared, out_dir, capacities),
        write_json(frames, compared, out_dir / "report.json", capacities),
        *write_parquet(frames, out_dir),
        *draw_charts(frames.cells, out_dir, frames.run, frames.growths, capacities),
    ]

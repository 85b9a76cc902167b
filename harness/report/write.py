"""Everything that `muxbench report` writes: CSV files, a Markdown summary and charts."""

from pathlib import Path

from harness.report.charts import draw_charts
from harness.report.csv_files import write_csv
from harness.report.frame import cells
from harness.report.markdown import to_markdown
from harness.store import Run


def write_report(run: Run, out_dir: Path, baseline: str | None = None) -> list[Path]:
    """Write the report of a run.

    Args:
        run: The run.
        out_dir: Where to; made if it is missing, and what an earlier report left there is overwritten.
        baseline: Backend that the others are compared with; None takes the fastest of each point.

    Returns:
        The files written.

    Raises:
        OSError: The folder cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    summary = out_dir / "summary.md"
    summary.write_text(to_markdown(run.records, run.manifest, baseline), encoding="utf-8")
    title = run.records[0].run if run.records else ""
    return [summary, *write_csv(run.records, out_dir), *draw_charts(cells(run.records), out_dir, title)]

"""A run's latencies in HdrHistogram's own formats, for its plotters and analysers.

`latency.hlog` is an interval log, version 1.3: a line a trial with its cell as the tag, and the histogram as the record
has it. A `.hgrm` file is the percentile distribution of one cell, in milliseconds, merged over its rounds by adding
counters. (HdrHistogram, HistogramLogWriter and outputPercentileDistribution; the latter is that library's here.)
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from hdrh.histogram import HdrHistogram

from harness import stats
from harness.loadgen.histogram import COUNTS, encode_counts
from harness.record import Record
from harness.report.frame import axes

NS_PER_MS = 1e6

LOG_HEAD = (
    "#[Histogram log format version 1.3]\n"
    "#[Logged by muxbench: latency in nanoseconds, a line a trial; Interval_Max is in milliseconds]\n"
    '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
)


def write_histograms(records: Sequence[Record], out_dir: Path) -> list[Path]:
    """Write `latency.hlog` and a `.hgrm` file for each cell, and return their paths.

    Args:
        records: Of a run; those without a usable result are left out.
        out_dir: Folder to write to; made if it is missing.

    Raises:
        OSError: The folder cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    named = axes(records)
    usable = [record for record in records if record.usable and record.result is not None and record.result.latency]
    log = out_dir / "latency.hlog"
    log.write_text(LOG_HEAD + "".join(_log_lines(usable, named)), encoding="ascii")
    cells: dict[str, list[stats.Histogram]] = {}
    for record in usable:
        if record.result is not None:
            cells.setdefault(_cell_name(record, named), []).append(stats.decode(record.result.latency))
    return [log, *(_write_distribution(name, stats.merge(found), out_dir) for name, found in cells.items())]


def _log_lines(records: Sequence[Record], named: Sequence[str]) -> Iterator[str]:
    for record in sorted(records, key=lambda record: record.started):
        if record.result is not None:
            started_s = datetime.fromisoformat(record.started).timestamp()
            longest_ms = HdrHistogram.decode(record.result.latency).get_max_value() / NS_PER_MS
            yield (
                f"Tag={_cell_name(record, named)},{started_s:.3f},{record.result.duration_s:.3f},{longest_ms:.3f},"
                f"{record.result.latency}\n"
            )


def _cell_name(record: Record, named: Sequence[str]) -> str:
    """Return a cell's name for a file and a tag: no comma, no space, no separator of folders.

    The interpreter is part of it, because a backend may be measured under several.
    """
    point = [f"{axis}={record.point[axis]}" for axis in named if record.point.get(axis)]
    words = "-".join([record.scenario, record.label, record.interpreter, record.result.loop, *point])  # type: ignore[union-attr]
    return re.sub(r"[^a-zA-Z0-9_=.@+-]+", "_", words).strip(".")


def _write_distribution(name: str, histogram: stats.Histogram, out_dir: Path) -> Path:
    counts = [0] * COUNTS
    for index, count in zip(histogram.indices.tolist(), histogram.counts.tolist(), strict=True):
        counts[index] = count
    file = out_dir / f"{name}.hgrm"
    with file.open("wb") as out:
        HdrHistogram.decode(encode_counts(counts)).output_percentile_distribution(out, NS_PER_MS)
    return file

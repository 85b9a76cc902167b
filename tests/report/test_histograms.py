"""HdrHistogram's own reader finds the samples of the records in what is exported."""

from pathlib import Path

import pytest
from hdrh.log import HistogramLogReader

from harness.loadgen.histogram import new_histogram
from harness.report.histograms import write_histograms
from tests.records import histogram, record, refused

SLOW = histogram((1_000_000, 90), (50_000_000, 10))
QUICK = histogram((200_000, 100))


def test_the_log_has_every_trial_under_the_name_of_its_cell(tmp_path: Path) -> None:
    files = write_histograms([record("slow", 0, latency=SLOW), record("quick", 0, latency=QUICK), refused()], tmp_path)
    read = HistogramLogReader(str(files[0]), new_histogram())
    found = []
    while (each := read.get_next_interval_histogram()) is not None:
        found.append((each.get_total_count(), each.get_value_at_percentile(99) / 1e6))
    assert found == [(100, pytest.approx(50, rel=1e-3)), (100, pytest.approx(0.2, rel=1e-3))]
    assert "Tag=" in files[0].read_text()


def test_a_distribution_is_that_of_all_rounds(tmp_path: Path) -> None:
    files = write_histograms([record("a", 0, latency=SLOW), record("a", 1, latency=QUICK)], tmp_path)
    [distribution] = [file for file in files if file.suffix == ".hgrm"]
    rows = [line.split() for line in distribution.read_text().splitlines() if line[:1] == " " and line.strip()]
    values = {float(row[1]): (float(row[0]), int(row[2])) for row in rows if row[0][0].isdigit()}
    assert values[1.0][1] == 200
    assert values[1.0][0] == pytest.approx(50, rel=1e-3)
    assert values[0.0][0] == pytest.approx(0.2, rel=1e-3)
    assert {count for value, count in values.values() if value == pytest.approx(0.2, rel=1e-3)} == {100}
    assert {count for value, count in values.values() if value == pytest.approx(1, rel=1e-3)} == {190}


def test_a_name_cannot_leave_the_folder_or_break_a_line(tmp_path: Path) -> None:
    files = write_histograms([record("../x,y\nz <b>", 0, latency=QUICK)], tmp_path / "out")
    assert all(file.parent == tmp_path / "out" for file in files)
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    assert len(files[0].read_text().splitlines()) == 4


def test_a_run_without_numbers_has_an_empty_log(tmp_path: Path) -> None:
    [log] = write_histograms([refused()], tmp_path)
    assert len(log.read_text().splitlines()) == 3

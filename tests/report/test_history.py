"""Runs are put in order, and the lines through them have the runs' own numbers."""

from pathlib import Path

from click.testing import CliRunner
from matplotlib.axes import Axes

from harness.cli import main
from harness.report import history
from harness.report.charts import history as chart
from harness.store import Run
from tests.records import rounds


def run(started: str, commit: str, *rates: float, **point: int) -> Run:
    return Run({"started": started, "muxbench": {"commit": commit}}, rounds("epoll", rates, **point), [])


LATER = run("2026-02-01T10:00:00", "b" * 12, 8_000, 8_000, 8_000)
EARLIER = run("2026-01-01T10:00:00", "a" * 12, 10_000, 10_000, 10_000)


def test_runs_are_put_in_the_order_of_their_dates() -> None:
    assert history.in_order([LATER, EARLIER]) == [EARLIER, LATER]
    assert history.called(LATER.manifest) == "2026-02-01 10:00\n" + "b" * 12


def test_a_line_goes_through_the_numbers_of_the_runs() -> None:
    cells = history.gather([EARLIER, LATER])
    figure = chart.figure(cells, "throughput_rps", ["first", "second"])
    assert figure is not None
    place: Axes = figure.axes[0]
    line = next(line for line in place.get_lines() if line.get_label() == "epoll")
    assert [tuple(point) for point in line.get_xydata()] == [(0, 10_000), (1, 8_000)]  # type: ignore[union-attr]
    assert [tick.get_text() for tick in place.get_xticklabels()] == ["first", "second"]


def test_what_changed_between_runs_is_said() -> None:
    assert history.what_changed([EARLIER, LATER]) == [
        ("2026-02-01 10:00 " + "b" * 12, ["muxbench.commit: aaaaaaaaaaaa -> bbbbbbbbbbbb"])
    ]


def test_the_files_are_written(tmp_path: Path) -> None:
    files = history.write_history(history.gather([EARLIER, LATER]), ["first\nx", "second\ny"], tmp_path)
    assert {file.name for file in files} >= {"history.csv", "history-throughput.png", "history-cpu.svg"}
    assert "second y" in (tmp_path / "history.csv").read_text(encoding="utf-8")


def test_one_run_is_no_history(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["history", str(tmp_path), "--output", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "two runs or more" in result.output

"""How cost grows is shown alike in every form, and the chart draws the fitted functions through what was measured."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from harness.compare import ratios
from harness.record import Record
from harness.report.charts import scaling as chart
from harness.report.charts.look import drawing
from harness.report.charts.selection import named
from harness.report.frame import Frames, tabulate
from harness.report.growth import growth_tables
from harness.report.html import to_html
from harness.report.markdown import to_markdown
from harness.report.write import write_report
from tests.records import RESULT, USAGE, record

LADDER = (0, 100, 300, 800, 3000, 10000)


def ladder(backend: str, intercept_us: float, slope_us: float, steps: tuple[int, ...] = LADDER) -> list[Record]:
    """CPU per request grows linearly along idle connections; nothing else does."""
    requests = RESULT.replied + RESULT.late
    return [
        record(
            backend,
            number,
            idle_connections=idle,
            server=replace(USAGE, cpu_s=(intercept_us + slope_us * idle) * (1 + number / 1000) * requests / 1e6),
        )
        for idle in steps
        for number in range(5)
    ]


@pytest.fixture
def frames() -> Frames:
    short = ladder("select", 20, 0.02, LADDER[:3])
    return tabulate([*ladder("poll", 20, 0.02), *ladder("epoll", 20, 0), *short])


@pytest.fixture
def figure(frames: Frames) -> Iterator[Figure]:
    with drawing():
        found = chart.figure(named(frames.cells), frames.growths, "t")
        assert found is not None
        yield found


def test_the_table_says_it_in_words_with_the_goodness(frames: Frames) -> None:
    [table] = growth_tables(frames.growths)
    assert "CPU per request grows linearly with idle connections for poll; stays constant for epoll." in table.sentences
    rows = {row[0]: row[1] for row in table.rows}
    assert rows["poll"] == "linear \u00d711, R² 1.000 (or n log n)"
    assert rows["epoll"] == "constant ±0%"
    assert rows["select"] == "too few points: 3 (4 needed)"
    [formula] = [row[1] for row in table.formulas if row[0] == "poll"]
    assert formula.endswith(": 20 µs + 20 ns·n")


def test_every_form_of_the_report_has_it(frames: Frames, tmp_path: Path) -> None:
    markdown = to_markdown(frames, {})
    page = to_html(frames, ratios(frames.trials, frames.cells, frames.axes), {})
    for text in (markdown, page):
        assert "How cost grows" in text
        assert "grows linearly with idle connections for poll; stays constant for epoll." in text
        assert "20 ns·n" in text
    files = {file.name: file for file in write_report(frames, {}, tmp_path)}
    assert "epoll,cpu_us,constant" in files["growth.csv"].read_text()
    assert '"model":"linear"' in files["report.json"].read_text()
    assert {"scaling.png", "scaling.svg"} <= files.keys()


def test_the_chart_draws_the_function_through_the_points(figure: Figure) -> None:
    cpu = figure.axes[0]
    assert cpu.get_title(loc="left") == "CPU per request"
    lines = {str(line.get_label()): line for line in cpu.get_lines()}
    x, y = (np.asarray(data) for data in lines["poll: linear"].get_data())
    assert x[0] == 0
    assert x[-1] == pytest.approx(10_000)
    assert y == pytest.approx(20.04 + 0.02004 * x, rel=2e-3)
    assert np.asarray(lines["epoll: constant"].get_ydata()) == pytest.approx(20.04, rel=2e-3)
    measured = [line for line in cpu.get_lines() if line.get_label() == "_measured"]
    points = sorted(tuple(point) for line in measured for point in np.column_stack(line.get_data()).tolist())
    assert len(points) == 6 + 6 + 3
    assert points[-1] == pytest.approx((10_000, 220.44), rel=1e-3)


def test_three_points_have_no_line(figure: Figure) -> None:
    assert not any(str(line.get_label()).startswith("select") for line in figure.axes[0].get_lines())
    assert any("fewer than 4 values" in text.get_text() for text in figure.texts)


def test_where_nothing_has_enough_points_there_is_a_sentence_and_no_chart() -> None:
    frames = tabulate(ladder("poll", 20, 0.02, (0, 100, 1000)))
    [table] = growth_tables(frames.growths)
    assert (table.sentences, table.rows) == (["too few points: 3 (4 needed)"], [])
    assert chart.figure(named(frames.cells), frames.growths, "t") is None


def test_each_combination_of_other_axes_has_its_rows_and_panels() -> None:
    records = [
        replace(each, point={**each.point, "message_size": size})
        for size in (64, 1024)
        for each in ladder("poll", 20, 0.02)
    ]
    frames = tabulate(records)
    table, of_sizes = growth_tables(frames.growths)
    assert of_sizes.sentences == ["too few points: 2 (4 needed)"]
    assert [row[0] for row in table.rows] == ["64 B messages", "1 KiB messages"]
    assert table.sentences == []
    with drawing():
        found = chart.figure(named(frames.cells), frames.growths, "t")
    assert found is not None
    assert [axes.get_title(loc="left") for axes in found.axes][::3] == [
        "CPU per request, 64 B messages",
        "CPU per request, 1 KiB messages",
    ]

"""Charts show the numbers they are given, name what they leave out, and stay readable whatever backends are called."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from pandas import DataFrame

from harness.report.charts import cpu, draw_charts, idle, latency, throughput
from harness.report.charts.look import COLOURS, GREY, count, darkened, drawing, duration, looks, size
from harness.report.charts.plots import spread
from harness.report.charts.selection import missing_notes, named
from harness.report.charts.sheet import PANEL_TITLE, Grid, lay_out, name_panel

NUMBERS = [
    "throughput_rps",
    "throughput_low",
    "throughput_high",
    "p50_us",
    "p90_us",
    "p99_us",
    "p999_us",
    "cpu_us",
    "user_us",
    "system_us",
    "server_busy",
    "generator_busy",
    "generator_cpu_us",
    "rss_bytes",
    "connection_bytes",
    "switches",
    "threads",
]


def cell(backend: str = "one", throughput_rps: float = 1000.0, **changes: object) -> dict[str, Any]:
    """One row of the frame; with a refusal it has no number."""
    row = {
        "scenario": "quick",
        "exchange": "echo",
        "backend": backend,
        "family": "readiness",
        "interpreter": "CPython 3.11.7",
        "connections": 1,
        "idle_connections": 0,
        "message_size": 64,
        "pipeline_depth": 1,
        "loop": "closed",
        "engine": "native",
        "rounds": 5,
        **dict.fromkeys(NUMBERS, 1.0),
        "throughput_rps": throughput_rps,
        "throughput_low": throughput_rps * 0.9,
        "throughput_high": throughput_rps * 1.2,
        "lower_bound": False,
        "samples": 1000,
        "errors": 0,
        "verdicts": "",
        "refusal": "",
        **changes,
    }
    if row["refusal"]:
        row.update(dict.fromkeys(NUMBERS, math.nan), engine="", loop="")
    return row


def ladder(**changes: object) -> DataFrame:
    """Two backends at 1, 10 and 100 connections."""
    return named(
        DataFrame(
            [
                cell(name, base * connections, connections=connections, **changes)
                for name, base in (("one", 100.0), ("two", 250.0))
                for connections in (1, 10, 100)
            ]
        )
    )


@pytest.fixture(autouse=True)
def _house_style() -> Iterator[None]:
    with drawing():
        yield


def figure_of(found: Figure | None) -> Figure:
    assert found is not None
    return found


def line_of(figure: Figure, name: str, panel: int = 0) -> tuple[list[float], list[float]]:
    [line] = [line for line in figure.axes[panel].get_lines() if line.get_label() == name]
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def texts(figure: Figure) -> list[str]:
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def prose(figure: Figure) -> str:
    """Everything written on the figure itself, with wrapped lines joined."""
    return " ".join(text.get_text() for text in figure.texts)


def hollow_points(figure: Figure) -> list[list[float]]:
    return [
        point
        for axes in figure.axes
        for line in axes.get_lines()
        if line.get_marker() not in ("None", "") and line.get_markerfacecolor() == "white"
        for point in np.column_stack(line.get_data()).tolist()
    ]


def test_a_throughput_line_goes_through_the_numbers_of_its_backend() -> None:
    figure = figure_of(throughput.figure(ladder(), "t"))
    assert line_of(figure, "one") == ([1, 10, 100], [100, 1000, 10000])
    assert line_of(figure, "two") == ([1, 10, 100], [250, 2500, 25000])
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_ylim()[0] == 0


def test_intervals_are_drawn_from_low_to_high() -> None:
    figure = figure_of(throughput.figure(ladder(), "t"))
    drawn = {tuple(map(tuple, path)) for bars in figure.axes[0].collections for path in bars.get_segments()}
    assert ((10.0, 900.0), (10.0, 1200.0)) in drawn
    assert len(drawn) == 6


@pytest.mark.parametrize(("draw", "axis"), [(throughput.figure, "connections"), (idle.figure, "idle_connections")])
@pytest.mark.parametrize("sizes", [1, 2, 3])
@pytest.mark.parametrize("steps", [(1, 10, 100), (0, 1000, 10000), (1, 2, 4, 8, 16, 32, 64)])
def test_no_interval_hides_another_or_leaves_the_panel(
    draw: Callable[[DataFrame, str], Figure | None], axis: str, sizes: int, steps: tuple[int, ...]
) -> None:
    rows = [
        cell(f"b{number}", 1000 + number, message_size=size, **{axis: step})
        for number in range(20)
        for step in steps
        for size in range(sizes)
    ]
    figure = figure_of(draw(named(DataFrame(rows)), "t"))
    figure.canvas.draw()
    for axes in figure.axes:
        places = sorted(
            bars.get_transform().transform(path[0])[0]
            for bars in axes.collections
            for path in bars.get_segments()  # type: ignore[attr-defined]
        )
        assert len(places) == 20 * len(steps)
        assert all(right - left > 1 for left, right in itertools.pairwise(places))
        panel = axes.get_window_extent()
        assert panel.x0 + 7 < places[0]
        assert places[-1] < panel.x1 - 7


def test_each_message_size_has_its_panel() -> None:
    cells = named(DataFrame([*ladder().to_dict("records"), *ladder(message_size=1024).to_dict("records")]))
    figure = figure_of(throughput.figure(cells, "t"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["64 B messages", "1 KiB messages"]


def test_one_number_of_connections_gives_rows_with_the_best_on_top() -> None:
    figure = figure_of(throughput.figure(named(DataFrame([cell("slow", 10), cell("fast", 2500)])), "t"))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["fast", "slow"]
    assert "2.5k" in texts(figure)


def test_a_point_that_is_missing_is_a_gap() -> None:
    cells = ladder()
    cells.loc[(cells["backend"] == "one") & (cells["connections"] == 10), NUMBERS] = math.nan
    _, heights = line_of(figure_of(throughput.figure(cells, "t")), "one")
    assert heights[0] == 100
    assert math.isnan(heights[1])
    assert heights[2] == 10000


def test_a_number_that_the_generator_bounds_is_hollow_and_explained() -> None:
    cells = ladder()
    assert hollow_points(figure_of(throughput.figure(cells, "t"))) == []
    cells.loc[(cells["backend"] == "two") & (cells["connections"] == 100), "lower_bound"] = True
    figure = figure_of(throughput.figure(cells, "t"))
    assert hollow_points(figure) == [[100, 25000]]
    assert any("lower bound" in text for text in texts(figure))


def test_a_refusal_is_named_with_its_reason_and_place() -> None:
    cells = named(
        DataFrame([*ladder().to_dict("records"), cell("bad", connections=100, refusal="too few\ndescriptors")])
    )
    for chart in (throughput, latency, cpu):
        assert "Not shown: bad (100 connections): too few descriptors" in prose(figure_of(chart.figure(cells, "t")))


def test_many_reasons_take_a_few_lines() -> None:
    cells = named(DataFrame([cell(f"b{number}", refusal=f"reason {number} " * 40) for number in range(20)]))
    notes = missing_notes(cells)
    assert len(notes) == 5
    assert "16 more reasons" in notes[-1]


def test_a_refusal_at_every_point_says_no_point() -> None:
    cells = named(DataFrame([*ladder().to_dict("records"), *ladder(refusal="no").to_dict("records")]))
    assert missing_notes(cells) == ["Not shown: one, two: no"]


def test_refusals_at_scattered_points_are_counted() -> None:
    scattered = [
        cell(
            "three", connections=connections, message_size=bytes_, refusal="no" if (connections, bytes_) in bad else ""
        )
        for bad in [{(1, 64), (10, 1024), (100, 64)}]
        for connections in (1, 10, 100)
        for bytes_ in (64, 1024)
    ]
    assert missing_notes(named(DataFrame(scattered))) == ["Not shown: three (3 points): no"]


def test_a_cell_that_failed_on_the_way_is_not_shown_but_named() -> None:
    cells = ladder()
    cells.loc[cells["backend"] == "one", "refusal"] = "crashed: signal 11"
    figure = figure_of(throughput.figure(cells, "t"))
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["two", "_measured"]
    assert "Not shown: one: crashed: signal 11" in prose(figure)


def test_an_axis_that_only_this_scenario_has_gets_its_panels() -> None:
    cells = named(DataFrame([*ladder(delay_ms=1).to_dict("records"), *ladder(delay_ms=20).to_dict("records")]))
    figure = figure_of(throughput.figure(cells, "t"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["delay ms 1", "delay ms 20"]


def test_latency_has_p50_and_p99_side_by_side() -> None:
    cells = ladder()
    cells["p50_us"] = cells["connections"] * 2.0
    cells["p99_us"] = cells["connections"] * 30.0
    figure = figure_of(latency.figure(cells, "t"))
    assert line_of(figure, "one", panel=0) == ([1, 10, 100], [2, 20, 200])
    assert line_of(figure, "one", panel=1) == ([1, 10, 100], [30, 300, 3000])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["p50", "p99"]
    assert figure.axes[0].get_yscale() == "log"
    assert "closed loop" in figure.axes[0].get_ylabel()


def test_open_loop_latency_is_labelled_so() -> None:
    figure = figure_of(latency.figure(ladder(loop="open"), "t"))
    assert "open loop" in figure.axes[0].get_ylabel()
    assert "Open loop" in prose(figure)


def test_latency_runs_along_the_load_of_an_open_loop_with_connections_in_panels() -> None:
    cells = DataFrame(
        [
            cell(connections=connections, loop="open", rate_percent=percent, p50_us=percent * 2.0, p99_us=percent * 9.0)
            for connections in (10, 100)
            for percent in (10, 50, 95)
        ]
    )
    figure = figure_of(latency.figure(named(cells), "A run"))
    assert line_of(figure, "one", panel=0) == ([10, 50, 95], [20, 100, 190])
    assert line_of(figure, "one", panel=3) == ([10, 50, 95], [90, 450, 855])
    assert "p99, 100 connections" in texts(figure)
    assert "% of each backend's capacity" in prose(figure)


def test_a_percentile_beyond_the_samples_is_left_out_and_said() -> None:
    figure = figure_of(latency.figure(ladder(p99_us=math.nan), "t"))
    assert figure.axes[1].get_lines()[:] == []
    assert latency.MISSING_TAIL in prose(figure)
    rows = figure_of(latency.figure(named(DataFrame([cell(p50_us=1500.0, p99_us=math.nan)])), "t"))
    assert "1.5 ms" in texts(rows)


def test_latency_at_one_number_of_connections_spans_p50_to_p99() -> None:
    figure = figure_of(latency.figure(named(DataFrame([cell(p50_us=20.0, p99_us=90.0)])), "t"))
    assert line_of(figure, "_span")[0] == [20, 90]
    assert line_of(figure, "one")[0] == [20]
    assert "20 µs / 90 µs" in texts(figure)


def test_ticks_of_a_narrow_range_of_latencies_are_written() -> None:
    cells = named(DataFrame([cell("one", p50_us=1210.0, p99_us=1340.0), cell("two", p50_us=1250.0, p99_us=1420.0)]))
    figure = figure_of(latency.figure(cells, "t"))
    low, high = figure.axes[0].get_xlim()
    assert len([tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]) >= 2


def test_cpu_bars_stack_user_and_kernel_time() -> None:
    cells = named(DataFrame([cell(cpu_us=10.0, user_us=3.0, system_us=7.0), cell("two", cpu_us=20.0)]))
    figure = figure_of(cpu.figure(cells, "t"))
    bars = [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert bars[:2] == [(0, 3), (3, 7)]
    assert "10.0 µs" in texts(figure)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["one", "two"]


def test_a_row_without_a_number_says_so_instead_of_showing_nothing() -> None:
    refused = cell("two", connections=10, refusal="no")
    cells = named(DataFrame([cell(), cell("two"), cell(connections=10), refused]))
    assert texts(figure_of(cpu.figure(cells, "t"))).count("not shown") == 1


def test_the_idle_ladder_shows_no_idle_connection_as_a_place_of_its_own() -> None:
    rows = [cell(throughput_rps=1000 - idle_, idle_connections=idle_) for idle_ in (0, 10, 100)]
    figure = figure_of(idle.figure(named(DataFrame(rows)), "t"))
    assert line_of(figure, "one") == ([0, 10, 100], [1000, 990, 900])
    figure.canvas.draw()
    places = [figure.axes[0].transData.transform((x, 0))[0] for x in (0, 10, 100)]
    assert np.isfinite(places).all()
    assert places[1] - places[0] > 50
    assert figure.axes[0].get_window_extent().x0 < places[0]
    assert places[2] < figure.axes[0].get_window_extent().x1
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0", "10", "100"]


def test_there_is_no_idle_ladder_of_one_step() -> None:
    assert idle.figure(ladder(), "t") is None


def test_charts_are_written_as_png_and_as_svg_with_text(tmp_path: Path) -> None:
    files = draw_charts(DataFrame(ladder()).drop(columns="series"), tmp_path / "new" / "folder", "Title & <more>")
    assert [file.name for file in files] == [
        f"{name}{ending}"
        for name in ("throughput", "latency", "cpu-per-request")
        for ending in (".png", ".svg", "-dark.png", "-dark.svg")
    ]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    written = [element.text for element in ElementTree.parse(files[1]).iter("{http://www.w3.org/2000/svg}text")]
    assert "Title & <more>" in written
    assert {"one", "two", "100"} <= set(written)


def test_on_dark_slides_white_is_black_and_every_colour_of_the_palette_is_seen(tmp_path: Path) -> None:
    (_png, svg, dark_png, dark_svg) = draw_charts(DataFrame(ladder()).drop(columns="series"), tmp_path, "t")[:4]
    assert matplotlib.image.imread(dark_png)[0, 0].tolist() == [0, 0, 0, 1]
    assert "fill: #000000" in dark_svg.read_text()
    assert svg.read_text().count("<text") == dark_svg.read_text().count("<text")
    assert "svg{fill: #ffffff}" in dark_svg.read_text()
    for colour in (*COLOURS, GREY):
        assert contrast_with_black(darkened(np.frombuffer(bytes.fromhex(colour[1:]), np.uint8))) > 4


def contrast_with_black(colour: "np.ndarray[Any, np.dtype[np.uint8]]") -> float:
    """The ratio that WCAG 2 defines."""
    linear = np.where(colour <= 10, colour / 255 / 12.92, ((colour / 255 + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722] + 0.05) / 0.05


def test_the_same_cells_give_the_same_file(tmp_path: Path) -> None:
    cells = DataFrame(ladder()).drop(columns="series")
    first, second = (draw_charts(cells, tmp_path / name, "t") for name in "ab")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_nothing_to_draw_gives_no_charts(tmp_path: Path) -> None:
    assert draw_charts(DataFrame([cell()]).head(0), tmp_path, "t") == []
    assert draw_charts(DataFrame(columns=list(cell())), tmp_path, "t") == []
    assert draw_charts(DataFrame([cell(refusal="no"), cell("two", refusal="no")]), tmp_path, "t") == []
    assert list(tmp_path.iterdir()) == []


def test_scenarios_of_one_run_have_charts_of_their_own(tmp_path: Path) -> None:
    rows = [cell(scenario="a"), cell(scenario="../b c")]
    names = {file.name for file in draw_charts(DataFrame(rows), tmp_path, "t")}
    assert {"a-throughput.png", "b-c-throughput.png"} <= names
    assert {file.name for file in tmp_path.iterdir()} == names


@pytest.mark.parametrize("name", ["$x_y$", "$\\frac{1$", "a & <b>", "_hidden", "x" * 60])
def test_a_name_stays_text(tmp_path: Path, name: str) -> None:
    cells = DataFrame([cell(name, connections=connections) for connections in (1, 10)])
    for file in draw_charts(cells, tmp_path, name):
        if file.suffix == ".svg":
            written = [element.text for element in ElementTree.parse(file).iter("{http://www.w3.org/2000/svg}text")]
            assert name in written


def test_cells_of_the_portable_generator_are_labelled() -> None:
    assert "portable generator" in prose(figure_of(throughput.figure(ladder(engine="portable"), "t")))
    cells = named(DataFrame([cell(engine="portable"), cell("two")]))
    assert cells["series"].tolist() == ["one (portable generator)", "two"]


def test_interpreters_are_told_apart_where_there_are_several() -> None:
    cells = named(DataFrame([cell(interpreter="CPython 3.11.7"), cell(interpreter="PyPy 7.3")]))
    assert cells["series"].tolist() == ["one · CPython 3.11.7", "one · PyPy 7.3"]
    styles = looks(zip(cells["series"], cells["backend"], strict=True))
    first, second = styles.values()
    assert first.colour == second.colour
    assert first.line != second.line


def test_a_backend_looks_the_same_in_any_company_and_any_process() -> None:
    alone = looks([("epoll", "epoll")])["epoll"]
    among = looks([(f"b{number}", f"b{number}") for number in range(20)] + [("epoll", "epoll")])["epoll"]
    assert (alone.colour, alone.marker) == (among.colour, among.marker)
    code = "from harness.report.charts.look import looks; print(looks([('epoll', 'epoll')])['epoll'].colour)"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert elsewhere.stdout.strip() == alone.colour


def test_those_who_share_a_colour_differ_in_their_lines() -> None:
    styles = list(looks((f"b{number}", f"b{number}") for number in range(20)).values())
    assert {style.colour for style in styles} <= set(COLOURS)
    assert len({(style.colour, style.marker, style.line) for style in styles}) == 20


def boxes_of_labels(figure: Figure) -> list[Any]:
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return [Text.get_window_extent(text, renderer) for axes in figure.axes for text in axes.texts if text.get_text()]


@pytest.mark.parametrize("backends", [3, 20])
def test_direct_labels_neither_overlap_nor_leave_the_figure(backends: int) -> None:
    rows = [
        cell(f"a backend {number}", 1000 + number, connections=connections)
        for number in range(backends)
        for connections in (1, 100)
    ]
    for chart in (throughput, latency):
        figure = figure_of(chart.figure(named(DataFrame(rows)), "t"))
        boxes = boxes_of_labels(figure)
        assert len(boxes) == backends * len(figure.axes)
        assert all(not one.overlaps(two) for place, one in enumerate(boxes) for two in boxes[:place])
        assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))


def test_a_legend_hides_no_panel() -> None:
    rows = [
        cell(f"b{number}", connections=c, message_size=s) for number in range(20) for c in (1, 10) for s in (1, 2, 3)
    ]
    figure = figure_of(throughput.figure(named(DataFrame(rows)), "t"))
    figure.canvas.draw()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert all(not box.overlaps(axes.get_window_extent()) for axes in figure.axes)
        assert figure.bbox.contains(*box.min)
        assert figure.bbox.contains(*box.max)


def test_labels_that_crowd_share_their_displacement() -> None:
    assert spread([0.1, 0.9], 0.2) == pytest.approx([0.1, 0.9])
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    assert spread([0.0, 0.0], 0.2) == pytest.approx([0.0, 0.2])
    assert spread([1.0, 1.0, 1.0], 0.2) == pytest.approx([0.6, 0.8, 1.0])
    assert spread([], 0.2) == []


def test_numbers_are_written_shortly() -> None:
    assert [count(value) for value in (0, 1, 950, 1000, 12500, 999_960, 1_200_000)] == [
        "0",
        "1",
        "950",
        "1k",
        "12.5k",
        "1M",
        "1.2M",
    ]
    assert [duration(value) for value in (0.5, 12, 1500, 2e6)] == ["0.5 µs", "12 µs", "1.5 ms", "2 s"]
    assert [size(value) for value in (64, 1024, 1.5 * 2**20)] == ["64 B", "1 KiB", "1.5 MiB"]


def test_a_large_grid_has_some_panels_and_says_what_is_left_out(tmp_path: Path) -> None:
    large = DataFrame(
        [
            cell(f"backend {number}", connections=connections, message_size=size)
            for number in range(21)
            for connections in (1, 10, 100, 1000, 5000)
            for size in (64, 256, 1024, 4096, 16384)
        ]
    )
    figure = figure_of(throughput.figure(named(large), "t"))
    assert [place.get_title(loc="left") for place in figure.axes] == ["64 B messages"]
    assert "Drawn: 1 of 5 combinations; report.html and cells.csv have all." in prose(figure)
    assert len(figure_of(cpu.figure(named(large), "t")).axes) == 5
    small = large[large["backend"].isin(["backend 1", "backend 2"])]
    assert len(figure_of(throughput.figure(named(small), "t")).axes) == 5
    scenarios = [large.assign(scenario=f"s{number}") for number in range(3)]
    files = draw_charts(pd.concat(scenarios), tmp_path, "t")
    assert [file.stem for file in files[::4]] == ["s0-throughput", "s1-throughput", "s2-throughput", "s0-latency"]


def test_the_name_of_a_panel_ends_where_the_panel_does() -> None:
    long = "16 KiB messages, 100 requests a connection, replies 1 ms late, over TLS"
    figure, places = lay_out(Grid(1, 2, 3.0, 2.0), "title", "subtitle")
    for place, name in zip(places, (long, "short"), strict=True):
        name_panel(place, name)
    names = {text.get_text(): text for text in figure.findobj(Text) if isinstance(text, Text)}
    assert names[long].get_window_extent().width <= places[0].get_window_extent().width + 1
    assert names["short"].get_fontsize() == PANEL_TITLE


def test_what_explains_the_marks_stays_within_the_figure() -> None:
    keys = [Line2D([], [], marker="o", label="a sentence that takes half of the figure or more") for _ in range(2)]
    figure, _ = lay_out(Grid(1, 1, 3.0, 2.0), "title", "subtitle", key=keys)
    below = figure.axes[0].get_window_extent().y0
    box = figure.legends[0].get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1
    assert 0 <= box.y0 <= box.y1 < below

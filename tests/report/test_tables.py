"""Frames, tables and their renderings show the numbers that the records hold, and names as they are."""

import csv
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from harness.record import Record, Verdict
from harness.report.frame import CELL_COLUMNS, tabulate
from harness.report.markdown import to_markdown
from harness.report.table import point_tables, size_text
from harness.report.terminal import render
from harness.report.write import write_report
from tests.records import RESULT, histogram, record, refused, rounds


def shown(records: list[Record], width: int = 120, baseline: str | None = None) -> str:
    output = StringIO()
    render(tabulate(records), Console(file=output, width=width, highlight=False), baseline)
    return output.getvalue()


def test_a_trial_has_its_costs_per_request() -> None:
    (row,) = tabulate([record()]).trials.to_dict("records")
    assert row["throughput_rps"] == 10_000
    assert row["cpu_us"] == pytest.approx(0.5 / 5_010 * 1e6)
    assert row["generator_busy"] == 0.5
    assert row["switches"] == pytest.approx(0.1)
    assert row["connection_bytes"] == 2**20
    assert row["p50_us"] == pytest.approx(100, rel=1e-3)
    assert math.isnan(row["p999_us"])


def test_a_cell_has_medians_over_rounds_and_percentiles_of_the_merged_histogram() -> None:
    (row,) = tabulate(rounds("epoll", [9_000, 9_500, 10_000, 15_000, 20_000])).cells.to_dict("records")
    assert row["throughput_rps"] == 10_000
    assert row["throughput_low"] == 9_000
    assert row["throughput_high"] == 20_000
    assert row["samples"] == 5 * 5_010
    assert row["rounds"] == 5
    assert row["p999_us"] == pytest.approx(9_000, rel=1e-3)
    assert row["user_us"] + row["system_us"] == pytest.approx(row["cpu_us"])


def test_an_end_of_an_interval_beside_1_is_not_written_as_1() -> None:
    rates = [9_980, 9_981, 9_982, 9_983, 9_984]
    (table,) = point_tables(tabulate([*rounds("fast", [10_000] * 5), *rounds("slow", rates)]))
    assert table.rows[1][3] == "1.00 [0.998, 0.998]"


def test_void_trials_do_not_count_and_name_the_reason() -> None:
    wrong = record(number=1, replied=1, verdicts=(Verdict("wrong replies", "byte 3"),))
    (row,) = tabulate([record(), wrong]).cells.to_dict("records")
    assert row["throughput_rps"] == 10_000
    assert row["rounds"] == 1
    assert row["refusal"] == "wrong replies: byte 3"


def test_verdicts_that_do_not_void_are_counted() -> None:
    bound = record(number=1, verdicts=(Verdict("generator-bound", "…"),))
    (row,) = tabulate([record(), bound]).cells.to_dict("records")
    assert row["lower_bound"]
    assert row["verdicts"] == "generator-bound 1/2"


def test_records_without_any_number_have_all_columns() -> None:
    assert list(tabulate([]).cells.columns) == CELL_COLUMNS
    (row,) = tabulate([refused()]).cells.to_dict("records")
    assert set(row) == set(CELL_COLUMNS)
    assert row["refusal"] == "refused: too many"


def test_a_table_is_sorted_by_throughput_and_compared_with_the_fastest() -> None:
    (table,) = point_tables(tabulate([*rounds("slow", [5_000] * 5), *rounds("fast", [10_000] * 5), refused()]))
    assert [row[0] for row in table.rows] == ["fast", "slow"]
    assert table.rows[0][3] == "baseline"
    assert table.rows[1][3] == "0.50 [0.50, 0.50]"
    assert table.failures == [("select", "refused: too many")]
    assert table.title == "synthetic: echo of 64 B, 10 connections, closed loop, 5 rounds"


def test_a_table_names_the_transport_that_records_without_one_had_by_default() -> None:
    local = replace(record(replied=1), point={**record().point, "transport": "unix"})
    tables = point_tables(tabulate([record(), local]))
    assert [table.title.split(", ")[2] for table in tables] == ["transport tcp", "transport unix"]


def test_the_baseline_can_be_chosen() -> None:
    (table,) = point_tables(tabulate([*rounds("slow", [5_000] * 5), *rounds("fast", [10_000] * 5)]), "slow")
    assert table.rows[0][3] == "2.00 [2.00, 2.00]"


def test_points_and_axes_of_their_own_are_told_apart() -> None:
    records = [record(connections=1), record(connections=2, message_size=1024, idle_connections=5)]
    records.append(replace(record(), point={**record().point, "delay_ms": 7}))
    titles = [table.title for table in point_tables(tabulate(records))]
    assert len(titles) == 3
    assert "1 connection," in titles[0]
    assert "1 KiB, 2 connections beside 5 idle ones" in titles[1]
    assert "delay_ms 7" in titles[2]


def test_the_terminal_shows_lower_bounds_loops_engines_and_missing_percentiles() -> None:
    bound = record(verdicts=(Verdict("generator-bound", "…"),), engine="portable", replied=10, late=0)
    text = shown([replace(bound, result=replace(RESULT, engine="portable", latency="")), refused("gone", "crashed")])
    for words in ("≥ 10,000", "closed loop", "portable generator", "gone: crashed: too many", "a lower bound", " - "):
        assert words in text


def test_the_terminal_says_how_many_points_it_leaves_out() -> None:
    text = shown([record(connections=number) for number in range(1, 34)])
    assert text.count("1 round") == 30
    assert "… and 3 more points: the report has all." in text


def test_only_marks_that_occur_are_explained() -> None:
    text = shown(rounds("epoll", [10_000] * 5))
    assert "lower bound" not in text
    assert "includes 1" not in text


@pytest.mark.parametrize("name", ["[red]x[/red]", "$x_y$", "a|b*c", "<script>"])
def test_names_are_text_whatever_they_look_like(name: str) -> None:
    assert name in shown([record(name)])
    document = to_markdown(tabulate([record(name)]), {})
    (line,) = (line for line in document.splitlines() if line.startswith("| ") and "10,000" in line)
    assert line.replace("\\", "").startswith(f"| {name} |")
    assert line.count("|") - line.count("\\|") == 11


@pytest.mark.parametrize(
    ("name", "as_text"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x00b\x07c", "a b c"),
        ("a\nb", "a b"),
        ("\x1b]0;title\x07x", "x"),
        ("a\udc80b", "a b"),
        ("後端", "後端"),
    ],
)
def test_what_is_no_text_in_a_name_or_a_reason_does_no_harm(tmp_path: Path, name: str, as_text: str) -> None:
    records = [*rounds(name, [1e4] * 5), refused(name + "2", reason=f"log: {name}")]
    frames = tabulate(records)
    assert list(frames.cells["backend"]) == [as_text, as_text + "2"]
    assert frames.cells["refusal"][1] == f"refused: log: {as_text}"
    for file in write_report(frames, {}, tmp_path):
        if file.suffix == ".svg":
            ElementTree.parse(file)
    assert as_text in shown(records)


def test_a_trial_that_took_no_time_has_no_rate() -> None:
    (row,) = tabulate([record(duration_s=0.0)]).cells.to_dict("records")
    assert math.isnan(row["throughput_rps"])
    assert row["rounds"] == 1


def test_a_bound_on_either_side_is_shown_and_explained() -> None:
    bound = (Verdict("generator-bound", "…"),)
    text = shown([*rounds("fast", [10_000] * 5, verdicts=bound), *rounds("slow", [5_000] * 5)])
    assert "≤ 0.50 [0.50, 0.50]" in text
    assert "for the baseline: an upper bound" in text


def test_a_wide_terminal_shows_p99_9_and_a_narrow_one_explains_only_what_it_shows() -> None:
    supported = [record(latency=histogram((100_000, 1_000)))]
    assert "p99.9" not in shown(supported, 120)
    assert "too few samples" not in shown(supported, 120)
    assert "p99.9" in shown(supported, 140)
    assert "too few samples" in shown(supported, 140)


@pytest.mark.parametrize("width", [80, 120, 140])
def test_the_table_fits_the_terminal(width: int) -> None:
    text = shown([*rounds("a-backend-name", [123_456] * 5), *rounds("another", [100_000] * 5)], width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "123,456" in text


def test_the_time_that_connecting_took_is_shown_where_connections_are_replaced() -> None:
    churn = [record(number=number, connection_time=histogram((200_000, 990), (3_000_000, 10))) for number in range(2)]
    (cell,) = tabulate(churn).cells.to_dict("records")
    assert cell["connect_p50_us"] == pytest.approx(200, rel=1e-3)
    assert cell["connect_p99_us"] == pytest.approx(200, rel=1e-3)
    assert "connect p50 us" in shown(churn, 140)
    assert " verdicts" in shown(churn, 140)
    assert "connect p50 us" in to_markdown(tabulate(churn), {})
    assert "connect p50" not in shown([record()], 140)
    assert "connect p50" not in to_markdown(tabulate([record()]), {})


def test_nothing_measured_is_said() -> None:
    assert "nothing was measured" in shown([])
    assert "without records" in to_markdown(tabulate([]), {})


def test_the_markdown_names_machine_and_command() -> None:
    manifest = {"machine": {"cpu": "Some CPU"}, "command": ["muxbench", "run", "quick", "-b", "a b"]}
    document = to_markdown(tabulate([record()]), manifest)
    assert "Some CPU" in document
    assert "muxbench run quick -b 'a b'" in document


@pytest.mark.parametrize("records", [[], [refused()], [*rounds("epoll", [1e4] * 5), refused()]])
def test_the_report_of_any_run_can_be_written(tmp_path: Path, records: list[Record]) -> None:
    files = write_report(tabulate(records), {}, tmp_path / "report")
    assert all(file.exists() for file in files)
    with (tmp_path / "report" / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == sum(each.usable for each in records)


def test_sizes_are_shown_in_the_largest_unit_that_divides_them() -> None:
    assert [size_text(size) for size in (64, 1000, 1024, 16384, 2**20)] == [
        "64 B",
        "1,000 B",
        "1 KiB",
        "16 KiB",
        "1 MiB",
    ]


def test_bars_are_as_long_as_the_throughput_where_there_is_room() -> None:
    records = [*rounds("fast", [10_000] * 5), *rounds("slow", [5_000] * 5)]
    lines = {line.split()[0]: line for line in shown(records, 140).splitlines() if line.startswith(("fast", "slow"))}
    assert (lines["fast"].count("█"), lines["slow"].count("█")) == (8, 4)
    assert "█" not in shown(records, 120)


def test_the_terminal_explains_the_verdicts_that_occur() -> None:
    disturbed = record(number=1, verdicts=(Verdict("disturbed", "…"),))
    assert "disturbed n/m: so in n of m trials. Something else ran on the CPU" in shown([record(), disturbed])
    assert "disturbed" not in shown([record()])


def test_the_terminal_is_silent_on_growth_of_which_nothing_is_known() -> None:
    records = [
        replace(each, point={**each.point, "connections": connections})
        for connections in (1, 10)
        for each in rounds("epoll", [10_000] * 5)
    ]
    assert "how cost grows" not in shown(records)
    assert "too few points: 2 (4 needed)" in to_markdown(tabulate(records), {})

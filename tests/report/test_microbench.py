"""What pytest-benchmark wrote comes back as numbers, table and chart; anything else is refused in one line."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.report.microbench import MicrobenchError, draw, read_microbench, render


def benchmark(
    multiplexer: str = "m", registered: int = 10, ready: int = 1, operation: str = "wait", median: float = 2e-6
) -> dict[str, Any]:
    return {
        "name": f"test[{multiplexer}-{registered}]",
        "extra_info": {
            "multiplexer": multiplexer,
            "registered": registered,
            "ready": ready,
            "operation": operation,
            "edge": False,
        },
        "stats": {"median": median, "q1": median * 0.9, "q3": median * 1.1, "rounds": 7},
    }


def written(path: Path, *benchmarks: object) -> Path:
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    return path


@pytest.fixture
def several(tmp_path: Path) -> Path:
    return written(
        tmp_path / "m.json",
        *(
            benchmark(name, registered, median=registered * 1e-6)
            for name in ("[b]flat", "steep")
            for registered in (10, 100)
        ),
        benchmark("steep", 100, ready=100, median=5e-6),
        benchmark("steep", 10, ready=0, operation="register + unregister", median=0.25e-6),
        {"name": "something else", "stats": {"median": 1}, "extra_info": {}},
    )


def test_costs_are_read_in_microseconds(several: Path) -> None:
    frame = read_microbench(several)
    assert len(frame) == 6
    [row] = frame[frame["operation"] != "wait"].to_dict("records")
    assert row == {
        "operation": "register + unregister",
        "ready": 0,
        "multiplexer": "steep",
        "registered": 10,
        "median_us": pytest.approx(0.25),
        "q1_us": pytest.approx(0.225),
        "q3_us": pytest.approx(0.275),
        "rounds": 7,
    }


def test_the_table_has_a_column_for_each_number_of_descriptors(several: Path) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    render(read_microbench(several), console)
    text = console.export_text()
    assert "[b]flat" in text
    assert "wait(), 100 ready" in text
    [line] = [line for line in text.splitlines() if "[b]flat" in line]
    cells = [part.strip() for part in line.strip("│ ").split("│")]
    assert cells == ["[b]flat", "10.00", "100.00", "too few points: 2 (4 needed)"]


def test_it_is_said_how_the_cost_of_a_wait_grows(tmp_path: Path) -> None:
    steps = (10, 100, 1_000, 10_000)
    file = written(
        tmp_path / "m.json",
        *(benchmark("flat", registered) for registered in steps),
        *(benchmark("steep", registered, median=1e-6 + registered * 1e-7) for registered in steps),
    )
    console = Console(width=120, record=True, file=io.StringIO())
    render(read_microbench(file), console)
    text = " ".join(console.export_text().split())
    assert "wait(), 1 ready grows linearly with registered descriptors for steep; stays constant for flat." in text
    assert "1 µs + 100 ns·n" in text


def test_the_chart_has_a_panel_for_each_operation(several: Path, tmp_path: Path) -> None:
    files = draw(read_microbench(several), tmp_path / "charts")
    assert [file.name for file in files] == [
        f"multiplexers{ending}" for ending in (".png", ".svg", "-dark.png", "-dark.svg")
    ]
    text = files[1].read_text()
    for title in ("wait(), 1 ready", "wait(), 100 ready", "register + unregister", "[b]flat"):
        assert title in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not from pytest-benchmark"),
        ('{"benchmarks": 3}', "not from pytest-benchmark"),
        ('{"benchmarks": []}', "holds no benchmark of a multiplexer"),
        ('{"benchmarks": [3]}', "damaged"),
        ('{"benchmarks": [{"name": "x", "extra_info": {"multiplexer": "m"}, "stats": {}}]}', "damaged"),
        ("\xff", "not JSON"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(MicrobenchError, match=reason) as caught:
        read_microbench(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MicrobenchError, match=r"absent\.json cannot be read: No such file"):
        read_microbench(tmp_path / "absent.json")

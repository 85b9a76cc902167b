"""What other programs read holds the numbers of the frames."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from harness.compare import ratios
from harness.record import Record
from harness.report import exports
from harness.report.frame import tabulate
from tests.records import record, refused, rounds

RECORDS = [*rounds("fast", [10_000.0] * 5), *rounds("slow", [5_000.0] * 5), refused("<script>")]


def test_json_holds_the_cells_ratios_and_verdicts(tmp_path: Path) -> None:
    frames = tabulate(RECORDS)
    compared = ratios(frames.trials, frames.cells, frames.axes)
    read = json.loads(exports.write_json(frames, compared, tmp_path / "report.json").read_text())
    assert read["run"] == "run"
    assert read["axes"] == frames.axes
    assert [(cell["backend"], cell["throughput_rps"]) for cell in read["cells"]] == [
        ("fast", 10_000),
        ("slow", 5_000),
        ("<script>", None),
    ]
    [found] = [each for each in read["ratios"] if each["metric"] == "throughput_rps"]
    assert (found["backend"], found["median"], found["verdict"]) == ("slow", 0.5, "worse")
    assert [each["reason"] for each in read["verdicts"]] == ["too many"]


def test_parquet_holds_the_trials_and_cells(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    frames = tabulate(RECORDS)
    trials, cells = (pd.read_parquet(file) for file in exports.write_parquet(frames, tmp_path))
    assert list(trials["throughput_rps"]) == [10_000] * 5 + [5_000] * 5
    assert list(cells.columns) == list(frames.cells.columns)
    assert math.isnan(cells["throughput_rps"][2])


@pytest.mark.parametrize("records", [[], [refused()], [record()]])
def test_a_run_with_little_or_nothing_can_be_exported(tmp_path: Path, records: list[Record]) -> None:
    frames = tabulate(records)
    compared = ratios(frames.trials, frames.cells, frames.axes)
    assert json.loads(exports.write_json(frames, compared, tmp_path / "report.json").read_text())["ratios"] == []
    exports.write_parquet(frames, tmp_path)


def test_without_pyarrow_there_is_no_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    assert exports.write_parquet(tabulate(RECORDS), tmp_path) == []
    assert list(tmp_path.iterdir()) == []

"""A run's folder keeps what was measured, whatever happens to it."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.loadgen.spec import TrialResult
from harness.record import SCHEMA, Record, RecordError, ServerUsage, Verdict
from harness.store import RECORDS, RunFolder, StoreError, read_run

counts = st.integers(0, 2**53)
seconds = st.floats(0, 1e6)
texts = st.text(max_size=20)

results = st.builds(
    TrialResult,
    engine=texts,
    loop=st.sampled_from(["closed", "open"]),
    duration_s=seconds,
    sent=counts,
    replied=counts,
    failed=counts,
    in_flight=counts,
    late=counts,
    errors=st.dictionaries(texts, counts, max_size=3),
    latency=texts,
    slices=st.lists(counts, max_size=10),
    cpu_s=seconds,
    fault=texts,
)
usages = st.builds(
    ServerUsage,
    cpu_s=seconds,
    user_s=seconds,
    system_s=seconds,
    rss_bytes=counts,
    rss_start_bytes=counts,
    threads=counts,
    voluntary_switches=counts,
    involuntary_switches=counts,
)
records = st.builds(
    Record,
    run=texts,
    scenario=texts,
    exchange=texts,
    backend=texts,
    family=texts,
    packages=st.dictionaries(texts, texts, max_size=2),
    interpreter=texts,
    point=st.dictionaries(texts, counts, max_size=4),
    round=st.integers(-1, 1000),
    started=texts,
    result=st.none() | results,
    server=st.none() | usages,
    verdicts=st.lists(st.builds(Verdict, kind=texts, reason=texts), max_size=3).map(tuple),
    load_average=seconds,
    steal_s=seconds,
)

ONE = Record("run", "s", "echo", "epoll", "readiness", {}, "", {"connections": 1}, 0, "now", None, None)


@given(records)
def test_a_record_survives_the_way_through_json(record: Record) -> None:
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


@given(
    st.recursive(
        st.none() | st.booleans() | counts | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
    )
)
def test_anything_else_is_refused_in_words(raw: object) -> None:
    with pytest.raises(RecordError):
        Record.from_json(raw)


def test_a_newer_schema_is_refused_with_the_way_out() -> None:
    with pytest.raises(RecordError, match=r"newer.*upgrade"):
        Record.from_json({**ONE.to_json(), "schema": SCHEMA + 1})


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    written = [replace(ONE, round=number, backend="épôll\n\u2028") for number in range(3)]
    with RunFolder.create(tmp_path / "deep" / "run", {"command": ["x"]}) as folder:
        for record in written:
            folder.append(record)
            assert read_run(folder.path).records[-1] == record
    run = read_run(tmp_path / "deep" / "run")
    assert (run.manifest, run.records, run.problems) == ({"command": ["x"]}, written, [])


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(StoreError, match="exists and is not empty"):
        RunFolder.create(tmp_path, {})
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written|no folder"):
        RunFolder.create(tmp_path / "file" / "run", {})
    with pytest.raises(StoreError, match="no folder"):
        RunFolder.create(tmp_path / "file", {})


def test_damage_costs_only_what_is_damaged_and_is_named_by_line(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, {}) as folder:
        for number in range(4):
            folder.append(replace(ONE, round=number))
    lines = (tmp_path / RECORDS).read_bytes().splitlines(keepends=True)
    lines[1] = b'{"schema": 1, "hand": "edited"}\n'
    lines[2] = b"\xff\xfe\n"
    (tmp_path / RECORDS).write_bytes(b"".join(lines)[:-20])
    run = read_run(tmp_path)
    assert [record.round for record in run.records] == [0]
    assert len(run.problems) == 3
    for problem, words in zip(
        run.problems, ["line 2: damaged", "line 3: not JSON", "line 4: not JSON (cut off)"], strict=True
    ):
        assert words in problem


def test_a_folder_without_records_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not the folder of a run"):
        read_run(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only root may mount one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def append_without_end(folder: RunFolder) -> None:
    """Append until it fails."""
    for number in range(1000):
        folder.append(replace(ONE, round=number, backend="x" * 1000))


def test_a_full_disk_is_said_and_loses_nothing_that_was_written(small_disk: Path) -> None:
    with RunFolder.create(small_disk / "run", {}) as folder, pytest.raises(StoreError, match="No space left"):
        append_without_end(folder)
    run = read_run(small_disk / "run")
    assert len(run.records) > 10
    assert [record.round for record in run.records] == list(range(len(run.records)))
    assert run.problems == []

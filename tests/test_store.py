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

from harness.record import SCHEMA
from harness.store import MANIFEST, RECORDS, RunFolder, StoreError, read_run
from tests.records import RESULT, refused
from tests.records import record as usable_record

ONE = refused("epoll")


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


@given(st.data())
def test_a_file_cut_anywhere_loses_only_its_last_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("run")
    written = [replace(ONE, round=number, backend="é") for number in range(3)]
    with RunFolder.create(path, {}) as folder:
        for record in written:
            folder.append(record)
    whole = (path / RECORDS).read_bytes()
    kept = data.draw(st.integers(0, len(whole)))
    (path / RECORDS).write_bytes(whole[:kept])
    run = read_run(path)
    assert run.records == written[: len(run.records)]
    assert len(run.records) >= whole[:kept].count(b"\n")
    cut = kept and whole[kept - 1 : kept] != b"\n" and len(run.records) == whole[:kept].count(b"\n")
    assert len(run.problems) == bool(cut)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[" * 100_000, "not JSON"),
        ("[]", "not a record"),
        (json.dumps({**ONE.to_json(), "schema": SCHEMA + 1}), "upgrade it"),
        (json.dumps({**usable_record().to_json(), "point": {"connections": "many"}}), "point"),
        (json.dumps(usable_record(latency="SGVsbG8=").to_json()), "latency"),
        (json.dumps(usable_record(latency=RESULT.latency[:-9]).to_json()), "latency"),
        (json.dumps(usable_record(slip="é").to_json()), "slip"),
        (json.dumps(usable_record(connection_time="é").to_json()), "connection_time"),
        (json.dumps(ONE.to_json(), ensure_ascii=False), "the same as line 1"),
    ],
    ids=["deep", "list", "newer", "text", "no histogram", "cut histogram", "not base64", "connection time", "twice"],
)
def test_a_line_that_cannot_be_used_is_named_and_costs_no_other(tmp_path: Path, line: str, words: str) -> None:
    after = replace(ONE, round=1)
    (tmp_path / MANIFEST).write_text("{}")
    (tmp_path / RECORDS).write_text(
        "\n".join([json.dumps(ONE.to_json(), ensure_ascii=False), line, json.dumps(after.to_json())])
    )
    run = read_run(tmp_path)
    assert run.records == [ONE, after]
    assert len(run.problems) == 1
    assert "line 2: " in run.problems[0]
    assert words in run.problems[0]


def test_what_is_appended_after_a_cut_line_is_not_lost_with_it(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, {}) as folder:
        for number in range(2):
            folder.append(replace(ONE, round=number))
    whole = (tmp_path / RECORDS).read_bytes()
    (tmp_path / RECORDS).write_bytes(whole[:-20])
    with RunFolder(tmp_path) as folder:
        folder.append(replace(ONE, round=2))
    run = read_run(tmp_path)
    assert [record.round for record in run.records] == [0, 2]
    assert len(run.problems) == 1
    assert "line 2" in run.problems[0]


def test_a_folder_that_is_gone_cannot_be_appended_to(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        RunFolder(tmp_path / "gone")


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{"])
def test_a_damaged_manifest_costs_no_record(tmp_path: Path, text: str) -> None:
    with RunFolder.create(tmp_path, {}) as folder:
        folder.append(ONE)
    (tmp_path / MANIFEST).write_text(text)
    run = read_run(tmp_path)
    assert (run.manifest, run.records) == ({}, [ONE])
    assert len(run.problems) == 1
    assert MANIFEST in run.problems[0]


def test_a_name_that_is_not_utf8_comes_back_as_it_was(tmp_path: Path) -> None:
    record = replace(ONE, backend=os.fsdecode(b"a\xff"))
    with RunFolder.create(tmp_path, {}) as folder:
        folder.append(record)
    assert read_run(tmp_path).records == [record]


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

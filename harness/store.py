"""A run's folder: `run.json` says what was asked and where, `records.jsonl` holds one record a line.

A line is written and fsynced before the next trial starts, so what was measured outlives a crash of anything but the
disk.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.histogram_text import HistogramError, payload
from harness.record import Record, RecordError

MANIFEST = "run.json"
RECORDS = "records.jsonl"


class StoreError(Exception):
    """A run's folder that cannot be written or read, in one line with the way out."""


class RunFolder:
    """The folder of a run in progress.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        """Open the records of an existing folder for appending; `create` makes a new one.

        Raises:
            StoreError: They cannot be written.
        """
        self.path = path
        try:
            # Unbuffered: a failed write must not come back when the file is closed.
            self._records = (path / RECORDS).open("ab+", buffering=0)
            if self._records.seek(0, os.SEEK_END):
                self._records.seek(-1, os.SEEK_END)
                if self._records.read(1) != b"\n":
                    self._records.write(b"\n")  # what follows a line that was cut off must not become part of it
        except OSError as fault:
            raise StoreError(f"{path / RECORDS} cannot be written: {fault.strerror}") from None

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any]) -> Self:
        """Make the folder of a new run and write its manifest.

        Args:
            path: Must not exist, or be an empty folder.
            manifest: What was asked, of which machine: plain JSON data.

        Raises:
            StoreError: It exists, or cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise StoreError(f"{path} exists and is not empty: choose another folder with --output")
            with (path / MANIFEST).open("w", encoding="utf-8") as file:
                file.write(json.dumps(manifest, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            folder = cls(path)
            _sync_names(path)
            return folder
        except FileExistsError:
            raise StoreError(f"{path} exists and is no folder: choose another with --output") from None
        except OSError as fault:
            raise StoreError(
                f"{path} cannot be written: {fault.strerror}: choose another folder with --output"
            ) from None

    def append(self, record: Record) -> None:
        """Write one record down for good.

        Raises:
            StoreError: It could not be written; the file ends with the record before.
        """
        # Half a surrogate pair, as in names that are not UTF-8, becomes the escape by which JSON knows it.
        line = json.dumps(record.to_json(), ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        file = self._records
        end = file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(line):
                written += file.write(line[written:])
            os.fsync(file.fileno())
        except OSError as fault:
            with suppress(OSError):  # the reader leaves out a cut line too
                file.truncate(end)
            raise StoreError(f"{self.path / RECORDS} cannot be written: {fault.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Run:
    """What a run's folder holds.

    Attributes:
        manifest: What was asked, of which machine.
        records: Every record that could be read, in order.
        problems: One line for each thing that could not be read, with its place.
    """

    manifest: dict[str, Any]
    records: list[Record]
    problems: list[str]


def read_run(path: Path) -> Run:
    """Return what a run's folder holds; damage costs only what is damaged.

    Raises:
        StoreError: There are no records.
    """
    problems: list[str] = []
    manifest: dict[str, Any] = {}
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError("not a table")
    except (OSError, ValueError, RecursionError) as fault:
        manifest = {}
        problems.append(f"{path / MANIFEST} cannot be read: {fault}")
    try:
        lines = (path / RECORDS).read_bytes().split(b"\n")
    except OSError as fault:
        raise StoreError(f"{path} is not the folder of a run: {RECORDS}: {fault.strerror}") from None
    records = []
    first_seen: dict[bytes, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if (first := first_seen.setdefault(line, number)) != number:
                raise RecordError(f"the same as line {first}: it counts once")
            records.append(_read_record(line))
        except RecordError as fault:
            cut = " (cut off)" if number == len(lines) else ""
            problems.append(f"{path / RECORDS}, line {number}: {fault}{cut}")
    return Run(manifest, records, problems)


def _read_record(line: bytes) -> Record:
    """Return the record of a line, with histograms that are whole.

    Raises:
        RecordError: It is none, in words.
    """
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raise RecordError("not JSON") from None
    record = Record.from_json(raw)
    if record.result is not None:
        for name in ("latency", "slip", "connection_time"):
            try:
                payload(getattr(record.result, name))
            except HistogramError as fault:
                raise RecordError(f"damaged record: {name}: {fault}") from None
    return record


def _sync_names(folder: Path) -> None:
    """Make the names of a folder's files outlive a crash of the machine, where folders can be synced (fsync(2))."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Where and how a run was measured: its manifest as tables, and the command that repeats it.

A manifest is a file that anyone may have edited: whatever is in it is shown, and nothing is relied on.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.frame import plain
from harness.report.html.words import size_text


@dataclass(frozen=True, slots=True)
class Section:
    """A table of facts.

    Attributes:
        title: What it is about.
        rows: Label and text of each.
    """

    title: str
    rows: list[tuple[str, str]]


def sections(manifest: Mapping[str, Any]) -> list[Section]:
    """Return every fact of a manifest: the machine first, what remains last."""
    rest = dict(manifest)
    machine = _table(rest.pop("machine", {}))
    mitigations = _table(machine.pop("mitigations", {}))
    limits: dict[str, Any] = {
        key: machine.pop(key) for key in ("open_files", "somaxconn", "port_range") if key in machine
    }
    found = [
        Section("Machine", _rows(machine)),
        Section("Limits", _rows(limits)),
        Section("Mitigations of the CPU's faults", _rows(mitigations)),
        Section("muxbench", _rows(_table(rest.pop("muxbench", {})))),
        Section("Scenario", _rows(_table(rest.pop("scenario", {})))),
        Section("Backends", _rows(_table(rest.pop("backends", {})), named=False)),
    ]
    rest.pop("command", None)
    return [section for section in [*found, Section("Run", _rows(rest))] if section.rows]


def repeat_command(manifest: Mapping[str, Any]) -> str:
    """Return the command that repeats the run: as it was given, with the seed it drew, into a folder of its own.

    Empty if the manifest does not say it.
    """
    given = manifest.get("command")
    if not isinstance(given, list) or not given:
        return ""
    words: list[str] = []
    texts = iter(str(word) for word in given)
    for word in texts:
        if word == "--output":
            next(texts, None)
        elif not word.startswith("--output="):
            words.append(word)
    seed = manifest.get("seed")
    if type(seed) is int and not any(word.partition("=")[0] == "--seed" for word in words):
        words += ["--seed", str(seed)]
    return plain(shlex.join(words))


def origin(manifest: Mapping[str, Any]) -> str:
    """Return the machine and the time of a run in one line."""
    machine, software = _table(manifest.get("machine", {})), _table(manifest.get("muxbench", {}))
    words = [
        _text(manifest.get("started", "")),
        _text(machine.get("cpu", "")),
        f"{_text(machine['cpus'])} CPUs" if "cpus" in machine else "",
        f"{_text(machine.get('system', ''))} {_text(machine.get('kernel', ''))}".strip(),
        _text(machine.get("interpreter", "")),
        f"muxbench {_text(software.get('version', ''))} {_text(software.get('commit', ''))}" if software else "",
    ]
    return " · ".join(word.strip() for word in words if word.strip())


def backend_facts(manifest: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """Return what the manifest says of one backend."""
    return _rows(_table(_table(manifest.get("backends", {})).get(name, {})))


def _table(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return dict(value) if isinstance(value, Mapping) else {}


def _rows(table: Mapping[str, Any], *, named: bool = True) -> list[tuple[str, str]]:
    """Return label and text of each entry, leaving out what says nothing."""
    rows = []
    for key, value in table.items():
        label = plain(str(key))
        text = size_text(value) if key.endswith("_bytes") and isinstance(value, int) else _text(value)
        if text:
            label = label.removesuffix("_bytes").replace("_", " ") if named else label
            rows.append((label, text))
    return rows


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        return ", ".join(
            f"{plain(str(key)).replace('_', ' ')} {_text(inner)}" for key, inner in value.items() if _text(inner)
        )
    if isinstance(value, list | tuple):
        return ", ".join(_text(inner) for inner in value)
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(str(value))

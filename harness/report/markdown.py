"""A run's tables as GitHub Markdown, with the machine and the command that repeats it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.report import capacity, growth
from harness.report.frame import Frames
from harness.report.table import COLUMNS, columns_of, legend, point_tables

if TYPE_CHECKING:
    from pandas import DataFrame


def to_markdown(
    frames: Frames,
    manifest: Mapping[str, Any],
    baseline: str | None = None,
    capacities: "DataFrame | None" = None,
) -> str:
    """Return the report as a Markdown document.

    Args:
        frames: Tables of a run's records.
        manifest: Of the same run; what it lacks is left out.
        baseline: Backend that the others are compared with; None takes the fastest of each point.
        capacities: What `harness.capacity.capacities` returned; None, or no row, if the run was no such search.
    """
    tables = point_tables(frames, baseline)
    columns = columns_of(tables)
    numbers = [COLUMNS.index(column) for column in columns]
    parts = [f"# {escaped(frames.run or 'A run without records')}", _origin(manifest)]
    if capacities is not None and len(capacities):
        table = _table(*capacity.table(capacities))
        parts += [f"## {escaped(capacity.title(capacities))}", table, escaped(capacity.LEGEND)]
    for each in tables:
        lines = [f"## {escaped(each.title)}", ""]
        if each.rows:
            lines += [_table(columns, [[row[number] for number in numbers] for row in each.rows]), ""]
        lines += [f"- {escaped(name)}: {escaped(reason)}" for name, reason in each.failures]
        parts.append("\n".join(lines).rstrip())
    if tables:
        parts.append("\n".join(f"- {escaped(words)}" for words in legend(tables, columns)))
    parts += _growth(frames)
    return "\n\n".join(part for part in parts if part) + "\n"


def _growth(frames: Frames) -> list[str]:
    """Return what is known of how costs grow."""
    tables = growth.growth_tables(frames.growths)
    parts = ["## How cost grows"] if tables else []
    for each in tables:
        parts += [f"### {escaped(each.title)}", *map(escaped, each.sentences)]
        if each.rows:
            parts.append(_table(each.columns, each.formulas))
    return [*parts, escaped(growth.LEGEND)] if any(each.rows for each in tables) else parts


def escaped(text: str) -> str:
    """Return a text in which nothing is taken for Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", " ".join(text.split()))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([_row(columns), "|" + "---|" * len(columns), *map(_row, rows)])


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(text) for text in texts) + " |"


def _origin(manifest: Mapping[str, Any]) -> str:
    machine = manifest.get("machine", {})
    software = manifest.get("muxbench", {})
    lines = []
    if machine:
        lines.append(
            f"{machine.get('cpu', '?')}, {machine.get('cpus', '?')} CPUs, {machine.get('system', '?')} "
            f"{machine.get('kernel', '?')}, {machine.get('interpreter', '?')}, muxbench {software.get('version', '?')} "
            f"{software.get('commit', '')}, {manifest.get('generator', '?')} generator, {manifest.get('started', '')}"
        )
    text = escaped(" ".join(lines))
    command = manifest.get("command")
    return text + (f"\n\n    {shlex.join(command)}" if command else "")

"""A run's tables on the terminal, 100 columns wide where there are as many, worth pasting into a message."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report import capacity, growth
from harness.report.frame import Frames
from harness.report.table import COLUMNS, RARE, PointTable, columns_of, legend, point_tables

if TYPE_CHECKING:
    from pandas import DataFrame

WIDTH_NEEDED = {"95% interval": 110, "memory": 110, "p99.9 us": 136}
"""Column -> characters that a terminal must have for it to be shown."""

BAR_COLUMNS = 8
BAR_WIDTH_NEEDED = 126
"""Characters of the bars beside throughputs, and that a terminal must have for them to be shown."""

MOST_ROWS = 40
"""Rows of a table on the growth of costs that are printed."""

MOST_TABLES = 30
"""Points that are printed; nobody reads more on a terminal, and rich needs 1 ms a row."""


def render(frames: Frames, console: Console, baseline: str | None = None) -> None:
    """Print a table for each point, with what was refused or failed below it, and explain the marks.

    Args:
        frames: Tables of the records.
        console: Where to print.
        baseline: Backend that the others are compared with; None takes the fastest of each point.
    """
    tables = point_tables(frames, baseline)
    if not tables:
        console.print("There are no records: nothing was measured.")
        return
    columns = columns_of(tables)
    room = console.width - sum(len(column) + 2 for column in columns if column in RARE)
    columns = [column for column in columns if room >= WIDTH_NEEDED.get(column, 0)]
    numbers = [COLUMNS.index(column) for column in columns]
    for each in tables[:MOST_TABLES]:
        console.print(Text(f"\n{each.title}", style="bold"))
        if each.rows:
            console.print(_point(each, numbers, bars=room >= BAR_WIDTH_NEEDED))
        for name, reason in each.failures:
            console.print(Text(f"  {name}: {reason}", style="yellow"))
    if len(tables) > MOST_TABLES:
        console.print(f"\n… and {len(tables) - MOST_TABLES:,} more points: the report has all.")
    console.print(Text("\n" + "\n".join(legend(tables, columns)), style="dim"))
    _render_growth(frames, console)


def _point(point: PointTable, numbers: Sequence[int], *, bars: bool) -> Table:
    """Return the table of a point with some of the columns, and bars of throughput after the backends' names."""
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for number in numbers:
        text = number in {0, len(COLUMNS) - 1}
        shown.add_column(COLUMNS[number], justify="left" if text else "right", no_wrap=number < len(COLUMNS) - 1)
        if bars and number == 0:
            shown.add_column("", no_wrap=True)
    for row, rate in zip(point.rows, point.rates, strict=True):
        # Text, because a name in brackets is not markup.
        texts = [Text(row[number], style="" if row[-1] == "ok" else "yellow") for number in numbers]
        bar = [Bar(max(point.rates), 0, rate, width=BAR_COLUMNS)] if bars else []
        shown.add_row(texts[0], *bar, *texts[1:])
    return shown


def render_capacity(found: "DataFrame", console: Console) -> None:
    """Print the capacity of each backend under an objective.

    Args:
        found: What `harness.capacity.capacities` returned.
        console: Where to print.
    """
    console.print(Text(f"\n{capacity.title(found)}", style="bold"))
    columns, rows = capacity.table(found)
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        shown.add_column(column, justify="left" if column in {"point", "backend", "limited by"} else "right")
    for row in rows:
        shown.add_row(*map(Text, row))
    console.print(shown)
    console.print(Text(f"\n{capacity.LEGEND}", style="dim"))


def _render_growth(frames: Frames, console: Console) -> None:
    tables = [each for each in growth.growth_tables(frames.growths) if each.rows]
    for each in tables:
        console.print(Text(f"\n{each.title}", style="bold"))
        for sentence in each.sentences:
            console.print(Text(f"  {sentence}"))
        shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for column in each.columns:
            shown.add_column(column)
        for row in each.rows[:MOST_ROWS]:
            shown.add_row(*map(Text, row))
        console.print(shown)
        if len(each.rows) > MOST_ROWS:
            console.print(f"… and {len(each.rows) - MOST_ROWS:,} more rows: the report has all.")
    if tables:
        console.print(Text(f"\n{growth.LEGEND}", style="dim"))

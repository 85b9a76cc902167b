"""The calibration as a table and a chart: what must come out beside what did, open loop beside closed loop."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.calibrate import Measured, Row, rows
from harness.stats import decode, percentiles_ns

PERCENTS = [100 * (1 - 10 ** (-step / 40)) for step in range(1, 140)]
"""Percentiles of the chart's curves: evenly spaced as its axis counts them, by powers of ten of what lies beyond."""


def render(measured: Sequence[Measured], console: Console) -> bool:
    """Print the table and return whether every value came out as it must.

    Args:
        measured: What `harness.calibrate.calibrate` returned.
        console: Where to print.
    """
    passed = True
    for each in measured:
        console.print(Text(f"\n{each.case.name}: {each.case.rule}", style="bold"))
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for column in ("", "expected", "open loop", "may differ by", "", "closed loop", "expected there"):
            table.add_column(column, justify="right")
        for row in rows(each):
            passed &= row.passed
            closed = "-" if row.closed_expected is None else _shown(row, row.closed_expected)
            table.add_row(
                row.quantity,
                _shown(row, row.expected),
                _shown(row, row.open_loop),
                _shown(row, row.tolerance),
                Text("ok") if row.passed else Text("off", style="bold red"),
                _shown(row, row.closed_loop),
                closed,
            )
        console.print(table)
    console.print(
        "\nOpen loop: latency counts from when a request was due. A closed loop sends nothing while it waits, so it "
        "meets each stall once and leaves out what users would have suffered."
    )
    if not passed:
        console.print(
            "Some values are off: what else runs on this machine (see muxbench doctor)? Server and generator need a "
            "CPU each to themselves, and they waited for theirs for "
            + ", ".join(f"{each.waited:.2%} ({each.case.name})" for each in measured)
            + " of the time: about so many requests were held up. Started as root, muxbench gives them precedence.",
            style="yellow",
        )
    return passed


def _shown(row: Row, value: float) -> str:
    if math.isnan(value):
        return "too few samples"
    return f"{value:,.0f} /s" if row.quantity == "replies/s" else f"{value * 1e3:,.3f} ms"


def draw(measured: Sequence[Measured], out_dir: Path) -> list[Path]:
    """Write the distributions of latency, a panel for each case, as PNG and SVG, and return the two files.

    Args:
        measured: What `harness.calibrate.calibrate` returned.
        out_dir: Folder to write to; made if it is missing.

    Raises:
        OSError: The folder cannot be written.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    from harness.report.charts import sheet
    from harness.report.charts.look import COLOURS, drawing
    from harness.report.charts.plots import duration_axis

    colours = {"open loop": COLOURS[0], "closed loop": COLOURS[1]}
    columns = min(2, len(measured))
    grid = sheet.Grid(rows=-(-len(measured) // columns), columns=columns, width=3.4, height=2.6, right=0.3)
    with drawing():
        figure, axes = sheet.lay_out(
            grid,
            "What a closed loop hides",
            "Latency of servers whose behaviour is known · crosses: what must come out in the open loop",
            key=[
                *(Line2D([], [], color=colour, label=name) for name, colour in colours.items()),
                Line2D([], [], color="black", marker="x", linestyle="", label="expected"),
            ],
            notes=[f"{each.case.name}: {each.case.rule}" for each in measured],
        )
        for number, (place, each) in enumerate(zip(axes, measured, strict=False)):
            for name, result in (("open loop", each.open_loop), ("closed loop", each.closed_loop)):
                found = percentiles_ns(decode(result.latency), PERCENTS)
                known = [(_beyond(at), ns / 1e3) for at, ns in zip(PERCENTS, found, strict=True) if not math.isnan(ns)]
                place.plot([x for x, _ in known], [y for _, y in known], color=colours[name], label=name)
            wanted = [row for row in each.case.expectations if row.percent is not None and row.open_loop > 0]
            place.plot(
                [_beyond(row.percent) for row in wanted if row.percent is not None],
                [row.open_loop * 1e6 for row in wanted],
                color="black",
                marker="x",
                linestyle="",
                label="expected",
            )
            place.set_title(each.case.name)
            place.set_xlabel("percentile")
            place.set_xscale("log")
            place.xaxis.set_major_locator(FixedLocator([2, 10, 100, 1000]))
            place.xaxis.set_minor_locator(NullLocator())
            place.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 - 100 / x:g}"))
            place.tick_params(labelleft=number % columns == 0)
        sheet.remove_unused(axes, len(measured))
        duration_axis(axes[0], "y")
        for place in axes[: len(measured) : columns]:
            place.set_ylabel("latency (time, log)")
        return sheet.write(figure, out_dir, "calibration")


def _beyond(percent: float) -> float:
    """Return one in how many requests lies beyond a percentile."""
    return 100 / (100 - percent)

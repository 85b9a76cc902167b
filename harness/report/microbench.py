"""Microbenchmarks of the multiplexers: reads what pytest-benchmark wrote, and shows it as a table and a scaling chart.

`benchmarks/test_multiplexers.py` measures and says in each benchmark's `extra_info` what it measured. Medians and
quartiles are pytest-benchmark's own; how cost grows is `harness.scaling`'s verdict.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.growth import sentence, with_formula
from harness.scaling import Growth, Observation, growth, records

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

COLUMNS = ("operation", "ready", "multiplexer", "registered", "median_us", "q1_us", "q3_us", "rounds")


NOTCH = 1.57
"""A median's 95% confidence interval in interquartile ranges over the square root of the number of values. (McGill,
Tukey, Larsen: Variations of Box Plots, The American Statistician 32, 1978.)"""


class MicrobenchError(Exception):
    """A file that holds no microbenchmarks of multiplexers, with the reason in one line."""


def read_microbench(path: Path) -> "DataFrame":
    """Return the microbenchmarks of a file that pytest-benchmark wrote.

    Args:
        path: The file given to `--benchmark-json`.

    Returns:
        A row a benchmark: operation, ready (descriptors), multiplexer, registered (descriptors), the median and the
        quartiles of the cost of one operation in microseconds (median_us, q1_us, q3_us), and the number of rounds.

    Raises:
        MicrobenchError: It cannot be read, is not pytest-benchmark's, or holds no benchmark of a multiplexer.
    """
    from pandas import DataFrame

    try:
        raw = json.loads(path.read_bytes())
    except OSError as fault:
        raise MicrobenchError(f"{path} cannot be read: {fault.strerror or fault}") from None
    except (ValueError, RecursionError):
        raise MicrobenchError(f"{path} is not JSON: give the file that make microbench wrote") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("benchmarks"), list):
        raise MicrobenchError(f"{path} is not from pytest-benchmark: it has no list of benchmarks")
    rows = []
    for benchmark in raw["benchmarks"]:
        if not isinstance(benchmark, dict):
            raise MicrobenchError(f"{path} is damaged: one of its benchmarks is {benchmark!r:.40}")
        facts = benchmark.get("extra_info")
        if isinstance(facts, dict) and "multiplexer" in facts:
            rows.append(_row(path, benchmark, facts))
    if not rows:
        raise MicrobenchError(f"{path} holds no benchmark of a multiplexer: run make microbench")
    return DataFrame(rows, columns=list(COLUMNS)).sort_values(list(COLUMNS[:4]), ascending=[False, True, True, True])


def _row(path: Path, benchmark: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    try:
        stats = benchmark["stats"]
        return {
            "operation": str(facts["operation"]),
            "ready": int(facts["ready"]),
            "multiplexer": str(facts["multiplexer"]),
            "registered": int(facts["registered"]),
            **{f"{name}_us": float(stats[name]) * 1e6 for name in ("median", "q1", "q3")},
            "rounds": int(stats["rounds"]),
        }
    except (KeyError, TypeError, ValueError) as fault:
        name = benchmark.get("name", "a benchmark")
        raise MicrobenchError(f"{path} is damaged: {name} has no usable {fault}") from None


def growths(frame: "DataFrame") -> "DataFrame":
    """Return how the cost of each operation grows with the registered descriptors.

    Args:
        frame: What `read_microbench` returned.

    Returns:
        A row a multiplexer of each operation: `operation`, `ready`, `backend` (the multiplexer), `measure`, the `first`
        and `last` number of descriptors, and the fields of `harness.scaling.Growth`.
    """
    from pandas import DataFrame

    rows = []
    for (operation, ready), chosen in _groups(frame):
        for name, of_one in chosen.groupby("multiplexer"):
            reach = NOTCH * (of_one["q3_us"] - of_one["q1_us"]) / of_one["rounds"] ** 0.5
            seen = zip(of_one["registered"], of_one["median_us"], reach, strict=True)
            found = growth([Observation(n, cost, cost - off, cost + off) for n, cost, off in seen])
            key = {"operation": operation, "ready": ready, "backend": str(name), "measure": "cost"}
            ends = {"first": of_one["registered"].min(), "last": of_one["registered"].max()}
            fields = {field: getattr(found, field) for field in Growth.__slots__}
            rows.append({**key, **ends, **fields, "rivals": ", ".join(found.rivals)})
    return DataFrame(rows)


def render(frame: "DataFrame", console: "Console") -> None:
    """Print what `read_microbench` returned: a row a multiplexer, a column a number of registered descriptors."""
    from rich.table import Table
    from rich.text import Text

    steps = sorted(frame["registered"].unique())
    grown = growths(frame)
    for (operation, ready), chosen in _groups(frame):
        table = Table(
            title=f"{_subject(operation, ready)}: median in µs, by registered descriptors", title_justify="left"
        )
        verdicts = grown[(grown["operation"] == operation) & (grown["ready"] == ready)]
        words = {row["backend"]: with_formula(row) for row in records(verdicts)}
        table.add_column("multiplexer")
        for step in steps:
            table.add_column(f"{step:,}", justify="right")
        table.add_column("how cost grows")
        for name, rows in chosen.groupby("multiplexer"):
            found = dict(zip(rows["registered"], rows["median_us"], strict=True))
            # A name is text, not rich's markup.
            costs = (f"{found[step]:,.2f}" if step in found else "-" for step in steps)
            table.add_row(Text(str(name)), *costs, Text(words[str(name)]))
        console.print(table)
        if said := sentence(_subject(operation, ready), "registered_descriptors", verdicts):
            console.print(Text(said))


def draw(frame: "DataFrame", out_dir: Path) -> list[Path]:
    """Write the scaling chart of what `read_microbench` returned, and return the files.

    Args:
        frame: The microbenchmarks.
        out_dir: Folder to write to; made if it is missing.

    Raises:
        OSError: The folder cannot be written.
    """
    from harness.report.charts import plots, sheet
    from harness.report.charts.look import drawing, looks
    from harness.report.charts.selection import Panel

    cells = frame.assign(
        series=frame["multiplexer"],
        lower_bound=False,
        cost_us_low=frame["q1_us"],
        cost_us_high=frame["q3_us"],
    )
    groups = _groups(cells)
    styles = looks((name, name) for name in cells["multiplexer"])
    columns = min(2, len(groups))
    grid = sheet.Grid(rows=-(-len(groups) // columns), columns=columns, width=2.8, height=2.7, right=0.25)
    with drawing():
        figure, axes = sheet.lay_out(
            grid,
            "What one call costs as registered descriptors grow",
            "Median, with quartiles · both axes logarithmic · at each step side by side",
            legend=plots.top_down(Panel("", groups[0][1]), styles, "registered", "median_us"),
            notes=[
                "Where each wait hands the whole list to the kernel, registering only writes to a list of the process: "
                "the wait pays for it."
            ],
        )
        for place, ((operation, ready), chosen) in zip(axes, groups, strict=False):
            plots.lines(place, chosen, "registered", "median_us", styles, interval="cost_us")
            place.set_title(_subject(operation, ready))
            place.set_xlabel("registered descriptors")
        plots.log_axis(axes[0], "x", cells["registered"])
        plots.duration_axis(axes[0], "y")
        sheet.remove_unused(axes, len(groups))
        for number, place in enumerate(axes[: len(groups)]):
            place.tick_params(labelleft=number % columns == 0)
            if number % columns == 0:
                place.set_ylabel("cost of one call (time, log)")
        return sheet.write(figure, out_dir, "multiplexers")


def _groups(frame: "DataFrame") -> list[tuple[tuple[str, int], "DataFrame"]]:
    """Return the rows of each operation and number of ready descriptors: first the waits."""
    pairs = {(str(row["operation"]), int(row["ready"])) for row in frame.to_dict("records")}
    ordered = sorted(pairs, key=lambda pair: (pair[0] != "wait", *pair))
    return [(pair, frame[(frame["operation"] == pair[0]) & (frame["ready"] == pair[1])]) for pair in ordered]


def _subject(operation: str, ready: int) -> str:
    return f"{operation}(), {ready:,} ready" if operation == "wait" else operation

"""Live progress of a run on the terminal, with the time left; on anything but a terminal one line a point."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from harness.plan import Plan
from harness.record import TCP, TRANSPORT_WORDS, Record
from harness.scenario import Point


class RunProgress:
    """Counts trials. Those that a failed cell or the budget left out count as done once their point has ended."""

    def __init__(self, plan: Plan, console: Console) -> None:
        # What each point still lacks.
        self._left = {
            point: plan.scenario.measure.rounds * sum(not cell.refusal for cell in cells)
            for point, cells in plan.cells.items()
        }
        self._point: Point | None = None
        self._announced: set[Point] = set()
        self._console = console
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("trials,"),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left  {task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=sum(self._left.values()))

    def starting(self, point: Point, cells: int) -> None:
        """Show which point it is."""
        words = f"{point.connections:,} connections"
        if point.idle_connections:
            words += f" + {point.idle_connections:,} idle"
        words += f", {point.message_size:,} B"
        if point.pipeline_depth > 1:
            words += f", {point.pipeline_depth} in flight on each"
        if point.rate:
            words += f", {point.rate:,} requests/s"
        if point.rate_percent:
            words += f", at {point.rate_percent}% of capacity"
        if point.requests_per_connection:
            words += f", {point.requests_per_connection:,} requests on each connection"
        if point.slow_connections:
            words += f", {point.slow_connections:,} slow readers"
        if point.transport != TCP:
            words += f", over {TRANSPORT_WORDS[point.transport]}"
        if point.reply_delay_us:
            words += f", replies {point.reply_delay_us:,} us late"
        if point.cpu_work_us:
            words += f", {point.cpu_work_us:,} us of work"
        self._progress.update(self._task, description=words)
        if not self._console.is_terminal and point not in self._announced:
            self._console.print(f"measuring {words}: {cells} backends", markup=False)
        self._announced.add(point)
        self._point = point

    def recorded(self, record: Record) -> None:
        """Count a trial; say at once what failed."""
        if record.usable and self._point:
            self._left[self._point] -= 1
            self._progress.advance(self._task)
        if not record.usable:
            for verdict in record.verdicts:
                self._console.print(Text(f"{record.label}: {verdict.kind}: {verdict.reason}", style="yellow"))

    def ended(self, point: Point) -> None:
        """Count what the point lacks."""
        self._progress.advance(self._task, self._left[point])

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

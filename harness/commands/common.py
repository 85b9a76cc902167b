"""What several commands do alike: the console, values of options, probing backends, showing a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from backends.find import Backend
    from harness.launch import Launch
    from harness.plan import Candidate
    from harness.run import Run
    from harness.stopping import Enough
    from harness.store import RunFolder


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""

MAX_WORKERS = 256

_Command = TypeVar("_Command", bound="Callable[..., object]")


def split(_context: click.Context, _option: click.Parameter, value: str | Sequence[str] | None) -> list[str] | None:
    """Return the values of an option, which may be separated by commas and the option be repeated."""
    if value is None:
        return None
    texts = [value] if isinstance(value, str) else value
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]


def open_console() -> Console:
    """Return standard output; a file or a pipe, which has no width, is as wide as the widest table."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def load_options(command: _Command) -> _Command:
    """Give a command the options that are called like keys of a scenario's [load] and [conditions]."""
    for option in reversed(
        (
            click.option("--connections", callback=split, help="Active connections, such as 1,10,100."),
            click.option("--idle-connections", callback=split, help="Open and silent connections beside them."),
            click.option("--message-size", callback=split, help="Sizes of a request, such as 64B,1KiB,16KiB."),
            click.option("--pipeline-depth", callback=split, help="Requests in flight on each connection."),
            click.option("--arrivals", help="closed, or an open loop: constant, poisson, bursts."),
            click.option("--rate", callback=split, help="Requests due per second in an open loop, such as 1000,5000."),
            click.option(
                "--rate-percent", callback=split, help="The same in percent of each backend's closed-loop capacity."
            ),
            click.option(
                "--think-time", help='Time between a reply and the next request of a closed loop, such as "1ms".'
            ),
            click.option(
                "--requests-per-connection", callback=split, help="Churn: a connection is replaced after so many."
            ),
            click.option("--transport", callback=split, help="What connections are: tcp, tls, unix."),
            click.option(
                "--reply-delay", callback=split, help='Delay of each reply, such as "1ms,10ms"; the server waits.'
            ),
            click.option(
                "--cpu-work", callback=split, help='CPU work for each reply, such as "50us"; the server works.'
            ),
        )
    ):
        command = option(command)
    return command


def backend_options(command: _Command) -> _Command:
    """Give a command the options that choose backends, and in which forms."""
    for option in (
        click.option("--option", multiple=True, help="A backend's own setting, NAME=VALUE; repeat it for more values."),
        click.option("--workers", callback=split, help="Server processes that share the port, such as 1,2,4."),
        click.option("--python", multiple=True, help="Interpreter of the servers; repeat it to compare several."),
        click.option(
            "--backend",
            "-b",
            multiple=True,
            callback=split,
            help="Names, .py or .toml files, separated by commas, or all. Default: what the scenario says, or all.",
        ),
    ):
        command = option(command)
    return command


generator_option = click.option(
    "--generator", type=click.Choice(["native", "portable"]), help="Load generator. Default: native if built."
)

generators_option = click.option(
    "--generators",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Generator processes for each server, on CPUs of their own where there are enough.",
)


def chosen_candidates(
    backends: Sequence[str],
    usual: Sequence[str],
    pythons: Sequence[str],
    workers: Sequence[str] | None,
    options: Sequence[str],
) -> list[Candidate]:
    """Return the candidates that `backend_options` ask for.

    Args:
        backends: Names or paths, or "all"; none means the usual ones.
        usual: Names of the scenario's usual backends; none means all.
        pythons: Interpreters; none means this one. External servers run under none.
        workers: Numbers of processes, as texts.
        options: Settings, each NAME=VALUE.

    Raises:
        PlanError: One that was named cannot be measured, with the reason.
    """
    from harness.plan import PlanError, choose_backends, choose_forms

    everything = "all" in backends
    chosen = choose_backends(() if everything else backends or usual)
    scripts = {name: backend for name, backend in chosen.items() if backend.program is None}
    programs = {name: backend for name, backend in chosen.items() if backend.program is not None}
    candidates = [each for python in pythons or [sys.executable] for each in probe(scripts, python)] + probe(programs)
    for each in candidates:
        if backends and not everything and each.unavailable:
            raise PlanError(f"backend {each.label} is unavailable: {each.unavailable}")
    numbers = []
    for text in workers or ["1"]:
        if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
            raise PlanError(f"--workers is {text!r}, must be a number from 1 to {MAX_WORKERS}")
        numbers.append(int(text))
    values: dict[str, list[str]] = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise PlanError(f"--option is {text!r}, must be NAME=VALUE")
        values.setdefault(name, []).append(value)
    return choose_forms(candidates, numbers, values)


def say_plugin_problems(console: Console) -> None:
    """Print a line for each plugin that is left out."""
    from harness.plan import known_backends

    for problem in known_backends()[1]:
        console.print(problem, style="yellow", markup=False)


def measure(
    launch: Launch,
    folder: RunFolder,
    console: Console,
    enough: Enough | None,
    make: Callable[..., Run] | None = None,
) -> int:
    """Execute a run with its progress shown; return the exit status, which is not 0 if it was interrupted.

    Args:
        launch: The run.
        folder: Where records go.
        console: Where to print.
        enough: Says whether the records of a point suffice.
        make: Makes the run from the arguments of `Run`; None is `Run` itself.

    Raises:
        click.ClickException: A record could not be written.
    """
    import signal

    from harness.progress import RunProgress
    from harness.run import Run
    from harness.store import StoreError

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an exit, so that children are stopped
    if launch.engine == "portable":
        console.print(
            "The portable generator is used: it is slower than many servers, see `muxbench list`.", style="yellow"
        )
    with folder, RunProgress(launch.plan, console) as progress:
        try:
            launch.execute(folder, progress, enough, make or Run)
        except StoreError as fault:
            raise click.ClickException(str(fault)) from None
        except KeyboardInterrupt:
            pass
        else:
            return 0
    console.print("Interrupted: this is what was measured until then.", style="yellow")
    return INTERRUPTED


def probe(backends: Mapping[str, Backend], python: str = sys.executable, root: Path | None = None) -> list[Candidate]:
    """Return backends with what an interpreter says of them: versions, or why they cannot run.

    Args:
        backends: By name.
        python: The interpreter's program.
        root: Folder of the packages `backends` and `scenarios`; None means ours.
    """
    from harness.plan import ROOT, Candidate
    from harness.process import probe_backends

    facts = probe_backends(backends, python, root or ROOT)
    return [
        Candidate(backend, facts[name].packages, facts[name].unavailable, python, facts[name].interpreter)
        for name, backend in backends.items()
    ]


def show_report(
    run_path: Path, out_dir: Path, baseline: str | None, console: Console, backends: Sequence[str] = ()
) -> None:
    """Print a run's tables and write its report, with one line for each thing that could not be read.

    Args:
        run_path: The run's folder.
        out_dir: Where the report goes.
        baseline: Backend that the others are compared with; None takes the fastest of each point.
        console: Where the tables go.
        backends: Those that are reported; none means all.

    Raises:
        click.ClickException: It is no run, a backend that was named is not in it, or the report cannot be written.
    """
    from harness.capacity import capacities
    from harness.report.frame import tabulate
    from harness.report.terminal import render, render_capacity
    from harness.report.write import write_report
    from harness.store import StoreError, read_run

    try:
        measured = read_run(run_path)
        for problem in measured.problems:
            console.print(problem, style="yellow", markup=False)
        names = {record.label for record in measured.records}
        for name in backends:
            if name not in names:
                raise click.UsageError(f"backend {name!r} is not in this run; there are {', '.join(sorted(names))}")
        records = [record for record in measured.records if not backends or record.label in backends]
        names = {record.label for record in records}
        if baseline is not None and baseline not in names:
            raise click.UsageError(
                f"the baseline {baseline!r} is not in this run; there are {', '.join(sorted(names))}"
            )
        frames = tabulate(records)
        found = capacities(records, measured.manifest)
        if len(found):
            render_capacity(found, console)
        else:
            render(frames, console, baseline)
        files = write_report(frames, measured.manifest, out_dir, baseline, measured.problems, found)
        say_written(files, console)
    except StoreError as fault:
        raise click.UsageError(str(fault)) from None
    except OSError as fault:
        raise click.ClickException(f"{fault.filename}: {fault.strerror}") from None


def say_written(files: Sequence[Path], console: Console) -> None:
    """Print which files a report has."""
    if not files:
        return
    folder = files[0].parent
    console.print(f"Report in {folder}:", markup=False)
    console.print("  " + ", ".join(str(file.relative_to(folder)) for file in files), markup=False)

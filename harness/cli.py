"""The command line: arguments to calls, faults to one line and an exit status. Nothing is computed here.

Imports of libraries stand inside the commands, so that `muxbench --help` answers at once.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from harness.plan import Candidate

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


def _split(_context: click.Context, _option: click.Parameter, value: str | Sequence[str] | None) -> list[str] | None:
    """Return the values of an option, which may be separated by commas and the option be repeated."""
    if value is None:
        return None
    texts = [value] if isinstance(value, str) else value
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="muxbench", prog_name="muxbench")
def main() -> None:
    """Measure I/O models: interchangeable server backends, identical scenarios, one honest harness.

    Start with: muxbench run quick
    """


@main.command()
@click.argument("suite", metavar="SUITE")
@click.option(
    "--backend", "-b", multiple=True, callback=_split, help="Names or .py files, separated by commas. Default: all."
)
@click.option("--connections", callback=_split, help="Active connections, such as 1,10,100.")
@click.option("--idle-connections", callback=_split, help="Open and silent connections beside them.")
@click.option("--message-size", callback=_split, help="Sizes of a request, such as 64B,1KiB,16KiB.")
@click.option("--pipeline-depth", callback=_split, help="Requests in flight on each connection.")
@click.option("--arrivals", help="closed, or an open loop: constant, poisson, bursts.")
@click.option("--rate", callback=_split, help="Requests due per second in an open loop, such as 1000,5000.")
@click.option("--rate-percent", callback=_split, help="The same in percent of each backend's closed-loop capacity.")
@click.option("--think-time", help='Time between a reply and the next request of a closed loop, such as "1ms".')
@click.option("--requests-per-connection", callback=_split, help="Churn: a connection is replaced after so many.")
@click.option("--reply-delay", callback=_split, help='Delay of each reply, such as "1ms,10ms"; the server waits.')
@click.option("--cpu-work", callback=_split, help='CPU work for each reply, such as "50us"; the server works.')
@click.option("--duration", help='Length of one trial, such as "500ms" or "2s".')
@click.option("--rounds", type=int, help="Trials of each backend at each point.")
@click.option("--budget", help='Time for the whole run, such as "60s"; it ends with the round under way.')
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the run. Default: results/DATE-SUITE.")
@click.option("--baseline", help="Backend that the others are compared with. Default: the fastest of each point.")
@click.option(
    "--generator", type=click.Choice(["native", "portable"]), help="Load generator. Default: native if built."
)
@click.option("--seed", type=int, help="Of the order of trials. Default: a random one, which is recorded.")
def run(
    suite: str,
    backend: list[str],
    output: Path | None,
    baseline: str | None,
    generator: str | None,
    seed: int | None,
    **changes: Any,  # noqa: ANN401 - the options named like keys of a scenario
) -> None:
    """Run a scenario from the catalogue (see `muxbench list`) or a .toml file, and report it."""
    import random
    import signal

    from harness import machine
    from harness.loadgen.engines import default_engine
    from harness.plan import PlanError, choose_backends, make_plan
    from harness.progress import RunProgress
    from harness.run import Run
    from harness.scenario import ScenarioError, load_scenario, nearest
    from harness.store import RunFolder, StoreError
    from scenarios.conditions import spins_per_s
    from scenarios.session import load_exchange

    console = _console()
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        scenario = load_scenario(suite, given)
        load_exchange(scenario.exchange)
        candidates = _probe(choose_backends(backend))
        missing = [each for each in candidates if each.unavailable]
        if backend and missing:
            raise PlanError(f"backend {missing[0].name} is unavailable: {missing[0].unavailable}")
        measured = [each for each in candidates if not each.unavailable]
        names = [each.name for each in measured]
        if baseline is not None and baseline not in names:
            raise PlanError(f"the baseline {baseline!r} is not among the backends measured{nearest(baseline, names)}")
        engine = generator or default_engine()
        plan = make_plan(scenario, measured, machine.raise_descriptor_limit())
        cpus = machine.split_cpus()
        turns_per_s = spins_per_s()
        manifest = {
            "command": ["muxbench", *sys.argv[1:]],
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "muxbench": machine.installation(),
            "machine": machine.fingerprint(),
            "scenario": scenario.model_dump(mode="json"),
            "backends": {
                each.name: {"unavailable": each.unavailable, "packages": each.packages} for each in candidates
            },
            "seed": seed,
            "spins_per_s": turns_per_s,
            "generator": engine,
            "cpus": {
                "servers": sorted(cpus.servers),
                "generators": sorted(cpus.generators),
                "orchestrator": sorted(cpus.orchestrator),
            },
        }
        started = datetime.now()
        folder = RunFolder.create(output or Path("results") / f"{started:%Y-%m-%dT%H-%M-%S}-{scenario.name}", manifest)
    except (ScenarioError, PlanError, StoreError, LookupError) as fault:
        raise click.UsageError(str(fault)) from None

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an exit, so that children are stopped
    status = 0
    for each in missing:
        console.print(f"left out: {each.name}: {each.unavailable}", style="yellow", markup=False)
    if engine == "portable":
        console.print(
            "The portable generator is used: it is slower than many servers, see `muxbench list`.", style="yellow"
        )
    with folder, RunProgress(plan, console) as progress:
        try:
            Run(plan, folder, cpus, engine, seed, turns_per_s, progress).execute()
        except KeyboardInterrupt:
            status = INTERRUPTED
        except StoreError as fault:
            raise click.ClickException(str(fault)) from None
    if status:
        console.print("Interrupted: this is what was measured until then.", style="yellow")
    _report(folder.path, folder.path / "report", baseline, console)
    sys.exit(status)


@main.command(name="list")
def list_() -> None:
    """List backends (with the reason where one is unavailable) and scenarios."""
    from rich.table import Table
    from rich.text import Text

    from harness.loadgen.engines import default_engine
    from harness.plan import PlanError, choose_backends
    from harness.scenario import axes as axes_of
    from harness.scenario import load_scenario, scenario_files

    console = _console()
    try:
        candidates = _probe(choose_backends(()))
    except PlanError as fault:
        raise click.ClickException(str(fault)) from None
    backends = Table("backend", "family", "summary", title="Backends", title_justify="left", box=None, pad_edge=False)
    for each in candidates:
        traits = each.backend.traits
        packages = ", ".join(f"{name} {number}" for name, number in each.packages.items())
        summary = Text(f"{traits.summary} ({packages})" if packages else traits.summary)
        if each.unavailable:
            summary.append(f" [unavailable: {each.unavailable}]", style="yellow")
        backends.add_row(Text(traits.name, style="bold"), traits.family, summary)
    console.print(backends)
    scenarios = Table(
        "scenario", "axes", "summary", title="\nScenarios", title_justify="left", box=None, pad_edge=False
    )
    for name in scenario_files():
        scenario = load_scenario(name)
        axes = "\n".join(
            f"{axis}: {', '.join(f'{value:,}' for value in values)}"
            for axis, values in axes_of(scenario).items()
            if len(values) > 1
        )
        scenarios.add_row(Text(name, style="bold"), axes, Text(scenario.summary))
    console.print(scenarios)
    console.print(f"\nLoad generator: {default_engine()}")


@main.command()
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path, exists=True))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Where to write. Default: RUN/report.")
@click.option("--baseline", help="Backend that the others are compared with. Default: the fastest of each point.")
def report(source: Path, output: Path | None, baseline: str | None) -> None:
    """Show a run's tables and write its CSV files and charts; RUN is its folder.

    RUN may also be the JSON file of `make microbench`.
    """
    console = _console()
    if source.is_dir():
        _report(source, output or source / "report", baseline, console)
        return
    from harness.report import microbench

    try:
        frame = microbench.read_microbench(source)
    except microbench.MicrobenchError as fault:
        raise click.UsageError(str(fault)) from None
    microbench.render(frame, console)
    _say_written(microbench.draw(frame, output or source.parent / f"{source.stem}-report"), console)


@main.command()
@click.option(
    "--duration", default=10, show_default=True, help="Length of each trial in whole seconds; p99.9 needs 10."
)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the chart. Default: none.")
@click.option(
    "--generator", type=click.Choice(["native", "portable"]), help="Load generator. Default: native if built."
)
def calibrate(duration: int, output: Path | None, generator: str | None) -> None:
    """Measure servers whose behaviour is known, and show whether this tool tells the truth on this machine.

    The exit status is 1 if a value is off.
    """
    from harness import calibrate as calibration
    from harness import machine
    from harness.loadgen.engines import default_engine
    from harness.process import ChildFailedError
    from harness.report import calibration as shown

    console = _console()
    cpus = machine.split_cpus()
    try:
        measured = calibration.calibrate(
            generator or default_engine(),
            duration,
            servers=cpus.servers,
            generators=cpus.generators,
            observe=lambda case: console.print(f"measuring: {case.name}", markup=False),
        )
        passed = shown.render(measured, console)
        if output is not None:
            _say_written(shown.draw(measured, output), console)
    except calibration.CalibrationError as fault:
        raise click.UsageError(str(fault)) from None
    except ChildFailedError as fault:
        raise click.ClickException(str(fault)) from None
    except OSError as fault:
        raise click.ClickException(f"{fault.filename}: {fault.strerror}") from None
    sys.exit(0 if passed else 1)


def _console() -> Console:
    """Return standard output; a file or a pipe, which has no width, is as wide as the widest table."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _probe(backends: dict[str, Any]) -> list[Candidate]:
    from harness.plan import Candidate
    from harness.process import probe_backends

    facts = probe_backends(backends)
    return [Candidate(backend, facts[name][1], facts[name][0]) for name, backend in backends.items()]


def _report(run_path: Path, out_dir: Path, baseline: str | None, console: Console) -> None:
    from harness.report.frame import tabulate
    from harness.report.terminal import render
    from harness.report.write import write_report
    from harness.store import StoreError, read_run

    try:
        measured = read_run(run_path)
        for problem in measured.problems:
            console.print(problem, style="yellow", markup=False)
        names = {record.backend for record in measured.records}
        if baseline is not None and baseline not in names:
            raise click.UsageError(
                f"the baseline {baseline!r} is not in this run; there are {', '.join(sorted(names))}"
            )
        frames = tabulate(measured.records)
        render(frames, console, baseline)
        _say_written(write_report(frames, measured.manifest, out_dir, baseline), console)
    except StoreError as fault:
        raise click.UsageError(str(fault)) from None
    except OSError as fault:
        raise click.ClickException(f"{fault.filename}: {fault.strerror}") from None


def _say_written(files: Sequence[Path], console: Console) -> None:
    if not files:
        return
    folder = files[0].parent
    console.print(f"Report in {folder}:", markup=False)
    console.print("  " + ", ".join(str(file.relative_to(folder)) for file in files), markup=False)

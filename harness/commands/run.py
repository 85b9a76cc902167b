"""`muxbench run`: measure a scenario and report it."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from harness.commands.common import open_console, probe, show_report, split

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


@click.command()
@click.argument("suite", metavar="SUITE")
@click.option(
    "--backend", "-b", multiple=True, callback=split, help="Names or .py files, separated by commas. Default: all."
)
@click.option("--connections", callback=split, help="Active connections, such as 1,10,100.")
@click.option("--idle-connections", callback=split, help="Open and silent connections beside them.")
@click.option("--message-size", callback=split, help="Sizes of a request, such as 64B,1KiB,16KiB.")
@click.option("--pipeline-depth", callback=split, help="Requests in flight on each connection.")
@click.option("--arrivals", help="closed, or an open loop: constant, poisson, bursts.")
@click.option("--rate", callback=split, help="Requests due per second in an open loop, such as 1000,5000.")
@click.option("--rate-percent", callback=split, help="The same in percent of each backend's closed-loop capacity.")
@click.option("--think-time", help='Time between a reply and the next request of a closed loop, such as "1ms".')
@click.option("--requests-per-connection", callback=split, help="Churn: a connection is replaced after so many.")
@click.option("--reply-delay", callback=split, help='Delay of each reply, such as "1ms,10ms"; the server waits.')
@click.option("--cpu-work", callback=split, help='CPU work for each reply, such as "50us"; the server works.')
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

    console = open_console()
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        scenario = load_scenario(suite, given)
        load_exchange(scenario.exchange)
        candidates = probe(choose_backends(backend))
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
    show_report(folder.path, folder.path / "report", baseline, console)
    sys.exit(status)

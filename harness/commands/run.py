"""`muxbench run`: measure a scenario and report it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from harness.commands.common import (
    backend_options,
    chosen_candidates,
    generator_option,
    generators_option,
    load_options,
    measure,
    open_console,
    say_plugin_problems,
    show_report,
)


@click.command()
@click.argument("suite", metavar="SUITE")
@backend_options
@load_options
@click.option("--duration", help='Length of one trial, such as "500ms" or "2s".')
@click.option("--rounds", type=int, help="Trials of each backend at each point.")
@click.option("--budget", help='Time for the whole run, such as "60s"; it ends with the round under way.')
@click.option("--precision", help='Rounds go on until every ratio is known as precisely as this, such as "2%".')
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the run. Default: results/DATE-SUITE.")
@click.option("--baseline", help="Backend that the others are compared with. Default: the fastest of each point.")
@generator_option
@generators_option
@click.option("--seed", type=int, help="Of the order of trials. Default: a random one, which is recorded.")
def run(
    suite: str,
    backend: list[str],
    python: tuple[str, ...],
    workers: list[str] | None,
    option: tuple[str, ...],
    output: Path | None,
    baseline: str | None,
    generator: str | None,
    generators: int,
    seed: int | None,
    **changes: Any,  # noqa: ANN401 - the options named like keys of a scenario
) -> None:
    """Run a scenario from the catalogue (see `muxbench list`) or a .toml file, and report it."""
    from harness.launch import prepare
    from harness.plan import PlanError
    from harness.scenario import ScenarioError, load_scenario, nearest
    from harness.stopping import precise
    from harness.store import StoreError

    console = open_console()
    try:
        scenario = load_scenario(suite, {key: value for key, value in changes.items() if value is not None})
        candidates = chosen_candidates(backend, scenario.backends, python, workers, option)
        labels = [each.label for each in candidates if not each.unavailable]
        if baseline is not None and baseline not in labels:
            raise PlanError(f"the baseline {baseline!r} is not among the backends measured{nearest(baseline, labels)}")
        launch = prepare(scenario, candidates, generator, seed, generators)
        folder = launch.into(output)
    except (ScenarioError, PlanError, StoreError, LookupError) as fault:
        raise click.UsageError(str(fault)) from None
    say_plugin_problems(console)
    for each in candidates:
        if each.unavailable:
            console.print(f"left out: {each.label}: {each.unavailable}", style="yellow", markup=False)
    precision = scenario.measure.precision
    status = measure(launch, folder, console, None if precision is None else precise(precision, baseline))
    show_report(folder.path, folder.path / "report", baseline, console)
    sys.exit(status)

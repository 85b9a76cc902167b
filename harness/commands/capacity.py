"""`muxbench capacity`: the highest rate that each backend serves within an objective."""

from __future__ import annotations

import sys
from functools import partial
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

TRIAL_S = "1s"


@click.command()
@click.argument("suite", metavar="[SCENARIO]", default="quick")
@click.option(
    "--slo", required=True, help='What must hold: "p99 < 5ms"; p50, p90, p99 or p99.9; also "... and errors < 0.1%".'
)
@backend_options
@load_options
@click.option("--precision", default="5%", show_default=True, help="Half of the interval's width that is enough.")
@click.option("--budget", default="60s", show_default=True, help="Time for each backend at each point.")
@click.option("--duration", default=TRIAL_S, show_default=True, help="Shortest trial; few requests/s need longer ones.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the run. Default: results/DATE-SCENARIO.")
@generator_option
@generators_option
@click.option("--seed", type=int, help="Of rates, arrivals and the order of trials. Default: a random one.")
def capacity(
    suite: str,
    slo: str,
    backend: list[str],
    python: tuple[str, ...],
    workers: list[str] | None,
    option: tuple[str, ...],
    precision: str,
    budget: str,
    output: Path | None,
    generator: str | None,
    generators: int,
    seed: int | None,
    **changes: Any,  # noqa: ANN401 - the options named like keys of a scenario
) -> None:
    """Find the highest rate at which each backend holds an objective, such as "p99 < 5ms".

    Requests are due at times of their own (Poisson, or --arrivals constant). The exit status is 0 whatever the answer.
    """
    from harness.capacity import Asked
    from harness.capacity_run import CLOSED_TRIALS, CapacityRun
    from harness.launch import prepare
    from harness.objective import ObjectiveError, parse_objective
    from harness.plan import PlanError
    from harness.scenario import ScenarioError, load_scenario, parse_duration, parse_share
    from harness.store import StoreError

    console = open_console()
    try:
        asked = Asked(parse_objective(slo), _positive("--precision", precision, parse_share))
        budget_s = _positive("--budget", budget, parse_duration)
        process = _process(changes)
        given = {key: value for key, value in changes.items() if value is not None}
        scenario = load_scenario(suite, {**given, **CLOSED_LOOP})
        expected = int(budget_s / (scenario.measure.duration + 0.5))
        measured = scenario.measure.model_copy(update={"rounds": CLOSED_TRIALS + expected, "budget": None})
        scenario = scenario.model_copy(update={"measure": measured})
        candidates = chosen_candidates(backend, scenario.backends, python, workers, option)
        further = {"capacity": {**asked.to_json(), "arrivals": process, "budget_s": budget_s}}
        launch = prepare(scenario, candidates, generator, seed, generators, further)
        folder = launch.into(output)
    except (ScenarioError, PlanError, StoreError, LookupError) as fault:
        raise click.UsageError(str(fault)) from None
    except ObjectiveError as fault:
        raise click.UsageError(f"--slo: {fault}") from None
    say_plugin_problems(console)
    for each in candidates:
        if each.unavailable:
            console.print(f"left out: {each.label}: {each.unavailable}", style="yellow", markup=False)
    search = partial(CapacityRun, asked=asked, process=process, budget_s=budget_s)
    status = measure(launch, folder, console, None, search)
    show_report(folder.path, folder.path / "report", None, console)
    sys.exit(status)


CLOSED_LOOP = {
    "arrivals": "closed",
    "rate": [0],
    "rate_percent": [0],
    "burst_period": "0 s",
    "burst_duty": 0,
    "think_time": "0 s",
}
"""A scenario's load without what says when requests are due: that is what is searched for."""


def _process(changes: dict[str, Any]) -> str:
    """Return how requests arrive.

    Raises:
        click.UsageError: So they cannot, or a rate is given.
    """
    if changes.get("rate") or changes.get("rate_percent"):
        raise click.UsageError("the rate is what is searched for: leave --rate and --rate-percent out")
    if changes.get("think_time"):
        raise click.UsageError("think time belongs to a closed loop, and capacity is that of an open one: leave it out")
    process = str(changes.get("arrivals") or "poisson")
    if process not in {"poisson", "constant"}:
        raise click.UsageError(f"--arrivals is {process!r}, must be poisson or constant")
    return process


def _positive(option: str, text: str, parse: Any) -> float:  # noqa: ANN401 - a function of the scenario's module
    """Return the value of an option.

    Raises:
        click.UsageError: It is not right.
    """
    try:
        value = float(parse(text))
    except ValueError as fault:
        raise click.UsageError(f"{option}: {fault}") from None
    if not value > 0:
        raise click.UsageError(f"{option} is {text!r}, must be above 0")
    return value

"""`muxbench list`: the backends and the scenarios."""

from __future__ import annotations

import click

from harness.commands.common import open_console, probe, say_plugin_problems


@click.command(name="list")
def list_backends() -> None:
    """List backends (with the reason where one is unavailable) and scenarios."""
    from rich.table import Table
    from rich.text import Text

    from harness.loadgen.engines import default_engine
    from harness.plan import PlanError, choose_backends
    from harness.record import value_text
    from harness.scenario import axes as axes_of
    from harness.scenario import load_scenario, scenario_files

    console = open_console()
    try:
        candidates = probe(choose_backends(()))
    except PlanError as fault:
        raise click.ClickException(str(fault)) from None
    backends = Table("backend", "family", "summary", title="Backends", title_justify="left", box=None, pad_edge=False)
    for each in candidates:
        traits = each.backend.traits
        packages = ", ".join(
            [*filter(None, [each.backend.package]), *(f"{name} {number}" for name, number in each.packages.items())]
        )
        if each.backend.program is not None:
            packages = each.interpreter
        summary = Text(f"{traits.summary} ({packages})" if packages else traits.summary)
        if each.unavailable:
            summary.append(f" [unavailable: {each.unavailable}]", style="yellow")
        backends.add_row(Text(traits.name, style="bold"), traits.family, summary)
    console.print(backends)
    say_plugin_problems(console)
    scenarios = Table(
        "scenario", "axes", "summary", title="\nScenarios", title_justify="left", box=None, pad_edge=False
    )
    for name in scenario_files():
        scenario = load_scenario(name)
        axes = "\n".join(
            f"{axis}: {', '.join(map(value_text, values))}"
            for axis, values in axes_of(scenario).items()
            if len(values) > 1
        )
        scenarios.add_row(Text(name, style="bold"), axes, Text(scenario.summary))
    console.print(scenarios)
    console.print(f"\nLoad generator: {default_engine()}")

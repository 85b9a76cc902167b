"""`muxbench duel`: which of two is better, with short trials in turn and fresh starts, until the answer is clear."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.common import load_options, measure, open_console, probe

if TYPE_CHECKING:
    from harness.duel import Answer
    from harness.plan import Candidate

METRICS = {"throughput": "throughput_rps", "p50": "p50_us", "p99": "p99_us", "cpu": "cpu_us"}
"""What a duel can be about -> the column of the trials' table."""

ROUNDS_PER_START = 4


@click.command()
@click.argument("first", metavar="X")
@click.argument("second", metavar="Y")
@click.option("--python", multiple=True, help="Interpreter of the servers; given twice, X's and Y's.")
@click.option("--scenario", "suite", default="quick", show_default=True, help="Scenario; it must come to one point.")
@load_options
@click.option("--metric", type=click.Choice(list(METRICS)), default="throughput", show_default=True)
@click.option("--equal-within", default="1%", show_default=True, help="Differences that do not matter.")
@click.option("--duration", default="100ms", show_default=True, help="Length of one trial.")
@click.option("--budget", default="60s", show_default=True, help="When it is used up, the answer is: undecided.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the records. Default: they are not kept.")
def duel(
    first: str,
    second: str,
    python: tuple[str, ...],
    suite: str,
    metric: str,
    equal_within: str,
    output: Path | None,
    **changes: Any,  # noqa: ANN401 - the options named like keys of a scenario
) -> None:
    """Find out whether X or Y is better, in a minute.

    X and Y are backends: NAME or FILE.py, optionally followed by @COMMIT (that of a commit of this repository) and by
    :OPTION=VALUE, such as thread-pool:threads=64. The exit status is 0 whatever the answer.
    """
    from harness import duel as rules
    from harness.checkout import CheckoutError
    from harness.launch import prepare
    from harness.plan import PlanError
    from harness.scenario import ScenarioError, load_scenario, parse_share, points
    from harness.store import RunFolder, StoreError, read_run

    console = open_console()
    with contextlib.ExitStack() as folders:
        try:
            given = {key: value for key, value in changes.items() if value is not None}
            if suite == "quick":
                given.setdefault("connections", ["100"])
            fixed = {"rounds": 1, "rounds_per_start": ROUNDS_PER_START}
            scenario = load_scenario(suite, {**given, **fixed})
            if (count := len(points(scenario))) > 1:
                raise ScenarioError(f"{suite} comes to {count} points: choose one, with --connections and the like")
            if len(python) > 2:
                raise PlanError("--python can be given twice at most: for X and for Y")
            pythons = [*python, *python, sys.executable, sys.executable][:2] if len(python) < 2 else python
            sides = [
                _candidate(text, interpreter, Path(folders.enter_context(tempfile.TemporaryDirectory())))
                for text, interpreter in zip((first, second), pythons, strict=True)
            ]
            x, y = _told_apart(*sides)
            within = parse_share(equal_within)
            launch = prepare(scenario, [x, y])
            if output is None:
                scratch = Path(folders.enter_context(tempfile.TemporaryDirectory()))
                folder = RunFolder.create(scratch / "duel", launch.manifest)
            else:
                folder = launch.into(output)
        except (ScenarioError, PlanError, StoreError, CheckoutError, LookupError) as fault:
            raise click.UsageError(str(fault)) from None
        except ValueError as fault:
            raise click.UsageError(f"--equal-within: {fault}") from None
        column = METRICS[metric]
        status = measure(launch, folder, console, rules.clear(x.label, y.label, column, ROUNDS_PER_START, within))
        records = read_run(folder.path).records
        for name, shown in METRICS.items():
            found = rules.answer(records, x.label, y.label, shown, ROUNDS_PER_START, within)
            if shown == column:
                console.print(in_words(found, x.label, y.label, name), style="bold", markup=False)
            elif found.starts:
                console.print(f"  {name}: {_ratio_text(found)}", markup=False)
        kinds = Counter(verdict.kind for record in records for verdict in record.verdicts)
        for kind, count in sorted(kinds.items()):
            console.print(f"  {count} of {len(records)} trials: {kind}", style="yellow", markup=False)
        sys.exit(status)


def in_words(found: Answer, first: str, second: str, metric: str) -> str:
    """Return the answer of a duel as a sentence."""
    evidence = f"{metric} ratio {_ratio_text(found)}, {found.starts} fresh starts of both"
    if found.outcome == "equal":
        return f"{first} and {second} are equal within {found.equal_within:.1%}: {evidence}"
    if found.outcome == "undecided":
        longer = "--duration" if found.final else "--budget"
        advice = f"a longer {longer} or a quieter machine (muxbench doctor) may tell"
        return f"undecided between {first} and {second}: {evidence}; {advice}"
    return f"{first} is {found.outcome} than {second}: {evidence}"


def _ratio_text(found: Answer) -> str:
    interval = "?" if math.isnan(found.low) else f"[{found.low:.3f}, {found.high:.3f}]"
    return f"{found.ratio:.3f} {interval}"


def _candidate(text: str, python: str, folder: Path) -> Candidate:
    """Return what NAME[@COMMIT][:OPTION=VALUE,...] stands for.

    Raises:
        PlanError: There is no such backend, or it cannot run.
        CheckoutError: There is no such commit.
    """
    from dataclasses import replace

    from harness.checkout import ROOT, check_out
    from harness.plan import PlanError, choose_backends, choose_forms

    text, _, settings = text.partition(":")
    name, _, commit = text.partition("@")
    root, short = ROOT, ""
    if commit:
        root, short = folder, check_out(commit, folder)
    (candidate,) = probe(choose_backends([name], root), python, root)
    candidate = replace(candidate, root=root, commit=short)
    if candidate.unavailable:
        raise PlanError(f"backend {candidate.label} is unavailable: {candidate.unavailable}")
    options = {}
    for setting in filter(None, settings.split(",")):
        option, _, value = setting.partition("=")
        options[option] = [value]
    (form,) = choose_forms([candidate], [1], options)
    return form


def _told_apart(x: Candidate, y: Candidate) -> tuple[Candidate, Candidate]:
    """Return both under labels that differ."""
    from dataclasses import replace

    return (x, y) if x.label != y.label else (replace(x, mark="(a)"), replace(y, mark="(b)"))

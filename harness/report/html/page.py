"""What the HTML report says, as plain data for its template: one value for each place of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.report import capacity
from harness.report.charts.look import looks
from harness.report.charts.selection import named
from harness.report.frame import plain
from harness.report.growth import LEGEND, growth_tables
from harness.report.html import environment
from harness.report.html.figures import scenario_charts
from harness.report.html.grids import grids
from harness.report.html.measures import hover_texts
from harness.report.html.standings import Standing, headline, standings
from harness.report.html.traces import series_looks
from harness.report.html.words import conditions_words, plotly_text
from harness.report.table import MEANINGS
from harness.stats import ROUNDS_FOR_INTERVAL

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.report.frame import Frames

SUMMARY_POINTS = 6
"""Points of a scenario in the summary; its own page has all."""


def page(
    frames: "Frames",
    ratios: "DataFrame",
    manifest: Mapping[str, Any],
    problems: Sequence[str],
    capacities: "DataFrame | None" = None,
) -> dict[str, Any]:
    """Return everything that the template shows; `data` is what its scripts read.

    Args:
        frames: Tables of a run's records.
        ratios: What `harness.compare.ratios` returned for them.
        manifest: Of the same run.
        problems: One line for each thing that could not be read.
        capacities: What `harness.capacity.capacities` returned, if anything.
    """
    cells = named(frames.cells) if len(frames.cells) else frames.cells.assign(series=[])
    styles = looks(zip(cells["series"], cells["backend"], strict=True))
    searched = capacities is not None and len(capacities) > 0
    # In a search for capacity every trial has a rate of its own, so there is nothing to rank but the closed loop.
    ranked = replace(frames, cells=frames.cells[frames.cells["loop"] == "closed"]) if searched else frames
    drawn = cells[cells["loop"] == "open"] if searched else cells
    scenarios = [_scenario(ranked, name, manifest) for name in dict.fromkeys(frames.cells["scenario"])]
    backends = [_backend(frames, name, manifest, scenarios) for name in sorted(set(frames.cells["backend"]))]
    return {
        "title": frames.run or "A run without records",
        "origin": environment.origin(manifest),
        "command": environment.repeat_command(manifest),
        "sections": environment.sections(manifest),
        "scenarios": scenarios,
        "backends": backends,
        "growth_legend": LEGEND,
        "capacity": _capacity(capacities),
        "trials": len(frames.trials),
        "warnings": warnings(frames),
        "refusals": refusals(frames),
        "problems": list(problems),
        "baselines": sorted(set(ratios["baseline"])),
        "data": {
            "charts": [scenario_charts(drawn[drawn["scenario"] == each["name"]]) for each in scenarios],
            "hover": hover_texts(cells),
            "grids": grids(frames, ratios),
            "looks": series_looks(styles),
            "bounded": [bool(bound) for bound in cells["lower_bound"]],
            "series": {
                str(name): [plotly_text(series) for series in dict.fromkeys(rows["series"])]
                for name, rows in cells.groupby("backend")
            },
        },
    }


def _capacity(capacities: "DataFrame | None") -> dict[str, Any] | None:
    if capacities is None or not len(capacities):
        return None
    columns, rows = capacity.table(capacities)
    return {"title": capacity.title(capacities), "columns": columns, "rows": rows, "legend": capacity.LEGEND}


def _scenario(frames: "Frames", name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    measure, found = standings(frames, name)
    cells = frames.cells[frames.cells["scenario"] == name]
    described = manifest.get("scenario")
    about = described.get("summary", "") if isinstance(described, Mapping) and described.get("name") == name else ""
    return {
        "name": name,
        "about": plain(str(about)),
        "conditions": conditions_words(cells),
        "measure": measure.title,
        "headline": headline(measure, found),
        "standings": found,
        "in_summary": _spread(found),
        "growth": growth_tables(frames.growths[frames.growths["scenario"] == name]),
        "own_load": "rate_percent" in cells and bool((cells["rate_percent"] > 0).any()),
        "few_rounds": bool(cells["rounds"].between(1, ROUNDS_FOR_INTERVAL - 1).any()),
        "refused": int((cells["refusal"] != "").sum()),
    }


def _spread(found: Sequence[Standing]) -> list[Standing]:
    """Return some of many points, from the first to the last."""
    if len(found) <= SUMMARY_POINTS:
        return list(found)
    return [found[number * (len(found) - 1) // (SUMMARY_POINTS - 1)] for number in range(SUMMARY_POINTS)]


def _backend(
    frames: "Frames", name: str, manifest: Mapping[str, Any], scenarios: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    cells = frames.cells[frames.cells["backend"] == name]
    leads = []
    for each in scenarios:
        contested = [one for one in each["standings"] if one.compared > 1]
        alone = sum(one.leaders == [name] for one in contested)
        among = sum(name in one.leaders for one in contested) - alone
        leads.append({"scenario": each["name"], "points": len(contested), "alone": alone, "among": among})
    return {
        "name": name,
        "family": " and ".join(sorted(set(cells["family"]))),
        "facts": [
            ("family", " and ".join(sorted(set(cells["family"])))),
            *environment.backend_facts(manifest, name),
        ],
        "leads": [each for each in leads if each["points"]],
        "refusals": refusals(frames, name),
        "warnings": warnings(frames, name),
    }


def warnings(frames: "Frames", backend: str = "") -> list[dict[str, Any]]:
    """Return each kind of verdict with how many trials and which backends it concerns, the most frequent first.

    Args:
        frames: Tables of a run's records.
        backend: Leave out all others; empty leaves out none.
    """
    found = frames.verdicts
    if backend:
        found = found[found["backend"] == backend]
    kinds = found["verdict"].value_counts()
    return [
        {
            "kind": kind,
            "count": int(count),
            "meaning": MEANINGS.get(str(kind), ""),
            "backends": sorted(set(found.loc[found["verdict"] == kind, "backend"])),
        }
        for kind, count in kinds.items()
    ]


def refusals(frames: "Frames", backend: str = "") -> list[dict[str, Any]]:
    """Return each reason for which cells were refused or failed, with their number and backends.

    Args:
        frames: Tables of a run's records.
        backend: Leave out all others; empty leaves out none.
    """
    found = frames.cells[frames.cells["refusal"] != ""]
    if backend:
        found = found[found["backend"] == backend]
    return [
        {"reason": reason, "count": len(rows), "backends": sorted(set(rows["backend"]))}
        for reason, rows in found.groupby("refusal", sort=False)
    ]

"""Write docs/backends.md from the backends' TRAITS and the reference run: `python docs/make_backends.py`."""

import math
from pathlib import Path
from typing import Any

import jinja2

from backends.find import Backend, find_backends
from harness.plan import SPARE_DESCRIPTORS
from harness.report.frame import tabulate
from harness.store import read_run

DOCS = Path(__file__).resolve().parent
REFERENCE = DOCS.parent / "results" / "reference" / "catalogue"
OPTIONS = {
    "backlog": "connections that may wait to be accepted (listen(2))",
    "read_size": "bytes that one read asks for",
    "processes": "processes that are forked beforehand",
    "threads": "threads that are started beforehand",
}
"""What the options of backends are."""

FAMILIES = ["blocking", "readiness", "completion", "framework", "external"]


def page(folder: Path = REFERENCE) -> str:
    """Return the text of docs/backends.md.

    Args:
        folder: The run whose numbers it shows: echo of one message size over several numbers of connections.
    """
    run = read_run(folder)
    frames = tabulate(run.records)
    connections = sorted(int(number) for number in frames.cells["connections"].unique())
    cells = {(cell["backend"], cell["connections"]): cell for cell in frames.cells.to_dict("records")}
    names = sorted({name for name, _ in cells}, key=lambda name: -cells[name, 100]["throughput_rps"])
    machine = run.manifest["machine"]
    ordered = sorted(find_backends().values(), key=lambda each: FAMILIES.index(each.traits.family))
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string((DOCS / "backends.md.j2").read_text(encoding="utf-8")).render(
        backends=[_described(each, run.manifest["backends"]) for each in ordered],
        options=_options([each for each in ordered if each.program is None]),
        connections=connections,
        rows=[(name, [_numbers(cells[name, number]) for number in connections]) for name in names],
        rounds=int(frames.cells["rounds"].max()),
        trials=len(frames.trials),
        disturbed=int(frames.trials["verdicts"].str.contains("disturbed").sum()),
        machine=(
            f"{machine['cpus']} CPUs ({machine['cpu']}{', virtual' if machine['hypervisor'] else ''}), "
            f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']} {machine['kernel']}, "
            f"{machine['interpreter']}"
        ),
    )


def _described(backend: Backend, measured: dict[str, Any]) -> dict[str, Any]:
    traits = backend.traits
    facts = measured.get(traits.name, {"unavailable": "", "packages": {}, "interpreter": ""})
    packages = [f"{name} {version}" for name, version in facts["packages"].items()]
    limits = []
    if traits.max_descriptors is not None:
        limits.append(
            f"descriptors below {traits.max_descriptors:,} only, so {traits.max_descriptors - SPARE_DESCRIPTORS:,} "
            "connections"
        )
    if traits.max_connections is not None:
        limits.append(f"{traits.max_connections:,} connections")
    if "unix" not in traits.transports and traits.family != "external":
        limits.append("TCP only, no Unix sockets")
    if not traits.notify and traits.family != "external":
        limits.append("no session that sends unasked, so no fan-out")
    return {
        "family": traits.family,
        "name": traits.name,
        "summary": traits.summary,
        "version": "" if facts["unavailable"] else ", ".join(packages) or facts["interpreter"],
        "unavailable": facts["unavailable"],
        "limits": limits,
        "faults": sorted(traits.faults.items()),
    }


def _options(backends: list[Backend]) -> list[dict[str, Any]]:
    """Return the options there are, each with the backends that have it."""
    found = []
    for name, words in OPTIONS.items():
        having = [each.traits for each in backends if name in each.traits.options]
        everyone = len(having) == len(backends)
        found.append(
            {
                "name": name,
                "words": words,
                "usual": having[0].options[name],
                "backends": "all but external servers"
                if everyone
                else ", ".join(f"`{traits.name}`" for traits in having),
            }
        )
    if unexplained := {name for each in backends for name in each.traits.options} - set(OPTIONS):
        raise LookupError(f"OPTIONS does not say what {', '.join(sorted(unexplained))} is")
    return found


def _numbers(cell: dict[Any, Any]) -> tuple[str, str]:
    """Return throughput and CPU of a cell for the table."""
    if math.isnan(cell["throughput_rps"]):
        return "-", "-"
    bound = "≥ " if cell["lower_bound"] else ""
    return f"{bound}{cell['throughput_rps'] / 1e3:.1f}", f"{cell['cpu_us']:.1f}"


if __name__ == "__main__":
    (DOCS / "backends.md").write_text(page(), encoding="utf-8")

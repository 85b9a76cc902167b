"""From what was asked on the command line to a run that is ready to begin: the same for every command that measures."""

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import machine
from harness.loadgen.engines import default_engine, tls_missing
from harness.plan import Candidate, Plan, PlanError, make_plan
from harness.run import Observer, Run
from harness.scenario import Scenario
from harness.stopping import Enough
from harness.store import RunFolder
from scenarios.conditions import spins_per_s
from scenarios.session import load_exchange


@dataclass(frozen=True, slots=True)
class Launch:
    """A run that is ready to begin.

    Attributes:
        plan: What is measured.
        engine: Which generator: "native" or "portable".
        generators: Processes of it for each cell.
        manifest: What `run.json` will say.
    """

    plan: Plan
    engine: str
    generators: int
    manifest: Mapping[str, Any]

    def into(self, output: Path | None) -> RunFolder:
        """Make the run's folder: `output`, or one in `results` that is called by date and scenario.

        Raises:
            StoreError: It cannot be made.
        """
        name = f"{datetime.now():%Y-%m-%dT%H-%M-%S}-{self.plan.scenario.name}"
        return RunFolder.create(output or Path("results") / name, self.manifest)

    def execute(
        self, folder: RunFolder, observer: Observer, enough: Enough | None, make: Callable[..., Run] = Run
    ) -> None:
        """Measure everything; see `Run.execute`.

        Args:
            folder: Where records go.
            observer: Who is told.
            enough: Says whether the records of a point suffice.
            make: Makes the run from the arguments of `Run`.
        """
        make(
            self.plan,
            folder,
            machine.split_cpus(self.generators),
            self.engine,
            self.generators,
            self.manifest["seed"],
            self.manifest["spins_per_s"],
            observer,
            enough,
        ).execute()


def prepare(
    scenario: Scenario,
    candidates: Sequence[Candidate],
    generator: str | None = None,
    seed: int | None = None,
    generators: int = 1,
    further: Mapping[str, Any] | None = None,
) -> Launch:
    """Plan a run of all candidates that are available, and note everything that is needed to repeat it.

    Args:
        scenario: What is asked.
        candidates: Who is asked.
        generator: "native" or "portable"; None takes the native one if there is one.
        seed: Of the order of trials and of arrivals; None draws one.
        generators: Generator processes for each cell.
        further: What the manifest says beside that: plain JSON data.

    Raises:
        PlanError: There is nothing to measure, nothing to measure it with, or it needs a single generator.
        LookupError: There is no such exchange.
    """
    if load_exchange(scenario.exchange).fan_out and generators > 1:
        raise PlanError(f"{scenario.exchange} needs one generator, because each sees its own connections only")
    plan = make_plan(scenario, [each for each in candidates if not each.unavailable], machine.raise_descriptor_limit())
    engine = generator or default_engine()
    if "tls" in scenario.load.transport and (reason := tls_missing(engine)):
        raise PlanError(f"{reason}; --generator portable can do it")
    cpus = machine.split_cpus(generators)
    manifest = {
        "command": ["muxbench", *sys.argv[1:]],
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "muxbench": machine.installation(),
        "machine": machine.fingerprint(),
        "scenario": scenario.model_dump(mode="json"),
        "backends": {
            each.label: {
                "unavailable": each.unavailable,
                "packages": dict(each.packages),
                "interpreter": each.interpreter,
                "workers": each.workers,
                "options": dict(each.options),
            }
            for each in candidates
        },
        "seed": random.SystemRandom().randrange(2**32) if seed is None else seed,
        "spins_per_s": spins_per_s(),
        "generator": engine,
        "generators": generators,
        "cpus": {
            "servers": sorted(cpus.servers),
            "generators": sorted(cpus.generators),
            "orchestrator": sorted(cpus.orchestrator),
        },
        **(further or {}),
    }
    return Launch(plan, engine, generators, manifest)

"""The sequence of a search for capacity: a closed loop first, then rounds of trials at rates that the search chooses.

In each round every backend has one trial at a rate of its own, until the capacity of each is known precisely enough or
its time is used up.
"""

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from harness.capacity import Asked, closed_rps, outcome
from harness.loadgen.spec import Arrivals
from harness.objective import ObjectiveError
from harness.process import ChildFailedError
from harness.record import Verdict
from harness.run import LiveCell, PointState, Run
from harness.search import CapacitySearch

CLOSED_TRIALS = 5
CLOSED_TRIAL_S = 0.3


@dataclass(slots=True)
class _Sought:
    """A backend whose capacity is searched for.

    Attributes:
        live: Its server, and its generator of the moment.
        search: What is known so far.
        rest_s: Time that is left to it.
        generator: Holds the generator of its trials in an open loop, which has another rate each time.
    """

    live: LiveCell
    search: CapacitySearch
    rest_s: float
    generator: ExitStack = field(default_factory=ExitStack)


class CapacityRun(Run):
    """The search for the capacity of every cell of a plan, whose scenario is a closed loop."""

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - those of `Run`
        asked: Asked,
        process: str,
        budget_s: float,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            arguments: Those of `Run`.
            asked: What must hold, and how precisely the capacity is to be known.
            process: How requests arrive: "poisson" or "constant".
            budget_s: Time for each backend at each point, in seconds.
        """
        super().__init__(*arguments)
        self._asked = asked
        self._process = process
        self._budget_s = budget_s

    def _measure_point(self, state: PointState, _budget_s: float | None) -> None:
        state.done = True
        self._observer.starting(state.point, len(state.cells))
        with ExitStack() as processes:
            live = self._start_all(state.cells, processes)
            for number in range(CLOSED_TRIALS):
                self._order.shuffle(live)
                live = [each for each in live if self._trial(each, number, CLOSED_TRIAL_S)]
            sought = [found for each in live if (found := self._begin(each, processes)) is not None]
            number = CLOSED_TRIALS
            while sought:
                self._order.shuffle(sought)
                sought = [each for each in sought if self._next(each, number)]
                number += 1

    def _begin(self, live: LiveCell, processes: ExitStack) -> _Sought | None:
        """Return the search for one backend, or record why there is none."""
        of_it = [record for record in self._records if record.label == live.cell.candidate.label]
        live.generator.stop(timeout_s=1)
        try:
            search = self._asked.search(closed_rps(of_it), self._order.randrange(2**32))
        except ObjectiveError as fault:
            self._keep(replace(self._blank(live.cell), verdicts=(Verdict("few samples", str(fault)),)))
            return None
        found = _Sought(live, search, self._budget_s)
        processes.enter_context(found.generator)
        return found

    def _next(self, sought: _Sought, number: int) -> bool:
        """Make one trial at the rate that the search asks for; return whether another is to follow."""
        began = time.monotonic()
        live, search = sought.live, sought.search
        rate_rps = max(1, round(search.next_rate()))
        duration_s = self._asked.objective.trial_s(rate_rps, self._plan.scenario.measure.duration)
        if duration_s > sought.rest_s and number > CLOSED_TRIALS:
            return False
        live.cell = replace(live.cell, point=replace(live.cell.point, rate=rate_rps))
        if live.cell.restless:
            live.server.resume()
        try:
            arrivals = Arrivals(self._process, float(rate_rps), seed=self._order.randrange(2**32))
            live.generator = sought.generator.enter_context(
                self._connect(live.cell, live.server, self._log(live.cell), arrivals)
            )
        except ChildFailedError as fault:
            self._keep(replace(self._blank(live.cell), verdicts=(self._failure(fault, live.server),)))
            return False
        # A Poisson process may have fewer arrivals than its mean: four deviations are hardly ever missing.
        margin_s = 4 * math.sqrt(self._asked.objective.samples) / rate_rps
        if not self._trial(live, number, duration_s + margin_s):
            return False
        sought.generator.close()
        search.tell(rate_rps, outcome(self._records[-1], self._asked.objective))
        sought.rest_s -= time.monotonic() - began
        return not search.done and sought.rest_s > 0

"""The order of a run: whose turn it is, for how long, and what a start, a budget and a failure change in it."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

import harness.run
from backends.contract import Traits
from backends.find import Backend
from harness.machine import CpuSplit
from harness.plan import Candidate, Cell, make_plan
from harness.record import Record
from harness.run import LiveCell, Run
from harness.scenario import Load, Measure, Point, Scenario
from harness.stopping import Enough
from harness.store import RunFolder

START_S = 10.0
TRIAL_S = 1.0


class Clock:
    """A monotonic clock that goes only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Notes(Run):
    """A run that starts and measures nothing, and writes down what it would."""

    def __init__(self, folder: Path, clock: Clock, enough: Enough | None = None, **measure: object) -> None:
        scenario = Scenario(
            name="s",
            summary="s",
            exchange="echo",
            load=Load(connections=(1, 2, 3)),
            measure=Measure(**measure),  # type: ignore[arg-type]
        )
        candidates = [
            Candidate(Backend(Traits(name, "readiness", "s"), Path(name)), {}, "") for name in ("one", "other")
        ]
        anywhere = CpuSplit(frozenset(), frozenset(), frozenset())
        plan = make_plan(scenario, candidates, 1000)
        super().__init__(plan, RunFolder.create(folder, {}), anywhere, "native", 1, 1, 1.0, self, enough)
        self.clock = clock
        self.fails_in: dict[str, int] = {}
        self.starts: list[tuple[str, int]] = []
        self.trials: list[tuple[str, int, int]] = []
        self.told: list[tuple[str, int]] = []

    def starting(self, point: Point, cells: int) -> None:
        self.told.append(("starting", point.connections))

    def recorded(self, record: Record) -> None:
        raise NotImplementedError

    def ended(self, point: Point) -> None:
        self.told.append(("ended", point.connections))

    def _start(self, cell: Cell, processes: ExitStack) -> LiveCell | None:
        self.clock.now += START_S
        self.starts.append((cell.candidate.label, cell.point.connections))
        return LiveCell(cell, None, None, 0)  # type: ignore[arg-type]

    def _trial(self, live: LiveCell, number: int, duration_s: float) -> bool:
        self.clock.now += TRIAL_S
        label = live.cell.candidate.label
        self.trials.append((label, live.cell.point.connections, number))
        return number != self.fails_in.get(label)

    def rounds(self) -> list[int]:
        """Return the connections of each round in turn."""
        return [connections for label, connections, _ in self.trials if label == "one"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(harness.run.time, "monotonic", clock.monotonic)
    return clock


def test_a_point_has_all_its_rounds_from_one_start(tmp_path: Path, clock: Clock) -> None:
    run = Notes(tmp_path / "run", clock, rounds=2)
    run.execute()
    assert run.rounds() == [1, 1, 2, 2, 3, 3]
    assert len(run.starts) == 2 * 3
    assert {number for _, _, number in run.trials} == {0, 1}
    assert run.told == [(what, point) for point in (1, 2, 3) for what in ("starting", "ended")]


def test_points_take_turns_there_and_back_where_servers_start_afresh(tmp_path: Path, clock: Clock) -> None:
    run = Notes(tmp_path / "run", clock, rounds=5, rounds_per_start=2)
    run.execute()
    assert run.rounds() == [1, 1, 2, 2, 3, 3, 3, 3, 2, 2, 1, 1, 1, 2, 3]
    assert len(run.starts) == 2 * 9
    assert [number for label, point, number in run.trials if (label, point) == ("other", 2)] == [0, 1, 2, 3, 4]
    assert [what for what in run.told if what[0] == "ended"] == [("ended", 1), ("ended", 2), ("ended", 3)]


def test_every_point_has_its_round_though_the_time_is_up(tmp_path: Path, clock: Clock) -> None:
    for name, per_start in (("at once", 0), ("in turns", 2)):
        run = Notes(tmp_path / name, clock, rounds=5, rounds_per_start=per_start, budget="1s")
        run.execute()
        assert run.rounds() == [1, 2, 3]


@pytest.mark.parametrize("per_start", [0, 3])
def test_a_budget_is_shared_by_the_points_and_kept(tmp_path: Path, clock: Clock, per_start: int) -> None:
    run = Notes(tmp_path / "run", clock, rounds=100, rounds_per_start=per_start, budget="180s")
    run.execute()
    assert 150 < clock.now <= 180
    counts = [run.rounds().count(point) for point in (1, 2, 3)]
    assert min(counts) >= 6
    assert max(counts) - min(counts) <= 3


def test_each_point_ends_when_its_own_records_suffice(tmp_path: Path, clock: Clock) -> None:
    asked: list[int] = []

    def enough(records: Sequence[Record]) -> bool:
        asked.append(len(records))
        return len(asked) % 3 == 0

    run = Notes(tmp_path / "run", clock, enough, rounds=1)
    run.execute()
    assert run.rounds() == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_what_failed_has_no_further_trials_at_its_point(tmp_path: Path, clock: Clock) -> None:
    run = Notes(tmp_path / "run", clock, rounds=4, rounds_per_start=2)
    run.fails_in = {"other": 1}
    run.execute()
    assert [number for label, point, number in run.trials if (label, point) == ("other", 3)] == [0, 1]
    assert run.starts.count(("other", 3)) == 1
    assert run.starts.count(("one", 3)) == 2


def test_a_point_where_all_have_failed_is_left(tmp_path: Path, clock: Clock) -> None:
    run = Notes(tmp_path / "run", clock, rounds=4)
    run.fails_in = {"other": 1, "one": 1}
    run.execute()
    assert run.rounds() == [1, 1, 2, 2, 3, 3]

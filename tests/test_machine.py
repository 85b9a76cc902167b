"""Who runs where, and what follows from it."""

from collections.abc import Set as AbstractSet

import pytest

from harness.machine import CpuSplit, split_cpus


@pytest.mark.parametrize(
    ("servers", "generating", "generators", "apart"),
    [
        ({0}, {1}, 1, True),
        ({0}, {1, 2}, 2, True),
        ({0}, {1}, 2, False),
        ({0}, {0}, 1, False),
        ({0}, {0, 1}, 2, False),
        (set(), set(), 1, False),
    ],
)
def test_only_who_shares_no_cpu_is_apart(
    servers: AbstractSet[int], generating: AbstractSet[int], generators: int, apart: bool
) -> None:
    cpus = CpuSplit(frozenset(servers), frozenset(generating), frozenset())
    assert cpus.apart(generators) is apart


def test_everybody_gets_a_cpu_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3}, raising=False)
    alone = split_cpus()
    assert alone.servers == alone.generators == alone.orchestrator == {3}
    assert not alone.apart()

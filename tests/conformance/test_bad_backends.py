"""Each check is seen to fail: every spoiled backend fails the checks of what it spoils, and no other."""

import dataclasses
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import harness.peer
from backends.find import read_backend
from harness.conformance import CHECKS, Check, CheckFailedError, CheckSkippedError, run_check

FOLDER = Path(__file__).parent.parent / "bad_backends"
ALL = "MUXBENCH_ALL_CHECKS"

FAILS = {
    "none": set(),
    "accepts_no_more": {"descriptors-run-out"},
    "breaks_at_eof": {"half-close", "late-reply-after-the-end", "reply-at-the-end"},
    "buffers_without_bound": {"slow-reader"},
    "cuts_what_it_sends_unasked": {"notified-by-all-at-once", "notified-peer-that-never-reads"},
    "closes_before_late_replies": {"late-reply-after-the-end"},
    "dies_of_reset": {
        "descriptors-run-out",
        "no-leaks",
        "notified-peers-that-break",
        "reset-connections",
        "resets-with-bytes-in-flight",
        "sessions-know-that-they-are-closed",
    },
    "dies_of_session": {
        "garbage",
        "raising-session",
        "session-that-raises-at-the-end",
        "session-that-raises-when-woken",
    },
    "dies_without_descriptors": {"descriptors-run-out"},
    "drops_short_writes": {"half-close", "large-reply", "slow-reader"},
    "forgets_eof": {"half-close", "reply-at-the-end"},
    "forgets_the_session": {
        "half-close",
        "late-replies-hold-up-nobody",
        "late-reply",
        "late-reply-after-the-end",
        "late-reply-to-a-busy-peer",
        "merged-messages",
        "overlapping-late-replies",
        "pieces-of-any-size",
        "reply-at-the-end",
        "reset-connections",
        "session-that-raises-when-woken",
        "slow-reader",
        "split-message",
    },
    "forgets_to_say_closed": {"sessions-know-that-they-are-closed"},
    "hoards_for_whom_it_notifies": {"notified-peer-that-never-reads"},
    "holds_up_all_while_sending": {"peer-that-never-reads"},
    "ignores_notify": {
        "notified-by-all-at-once",
        "notified-peer-that-never-reads",
        "notified-peers-that-break",
        "notified-while-silent",
    },
    "ignores_stop": {"stop-with-a-peer-that-never-reads", "stop-with-open-connections"},
    "ignores_wake_at": {
        "late-replies-hold-up-nobody",
        "late-reply",
        "overlapping-late-replies",
        "reset-connections",
        "session-that-raises-when-woken",
    },
    "keeps_failed_sessions": {"raising-session", "session-that-raises-at-the-end", "session-that-raises-when-woken"},
    "leaks_descriptors": {"descriptors-run-out", "no-leaks"},
    "leaks_threads": {"no-leaks"},
    "listens_as_it_likes": {"as-many-peers-wait-as-it-is-told"},
    "reads_as_much_as_it_likes": {"reads-as-much-as-it-is-told"},
    "replies_early": {"late-reply"},
    "serves_a_hundred": {"a-thousand-half-open-connections", "many-connections"},
    "sleeps_for_all": {"late-replies-hold-up-nobody"},
    "sleeps_until_late_replies": {"overlapping-late-replies"},
    "spins_until_it_can_send": {"waiting-for-a-reader-without-spinning"},
    "spins_while_it_waits": {"waiting-without-spinning"},
    "spins_without_descriptors": {"descriptors-run-out"},
    "starves_late_replies": {"late-reply-to-a-busy-peer"},
    "swaps_halves": {"half-close", "large-reply", "merged-messages", "pieces-of-any-size", "slow-reader"},
    "waits_for_whom_it_notifies": {"notified-by-all-at-once", "notified-peer-that-never-reads"},
    "waits_for_its_peers": {"stop-with-a-peer-that-never-reads", "stop-with-open-connections"},
}
"""Spoiled backend (its file) -> the checks it must fail."""


@pytest.fixture(autouse=True)
def less_proof_of_being_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.peer, "STUCK_S", 0.6)


def failed(name: str, checks: Collection[Check], folder: Path) -> set[str]:
    backend = read_backend(FOLDER / f"{name}.py")

    def fails(check: Check) -> bool:
        try:
            run_check(check, backend, folder / f"{check.name}.log")
        except CheckFailedError:
            return True
        except CheckSkippedError:  # most do not declare notify
            return False
        return False

    with ThreadPoolExecutor(4) as pool:  # They mostly wait.
        return {check.name for check, bad in zip(checks, pool.map(fails, checks), strict=True) if bad}


@pytest.mark.parametrize("name", FAILS)
def test_spoiled_backend_fails_what_it_spoils(name: str, tmp_path: Path, patience: Callable[[float], None]) -> None:
    patience(2.0)
    assert failed(name, [check for check in CHECKS if check.name in FAILS[name]], tmp_path) == FAILS[name]


@pytest.mark.skipif(not os.environ.get(ALL), reason=f"takes two minutes: set {ALL}=1")
@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("name", FAILS)
def test_spoiled_backend_passes_the_rest(name: str, tmp_path: Path) -> None:
    assert failed(name, [check for check in CHECKS if check.name not in FAILS[name]], tmp_path) == set()


@pytest.mark.usefixtures("patience")
def test_proper_backend_of_the_same_form_passes_everything(tmp_path: Path) -> None:
    assert failed("none", CHECKS, tmp_path) == set()


def test_every_check_is_failed_by_some_backend() -> None:
    assert set().union(*FAILS.values()) == {check.name for check in CHECKS}


def test_every_spoiled_backend_is_tried() -> None:
    assert set(FAILS) == {file.stem for file in FOLDER.glob("*.py")} - {"base"}


def test_a_check_of_notification_is_skipped_for_a_backend_without_it(tmp_path: Path) -> None:
    backend = read_backend(FOLDER / "none.py")
    without = dataclasses.replace(backend, traits=dataclasses.replace(backend.traits, notify=False))
    silent = next(check for check in CHECKS if check.name == "notified-while-silent")
    with pytest.raises(CheckSkippedError, match="does not declare notify"):
        run_check(silent, without, tmp_path / "server.log")


def test_a_check_of_an_option_is_skipped_for_a_backend_without_it(tmp_path: Path) -> None:
    backend = read_backend(FOLDER / "ignores_stop.py")
    (reads,) = (check for check in CHECKS if check.name == "reads-as-much-as-it-is-told")
    with pytest.raises(CheckSkippedError, match="is about option read_size; the backend does not declare it"):
        run_check(reads, backend, tmp_path / "server.log")


def test_check_beyond_a_declared_limit_is_skipped_with_the_limit_named(tmp_path: Path) -> None:
    backend = read_backend(FOLDER / "none.py")
    limited = dataclasses.replace(backend, traits=dataclasses.replace(backend.traits, max_connections=100))
    many = next(check for check in CHECKS if check.name == "many-connections")
    with pytest.raises(CheckSkippedError, match="max_connections 100"):
        run_check(many, limited, tmp_path / "server.log")

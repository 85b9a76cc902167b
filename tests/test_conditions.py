"""Delay and work around any session, with a clock of our own."""

import pytest

from scenarios import conditions
from scenarios.conditions import Conditions, under
from scenarios.session import Session, load_exchange


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Late(Session):
    """Answers "late" 5 seconds after each byte it receives."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.wake_at: float | None = None

    def receive(self, data: bytes) -> bytes:
        self.wake_at = self.clock() + 5
        return b""

    def wake(self) -> bytes:
        if self.wake_at is None or self.clock() < self.wake_at:
            return b""
        self.wake_at = None
        return b"late"

    def eof(self) -> bytes:
        return b"bye"


def echo() -> Session:
    return load_exchange("echo").new_session()


def test_without_conditions_the_session_is_left_alone() -> None:
    assert under(Conditions(reply_size=64), echo) is echo


def test_delays_of_pipelined_requests_overlap_and_keep_their_order() -> None:
    clock = Clock()
    session = under(Conditions(reply_delay_s=1.0), echo, clock)()
    assert session.receive(b"a") == b""
    clock.now += 0.4
    assert session.receive(b"b") == b""
    assert session.wake_at == 101.0
    assert session.wake() == b""  # early waking is harmless
    clock.now = 101.0
    assert session.wake() == b"a"
    assert session.wake_at == pytest.approx(101.4)
    clock.now = 102.0
    assert session.wake() == b"b"
    assert session.wake_at is None


def test_a_session_that_is_late_itself_is_woken_and_then_delayed() -> None:
    clock = Clock()
    session = under(Conditions(reply_delay_s=1.0), lambda: Late(clock), clock)()
    session.receive(b"x")
    assert session.wake_at == 105.0
    clock.now = 105.0
    assert session.wake() == b""
    assert session.wake_at == 106.0
    clock.now = 106.0
    assert session.wake() == b"late"
    assert session.eof() == b""
    clock.now = 107.0
    assert session.wake() == b"bye"
    assert session.wake_at is None


@pytest.mark.parametrize("pieces", [[b"12345678"], [b"1234", b"5678"], [b"1"] * 8, [b"123", b"45678"]])
def test_work_is_done_once_for_each_reply_however_its_bytes_come(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    turns: list[int] = []
    monkeypatch.setattr(conditions, "spin", turns.append)
    session = under(Conditions(work_spins=10, reply_size=4), echo)()
    assert b"".join(session.receive(piece) for piece in pieces) == b"".join(pieces)
    assert sum(turns) == 20


def test_work_and_delay_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    monkeypatch.setattr(conditions, "spin", turns.append)
    clock = Clock()
    session = under(Conditions(reply_delay_s=1.0, work_spins=3, reply_size=1), echo, clock)()
    assert session.receive(b"a") == b""
    assert turns == [3]
    clock.now += 1
    assert session.wake() == b"a"


def test_the_speed_of_spinning_is_measured() -> None:
    assert 1e5 < conditions.spins_per_s(measured_s=0.001) < 1e11

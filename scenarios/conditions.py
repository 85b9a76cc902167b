"""Conditions that can be put around any session: a delay of its replies, and CPU work for each of them.

They are sessions themselves, so no backend knows of them: it honours `wake_at` as ever.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from scenarios.session import Session


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a server's sessions have to put up with.

    Attributes:
        reply_delay_s: Time between the arrival of a request and its reply, in seconds. Delays of several requests
            overlap: the server waits, it does not work.
        work_spins: Turns of `spin` for each reply: CPU work, which nothing overlaps.
        reply_size: Length of one reply in bytes; work is counted by it, because bytes arrive split and merged anyhow.
    """

    reply_delay_s: float = 0.0
    work_spins: int = 0
    reply_size: int = 1


def spin(turns: int) -> None:
    """Keep the CPU, and the interpreter's lock, busy for some turns of an empty loop."""
    for _ in range(turns):
        pass


def spins_per_s(measured_s: float = 0.02) -> float:
    """Return how many turns of `spin` this interpreter makes in a second here: the best of several tries."""
    turns = 1000
    best = 0.0
    while True:
        began = time.perf_counter()
        spin(turns)
        taken_s = time.perf_counter() - began
        if taken_s < measured_s:
            turns *= 2
            continue
        for _ in range(5):
            began = time.perf_counter()
            spin(turns)
            best = max(best, turns / (time.perf_counter() - began))
        return best


def under(
    conditions: Conditions, new_session: Callable[[], Session], clock: Callable[[], float] = time.monotonic
) -> Callable[[], Session]:
    """Return what makes sessions like `new_session` does, under these conditions.

    Args:
        conditions: The conditions.
        new_session: Makes the session itself.
        clock: Tells the time in seconds, as `Session.wake_at` counts it.
    """

    def make() -> Session:
        session = new_session()
        if conditions.work_spins:
            session = WorkingSession(session, conditions.work_spins, conditions.reply_size)
        if conditions.reply_delay_s:
            session = DelayedSession(session, conditions.reply_delay_s, clock)
        return session

    return make if conditions != Conditions(reply_size=conditions.reply_size) else new_session


class WorkingSession(Session):
    """Spins for every whole reply of the session within."""

    __slots__ = ("_partial", "_reply_size", "_session", "_spins")

    def __init__(self, session: Session, spins: int, reply_size: int) -> None:
        self._session = session
        self._spins = spins
        self._reply_size = reply_size
        self._partial = 0

    @property
    def wake_at(self) -> float | None:  # type: ignore[override]
        """When the session within is to be woken."""
        return self._session.wake_at

    def opened(self, notify: Callable[[], object]) -> None:
        """Let the session within know."""
        self._session.opened(notify)

    def closed(self) -> None:
        """Let the session within know."""
        self._session.closed()

    def receive(self, data: bytes) -> bytes:
        """Let the session within receive, and work for its replies."""
        return self._worked(self._session.receive(data))

    def eof(self) -> bytes:
        """Let the session within know, and work for what it answers."""
        return self._worked(self._session.eof())

    def wake(self) -> bytes:
        """Wake the session within, and work for what it answers."""
        return self._worked(self._session.wake())

    def _worked(self, reply: bytes) -> bytes:
        if reply:
            replies, self._partial = divmod(self._partial + len(reply), self._reply_size)
            spin(self._spins * replies)
        return reply


class DelayedSession(Session):
    """Holds back every reply of the session within."""

    __slots__ = ("_clock", "_delay_s", "_held", "_session", "wake_at")

    def __init__(self, session: Session, delay_s: float, clock: Callable[[], float]) -> None:
        self._session = session
        self._delay_s = delay_s
        self._clock = clock
        self._held: deque[tuple[float, bytes]] = deque()
        self.wake_at: float | None = None

    def receive(self, data: bytes) -> bytes:
        """Let the session within receive; its reply is due later."""
        self._hold(self._session.receive(data))
        return b""

    def eof(self) -> bytes:
        """Let the session within know; what it answers is due later."""
        self._hold(self._session.eof())
        return b""

    def wake(self) -> bytes:
        """Return what is due by now."""
        now = self._clock()
        if self._session.wake_at is not None and self._session.wake_at <= now:
            self._hold(self._session.wake())
        due = []
        while self._held and self._held[0][0] <= now:
            due.append(self._held.popleft()[1])
        self._set_wake_at()
        return b"".join(due)

    def _hold(self, reply: bytes) -> None:
        if reply:
            self._held.append((self._clock() + self._delay_s, reply))
        self._set_wake_at()

    def _set_wake_at(self) -> None:
        held = self._held[0][0] if self._held else None
        inner = self._session.wake_at
        self.wake_at = held if inner is None else inner if held is None else min(held, inner)

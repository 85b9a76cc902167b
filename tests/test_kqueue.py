"""kqueue's filters are added and deleted as interests change: checked on a faked kernel, for there is none on Linux."""

import select
from types import SimpleNamespace
from typing import Any

import pytest

from backends.readiness import mux_kqueue
from backends.readiness.reactor import READ, WRITE

FAKE = {"KQ_FILTER_READ": -1, "KQ_FILTER_WRITE": -2, "KQ_EV_ADD": 1, "KQ_EV_DELETE": 2}


class FakeKqueue:
    """Keeps filters as the kernel would, and reports all of them as ready."""

    def __init__(self) -> None:
        self.knotes: set[tuple[int, int]] = set()

    def control(self, changes: Any, most: int, timeout: float | None = None) -> list[Any]:  # noqa: ANN401
        for change in changes or ():
            knote = (change.ident, change.filter)
            if change.flags == FAKE["KQ_EV_DELETE"]:
                self.knotes.remove(knote)  # the kernel says ENOENT where there is none
            else:
                self.knotes.add(knote)
        return [SimpleNamespace(ident=fd, filter=kind) for fd, kind in sorted(self.knotes)][:most]

    def close(self) -> None: ...


@pytest.mark.skipif(hasattr(select, "kqueue"), reason="there is a real one")
def test_interests_become_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    def kevent(ident: int, kind: int, flags: int) -> Any:  # noqa: ANN401
        return SimpleNamespace(ident=ident, filter=kind, flags=flags)

    monkeypatch.setattr(mux_kqueue, "select", SimpleNamespace(kqueue=FakeKqueue, kevent=kevent, **FAKE))
    multiplexer = mux_kqueue.Multiplexer()
    multiplexer.register(5, READ)
    assert multiplexer.wait(0) == [(5, READ)]
    multiplexer.modify(5, WRITE)
    assert multiplexer.wait(0) == [(5, WRITE)]
    multiplexer.modify(5, READ | WRITE)
    assert sorted(multiplexer.wait(0)) == [(5, READ), (5, WRITE)]
    multiplexer.modify(5, 0)
    assert multiplexer.wait(0) == []
    multiplexer.unregister(5)
    multiplexer.close()

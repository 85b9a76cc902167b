"""How patient the checks are: who must fail need not take long, who must pass may meet a machine that is busy."""

from collections.abc import Callable

import pytest

import harness.conformance
import harness.notification
import harness.option_checks
import harness.peer

PATIENT_S = 60.0


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have checks wait so many seconds at most for what must happen."""

    def wait_at_most(seconds: float) -> None:
        for module in (harness.peer, harness.conformance, harness.notification, harness.option_checks):
            monkeypatch.setattr(module, "PATIENCE_S", seconds)

    wait_at_most(PATIENT_S)
    return wait_at_most

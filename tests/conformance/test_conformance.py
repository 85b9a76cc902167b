"""Every available backend keeps every promise of the contract."""

from pathlib import Path

import pytest

from backends.find import Backend, find_backends
from harness.conformance import CHECKS, Check, CheckSkippedError, run_check
from harness.process import probe_backends

BACKENDS = find_backends()
UNAVAILABLE = {name: reason for name, (reason, *_) in probe_backends(BACKENDS).items() if reason}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_backend(backend: Backend, check: Check, tmp_path: Path) -> None:
    if reason := UNAVAILABLE.get(backend.traits.name):
        pytest.skip(reason)
    try:
        run_check(check, backend, tmp_path / "server.log")
    except CheckSkippedError as reason:
        pytest.skip(str(reason))

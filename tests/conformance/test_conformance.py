"""Every available backend keeps every promise of the contract; external servers are built for it."""

import contextlib
import functools
from pathlib import Path

import pytest

from backends.find import Backend, find_backends
from harness.conformance import CHECKS, Check, CheckSkippedError, run_check
from harness.process import probe_backends
from harness.programs import ProgramError, build_program

BACKENDS = find_backends()


@functools.cache
def unavailable() -> dict[str, str]:
    """Return why backends cannot run here, by name, once those are built that have to be."""
    for backend in BACKENDS.values():
        if backend.program is not None:
            with contextlib.suppress(ProgramError):  # the probe tells why
                build_program(backend, backend.program)
    return {name: probed.unavailable for name, probed in probe_backends(BACKENDS).items() if probed.unavailable}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_backend(backend: Backend, check: Check, tmp_path: Path) -> None:
    if reason := unavailable().get(backend.traits.name):
        pytest.skip(reason)
    try:
        run_check(check, backend, tmp_path / "server.log")
    except CheckSkippedError as reason:
        pytest.skip(str(reason))

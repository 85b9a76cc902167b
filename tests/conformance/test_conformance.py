"""Every available backend keeps every promise of the contract; external servers are built for it."""

import contextlib
import functools
from pathlib import Path

import pytest

from backends.find import Backend, find_backends, read_backend
from harness.conformance import CHECKS, Check, CheckFailedError, CheckSkippedError, run_check
from harness.process import probe_backends
from harness.programs import ProgramError, build_program
from tests.external_servers import write_external_server

BACKENDS = find_backends()


@functools.cache
def unavailable(name: str) -> str:
    """Return why a backend cannot run here, once it is built if it has to be, or an empty text."""
    backend = BACKENDS[name]
    if backend.program is not None:
        with contextlib.suppress(ProgramError):  # the probe tells why
            build_program(backend, backend.program)
    return probe_backends({name: backend})[name].unavailable


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_backend(backend: Backend, check: Check, tmp_path: Path) -> None:
    if reason := unavailable(backend.traits.name):
        pytest.skip(reason)
    try:
        run_check(check, backend, tmp_path / "server.log")
    except CheckSkippedError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", ["half-close", "slow-reader"])
def test_an_external_server_that_hoards_replies_fails_what_it_breaks(name: str, tmp_path: Path) -> None:
    backend = read_backend(write_external_server(tmp_path, "hoards"))
    (check,) = (each for each in CHECKS if each.name == name)
    with pytest.raises(CheckFailedError):
        run_check(check, backend, tmp_path / "server.log")


def test_a_check_that_sends_commands_is_skipped_for_an_external_server_with_the_reason(tmp_path: Path) -> None:
    backend = read_backend(write_external_server(tmp_path, "fine"))
    (check,) = (each for each in CHECKS if each.name == "late-reply")
    with pytest.raises(CheckSkippedError, match="speaks the exchange conformance; the backend declares exchanges echo"):
        run_check(check, backend, tmp_path / "server.log")

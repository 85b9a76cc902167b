"""Requests that fail go through the errback, and only they."""

import struct
from pathlib import Path

import pytest

from backends.find import find_backends
from harness.peer import Peer
from harness.process import ServerProcess
from scenarios.exchanges import failing
from scenarios.exchanges.failing import CallFailedError, FailingSession


def request(sequence: int) -> bytes:
    return struct.pack(">I", 12) + sequence.to_bytes(8, "little") + struct.pack(">I", 8)


def reply(sequence: int) -> bytes:
    return struct.pack(">I", 8) + sequence.to_bytes(8, "little")


@pytest.mark.parametrize("sequence", range(8))
def test_every_fourth_request_fails(sequence: int) -> None:
    ((found),) = FailingSession().requests(request(sequence))
    if sequence % failing.FAILS_EVERY:
        assert FailingSession().answer(found) == reply(sequence)
    else:
        with pytest.raises(CallFailedError) as failure:
            FailingSession().answer(found)
        assert FailingSession().failed(failure.value) == reply(sequence)


@pytest.mark.parametrize("name", ["epoll", "twisted-deferred"])
def test_failed_requests_are_answered_in_their_turn(name: str, tmp_path: Path) -> None:
    with (
        ServerProcess(find_backends()[name], "failing", tmp_path / "log") as server,
        Peer(server.address) as peer,
    ):
        peer.send(b"".join(request(sequence) for sequence in range(20)))
        peer.expect(b"".join(reply(sequence) for sequence in range(20)))

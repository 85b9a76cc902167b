"""Small servers with known behaviour for the generator's engines to meet, and what must hold whatever they do."""

import socket
from collections.abc import Callable

from harness.loadgen.spec import TrialResult

SIZE = 64

Behaviour = Callable[[socket.socket, int], None]
"""Serves one accepted connection, the n-th from 0, in a thread of its own; returning closes it."""


class PeerEndedError(OSError):
    """The peer has sent all that it sends."""


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Return so many bytes; raises PeerEndedError when the peer ends before."""
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise PeerEndedError("the peer has ended")
        data += piece
    return data


def echo(connection: socket.socket, number: int) -> None:
    """Send back what comes."""
    while data := connection.recv(65536):
        connection.sendall(data)


def assert_adds_up(result: TrialResult) -> None:
    """Check what must hold for every trial, however bad the server."""
    assert result.sent == result.replied + result.failed + result.in_flight
    assert result.due == result.sent + result.waiting
    assert 0 <= result.late <= result.in_flight + result.waiting
    assert sum(result.slices) == result.replied
    unanswered = result.failed + result.in_flight + result.waiting - result.late
    assert sum(result.errors.values()) >= unanswered

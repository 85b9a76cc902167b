"""Checks of the options that backends have in common: how much one read asks for, and how many peers may wait."""

import contextlib
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from harness.peer import PATIENCE_S, STUCK_S, CheckFailedError, CheckSkippedError, Peer
from harness.process import ServerProcess

READ_SIZE = 1000
"""What the servers of `reads_as_much_as_it_is_told` are told: less than a message of theirs."""

BACKLOG = 3
"""What the servers of `as_many_peers_wait_as_it_is_told` are told."""

TOO_MANY = 12
"""Peers that connect to them."""


def reads_as_much_as_it_is_told(server: ServerProcess) -> None:
    """No read brings more than option read_size says, and larger messages are answered all the same."""
    text = b"".join(b"%d %s\n" % (number, b"x" * 4 * READ_SIZE) for number in range(100))
    with Peer(server.address) as peer:
        with peer.sending(text):
            peer.expect(text)
        peer.command("largest")
        largest = int(peer.receive())
    if largest > READ_SIZE:
        raise CheckFailedError(f"told to read {READ_SIZE:,} bytes at once, it handed {largest:,} to a session")


def as_many_peers_wait_as_it_is_told(server: ServerProcess) -> None:
    """As many peers may wait to be accepted as option backlog says, and no more."""
    if sys.platform != "linux":
        raise CheckSkippedError("needs Linux: there a full backlog takes one peer more than it is long (listen(2))")
    with Peer(server.address) as peer:
        peer.ask()  # Now it listens as it will go on to: some frameworks call listen(2) once more.
    with contextlib.ExitStack() as crowd, halted(server):
        waiting = [crowd.enter_context(socket.socket()) for _ in range(TOO_MANY)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.address)  # EINPROGRESS, or done already
        connected = count_connected(waiting, BACKLOG + 1)
    if connected != BACKLOG + 1:
        raise CheckFailedError(
            f"with a backlog of {BACKLOG} it had {connected} of {TOO_MANY} peers wait while it accepted none"
        )


def count_connected(peers: list[socket.socket], due: int) -> int:
    """Return how many connections are established; wait for those that are due, and a little for others."""
    poller = select.poll()
    for peer in peers:
        poller.register(peer, select.POLLOUT)
    connected: set[int] = set()
    while ready := poller.poll(1000 * (PATIENCE_S if len(connected) < due else STUCK_S)):
        for fd, _events in ready:
            connected.add(fd)
            poller.unregister(fd)
    return len(connected)


@contextlib.contextmanager
def halted(server: ServerProcess) -> Iterator[None]:
    """Halt all processes of the server meanwhile, so that it accepts nothing."""
    family = [psutil.Process(server.pid)]
    try:
        halt(family)
        family += family[0].children(recursive=True)  # not before: it may have been about to make more
        halt(family)
        yield
    finally:
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # it had ended, and its parent noticed just now
                each.resume()


def halt(family: list[psutil.Process]) -> None:
    """Halt these processes and wait until all their threads are stopped: one that is about to may yet accept."""
    for each in family:
        each.suspend()
    deadline = time.monotonic() + PATIENCE_S
    while not all(is_halted(each.pid) for each in family) and time.monotonic() < deadline:
        time.sleep(0.001)


def is_halted(pid: int) -> bool:
    """Return whether all threads of a process are stopped or have ended (proc(5))."""
    states = [file.read_text().rpartition(") ")[2][0] for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) <= {"T", "Z"}

"""A client that checks: sends lines and commands of the exchange "conformance", and says in words what did not come."""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from types import TracebackType

import psutil

from harness.process import ServerProcess
from scenarios.exchanges.conformance import COMMAND

PATIENCE_S = 10.0
"""How long anything is waited for that should come at once: long, so that a slow machine fails no check."""

STUCK_S = 0.3
"""A server that has taken nothing for so long has stopped reading, in seconds."""

PEER_BUFFER_BYTES = 64 * 1024
"""Kernel buffers of a peer that reads slowly or not at all."""

MEMORY_BYTES = 6 * 1024 * 1024
"""What a server's resident memory may grow by while one peer does not read."""


class CheckFailedError(Exception):
    """A server did not do what the contract says, in words."""


class CheckSkippedError(Exception):
    """A check does not apply, with the reason."""


class Peer:
    """One connection to a server. Every method raises `CheckFailedError` where the server breaks it or keeps silent.

    Args:
        address: Host and port of the server.
        buffer_bytes: Size of the kernel's buffers on this side, so that they fill up soon; None leaves them alone.
    """

    def __init__(self, address: tuple[str, int], buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        if buffer_bytes is not None:  # Before connecting: the window is scaled then (tcp(7)).
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.connect(address)
        except OSError as error:
            self.socket.close()
            raise CheckFailedError(f"no connection: {error}") from None

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def reset(self) -> None:
        """Break the connection: with a linger time of 0, close(2) sends RST (socket(7))."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def finish(self) -> None:
        """Send no more (FIN), and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        """Send all of this."""
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise CheckFailedError(f"the server took no more bytes for {PATIENCE_S:g} s") from None
        except OSError as error:
            raise CheckFailedError(f"the server broke the connection: {error}") from None

    @contextlib.contextmanager
    def sending(self, data: bytes) -> Iterator[None]:
        """Send all of this meanwhile. Should that fail, the replies that are missing tell."""

        def send() -> None:
            with contextlib.suppress(CheckFailedError):
                self.send(data)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            yield
        finally:
            sender.join()

    def command(self, text: str) -> None:
        """Send a command of the exchange "conformance"."""
        self.send(COMMAND + text.encode() + b"\n")

    def receive(self) -> bytes:
        """Return what comes next, or nothing at the end."""
        try:
            return self.socket.recv(256 * 1024)
        except TimeoutError:
            raise CheckFailedError(f"the server sent nothing for {PATIENCE_S:g} s") from None
        except OSError as error:
            raise CheckFailedError(f"the server broke the connection: {error}") from None

    def expect(self, expected: bytes) -> None:
        """Receive exactly these bytes."""
        at = 0
        while at < len(expected):
            data = self.receive()
            if not data:
                raise CheckFailedError(f"the connection ended after {at:,} of {len(expected):,} bytes")
            if data != expected[at : at + len(data)]:
                raise CheckFailedError(difference(expected[at:], data, at))
            at += len(data)

    def expect_end(self) -> None:
        """Receive the end of the server's bytes, and nothing before."""
        data = self.receive()
        if data:
            raise CheckFailedError(f"{data[:40]!r} came where the end of the connection was due")

    def expect_break(self) -> None:
        """Wait until the server ends the connection in whatever way."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if not self.socket.recv(65536):
                    return
            except TimeoutError:
                break
            except OSError:
                return
        raise CheckFailedError(f"the server kept the connection open for {PATIENCE_S:g} s")

    def silent(self) -> bool:
        """Return whether nothing has come so far, neither bytes nor the end."""
        return not select.select([self.socket], [], [], 0)[0]

    def ask(self, line: bytes = b"are you there?\n") -> None:
        """Send a line and receive its echo."""
        self.send(line)
        self.expect(line)

    def push(self, data: bytes) -> int:
        """Send of this as much as the server takes while nothing is read, and return how many bytes that was."""
        at = 0
        view = memoryview(data)
        self.socket.setblocking(False)
        try:
            while at < len(data) and select.select([], [self.socket], [], STUCK_S)[1]:
                at += self.socket.send(view[at:])
        except OSError as error:
            raise CheckFailedError(f"the server broke the connection: {error}") from None
        finally:
            self.socket.settimeout(PATIENCE_S)
        return at


def memory_of(server: ServerProcess) -> int:
    """Return the server's resident memory in bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)


def difference(expected: bytes, data: bytes, offset: int) -> str:
    """Say where bytes first differ from those expected; `offset` is the place of their first."""
    at = next((i for i, (a, b) in enumerate(zip(expected, data, strict=False)) if a != b), len(expected))
    due, came = expected[at : at + 20], data[at : at + 20]
    if not due:
        return f"{came!r} came after everything that was due"
    return f"at byte {offset + at:,}, {came!r} came instead of {due!r}"

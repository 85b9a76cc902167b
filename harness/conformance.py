"""What the contract of a backend demands, as checks of a running server: plain functions, one sentence each.

A check is handed a fresh server that runs the exchange "conformance", talks to it over real sockets, and raises
`CheckFailedError` with what went wrong. Nothing here knows any backend; a check that does not apply is skipped for a
limit that the backend declares. The tests and `muxbench check` run the same suite.
"""

import contextlib
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from backends.find import Backend
from harness.machine import waited_for_cpu_s
from harness.notification import (
    notified_by_all_at_once,
    notified_peer_that_never_reads,
    notified_peers_that_break,
    notified_while_silent,
    sessions_know_that_they_are_closed,
)
from harness.option_checks import (
    BACKLOG,
    READ_SIZE,
    TOO_MANY,
    as_many_peers_wait_as_it_is_told,
    reads_as_much_as_it_is_told,
)
from harness.peer import (
    PATIENCE_S,
    PEER_BUFFER_BYTES,
    CheckFailedError,
    CheckSkippedError,
    Peer,
    memory_of,
)
from harness.process import ChildFailedError, ServerProcess
from harness.servers import start_server
from scenarios.exchanges.conformance import flood
from scenarios.exchanges.rpc import LENGTH, REQUEST

SMALL_BUFFER_BYTES = 4096
"""As SO_SNDBUF of the listener it makes writes fall short: with its usual buffers loopback swallows megabytes."""

MUCH_BYTES = 32 * 1024 * 1024
"""More than all kernel buffers between a peer that does not read and a server hold together (tcp_rmem, tcp_wmem in
tcp(7)), whatever the server's send buffer is."""

HELD_BYTES = MUCH_BYTES // 2
"""What a server may hold for a peer that reads nothing: what a full receive buffer brings at once (6 MiB, tcp_rmem in
tcp(7)) and the replies to it, but not all that it is sent."""

REPLY_BYTES = 8 * 1024 * 1024
"""Size of a large reply: far more than the send buffer."""

HALF_OPEN = 1000
"""Peers of the check with half-open connections."""


SPARE_THREADS = 10
"""What a runtime may add of its own to the threads of the first connections."""


@dataclass(frozen=True, slots=True)
class Check:
    """One demand of the contract.

    Attributes:
        run: Takes a fresh server; returns if it does what its docstring says.
        connections: How many it opens at once.
        send_buffer_bytes: SO_SNDBUF of the listener; None leaves the system's. An external server makes its own.
        exchange: What the server runs.
        notify: Whether it is about notification, which a backend need not have.
        options: Settings of the server, which a backend need not have.
        by_echo: Whether it sends no commands, so that any server of the exchange "echo" can be checked.
    """

    run: Callable[[ServerProcess], None]
    connections: int = 2
    send_buffer_bytes: int | None = None
    exchange: str = "conformance"
    notify: bool = False
    options: Mapping[str, int] = field(default_factory=dict)
    by_echo: bool = False

    @property
    def name(self) -> str:
        """What it is called, in words joined by hyphens."""
        return self.run.__name__.replace("_", "-")

    @property
    def sentence(self) -> str:
        """What is demanded."""
        return (self.run.__doc__ or "").strip()


def run_check(check: Check, backend: Backend, log: Path, python: str = sys.executable) -> None:
    """Start a server for one check, run the check and stop the server.

    Args:
        check: One of `CHECKS`.
        backend: What is checked.
        log: File for the server's output.
        python: The interpreter that runs the server.

    Raises:
        CheckFailedError: The server did not do what is demanded.
        CheckSkippedError: The check does not apply to this backend or this machine.
        ChildFailedError: The server did not start.
    """
    refuse_inapplicable(check, backend)
    exchange = check.exchange if backend.program is None else "echo"
    settings = {"python": python, "sndbuf": check.send_buffer_bytes, "options": check.options}
    with start_server(backend, exchange, log, **settings) as server:
        try:
            check.run(server)
        except CheckFailedError as failure:
            if server.alive:
                raise
            raise CheckFailedError(f"{server.last_words()} ({failure})") from None


def outcome(check: Check, backend: Backend, log: Path, python: str = sys.executable) -> tuple[str, str]:
    """Run a check and say how it went, in words for people.

    Args:
        check: One of `CHECKS`.
        backend: What is checked.
        log: File for the server's output.
        python: The interpreter that runs the server.

    Returns:
        "holds", "does not hold" or "does not apply", and the reason of the latter two.
    """
    try:
        run_check(check, backend, log, python)
    except CheckSkippedError as reason:
        return "does not apply", str(reason)
    except (CheckFailedError, ChildFailedError) as reason:
        return "does not hold", str(reason)
    return "holds", ""


def refuse_inapplicable(check: Check, backend: Backend) -> None:
    """Raise `CheckSkippedError` if the check needs more than what the backend declares that it can do."""
    traits, program = backend.traits, backend.program
    if program is not None and not (check.by_echo and "echo" in program.exchanges):
        served = ", ".join(program.exchanges)
        raise CheckSkippedError(f"speaks the exchange {check.exchange}; the backend declares exchanges {served}")
    if check.notify and not traits.notify:
        raise CheckSkippedError("is about sessions that send unasked; the backend does not declare notify")
    for option in check.options:
        if option not in traits.options:
            raise CheckSkippedError(f"is about option {option}; the backend does not declare it")
    if check.name in traits.faults:
        raise CheckSkippedError(f"a known fault: {traits.faults[check.name]}")
    if traits.max_connections is not None and traits.max_connections < check.connections:
        raise CheckSkippedError(
            f"opens {check.connections} connections; the backend declares max_connections {traits.max_connections}"
        )


def text_of(size_bytes: int) -> bytes:
    """Return numbered lines of 1 KiB, together of this size, so that a lost or moved part shows."""
    return b"".join(b"%015d %s\n" % (number, b"x" * 1007) for number in range(size_bytes // 1024))


def push_until_stuck(server: ServerProcess, peer: Peer, text: bytes) -> int:
    """Send without reading until the server takes no more, and return how many bytes that was.

    Raises:
        CheckFailedError: It takes everything, or its memory grows.
    """
    usual = text[: 1024 * 1024]
    with peer.sending(usual):  # What a runtime allocates once, and then keeps, is not what is looked for.
        peer.expect(usual)
    before = memory_of(server)
    taken = peer.push(text)
    if taken == len(text):
        raise CheckFailedError(f"the server took {taken:,} bytes from a peer that reads nothing: it must stop reading")
    grown = memory_of(server) - before
    if grown > HELD_BYTES:
        raise CheckFailedError(f"the server's memory grew by {grown:,} bytes for a peer that reads nothing")
    return taken


def expect_alive(server: ServerProcess, failure: str) -> None:
    """Have a new connection served, or fail with these words."""
    try:
        with Peer(server.address) as peer:
            peer.ask()
    except CheckFailedError as error:
        raise CheckFailedError(f"{failure}: {error}") from None


# Peers that mean no good


def a_thousand_half_open_connections(server: ServerProcess) -> None:
    """A thousand peers that never finish their first message, or never begin one, keep nobody from being served."""
    with contextlib.ExitStack() as crowd:
        for number in range(HALF_OPEN):
            peer = crowd.enter_context(Peer(server.address))
            if number % 2:
                peer.send(b"the beginning of a line")
        expect_alive(server, f"no new connection beside {HALF_OPEN:,} half-open ones")
    expect_alive(server, f"no new connection after {HALF_OPEN:,} half-open ones")


def garbage(server: ServerProcess) -> None:
    """Bytes that are no message of the exchange end at most their own connection."""
    noise = random.Random(2).randbytes(64 * 1024)
    with Peer(server.address) as other:
        other.send(rpc_request(b"sequence"))
        other.expect(rpc_reply(b"sequence"))
        for start in range(0, len(noise), 4096):
            with Peer(server.address) as peer, contextlib.suppress(CheckFailedError, OSError):  # Broken at any time.
                peer.send(noise[start : start + 4096])
                peer.finish()
                peer.expect_break()
        other.send(rpc_request(b"and again"[:8]))
        other.expect(rpc_reply(b"and again"[:8]))


def rpc_request(sequence: bytes) -> bytes:
    """Return a request of the exchange "rpc" for a result of as many bytes as the sequence has."""
    return REQUEST.pack(REQUEST.size - LENGTH.size, sequence, len(sequence))


def rpc_reply(sequence: bytes) -> bytes:
    """Return the reply to `rpc_request`."""
    return LENGTH.pack(len(sequence)) + sequence


# Messages


def split_message(server: ServerProcess) -> None:
    """A message that arrives byte by byte is answered once it is whole."""
    line = b"one byte after another\n"
    with Peer(server.address) as peer, Peer(server.address) as other:
        for at in range(len(line)):
            peer.send(line[at : at + 1])
            time.sleep(0.001)  # A server of threads may favour the one that is asked most.
            other.ask()  # Until this is answered the byte has most likely been read, alone.
        peer.expect(line)


def merged_messages(server: ServerProcess) -> None:
    """Many messages that arrive at once are all answered, in order."""
    text = text_of(512 * 1024)
    with Peer(server.address) as peer, peer.sending(text):
        peer.expect(text)


def pieces_of_any_size(server: ServerProcess) -> None:
    """Messages cut into pieces of any size are answered in order."""
    text = text_of(128 * 1024)
    sizes = random.Random(1)
    at = 0
    with Peer(server.address) as peer:
        while at < len(text):
            end = min(len(text), at + int(sizes.paretovariate(0.5)))
            peer.send(text[at:end])
            complete_from, complete_to = text.rfind(b"\n", 0, at) + 1, text.rfind(b"\n", 0, end) + 1
            peer.expect(text[complete_from:complete_to])
            at = end


def large_reply(server: ServerProcess) -> None:
    """A reply that is far larger than the send buffer arrives whole."""
    with Peer(server.address, PEER_BUFFER_BYTES) as peer:
        peer.command(f"flood {REPLY_BYTES}")
        peer.expect(flood(REPLY_BYTES) + b"\n")
        peer.ask()


# Peers that do not read


def slow_reader(server: ServerProcess) -> None:
    """More than a megabyte reaches a peer that begins to read late, whole and in order; memory stays bounded."""
    text = text_of(MUCH_BYTES)
    with Peer(server.address, PEER_BUFFER_BYTES) as peer:
        taken = push_until_stuck(server, peer, text)
        text = text[: (taken // 1024 + 1024) * 1024]
        with peer.sending(text[taken:]):
            peer.expect(text)
        peer.ask()


def peer_that_never_reads(server: ServerProcess) -> None:
    """A peer that never reads holds up nobody else."""
    with Peer(server.address, PEER_BUFFER_BYTES) as stubborn, Peer(server.address) as other:
        other.ask()
        stubborn.push(text_of(MUCH_BYTES))
        for _ in range(20):
            other.ask()
        expect_alive(server, "no new connection beside a peer that never reads")


# The end of a connection


def half_close(server: ServerProcess) -> None:
    """When a peer has finished sending, everything owed is sent, and then the connection is closed."""
    with Peer(server.address, PEER_BUFFER_BYTES) as peer:
        text = text_of(MUCH_BYTES)
        taken = peer.push(text)
        peer.finish()
        peer.expect(text[:taken])
        peer.expect_end()


def reply_at_the_end(server: ServerProcess) -> None:
    """What the session replies to the end of its peer's bytes is sent before the connection is closed."""
    with Peer(server.address) as peer:
        peer.command("farewell goodbye")
        peer.send(b"an unfinished line")
        peer.finish()
        peer.expect(b"an unfinished linegoodbye\n")
        peer.expect_end()


def late_reply_after_the_end(server: ServerProcess) -> None:
    """A connection whose peer has finished stays open until the late replies are sent."""
    with Peer(server.address) as peer:
        peer.command("late 300 last")
        peer.command("late 150 first")
        peer.finish()
        peer.expect(b"first\nlast\n")
        peer.expect_end()


def waiting_without_spinning(server: ServerProcess) -> None:
    """A server that waits for a late reply to a peer that has finished uses no CPU time."""
    with Peer(server.address) as peer:
        peer.command("late 60000 in a minute")
        peer.finish()
        expect_idle(psutil.Process(server.pid), "while it waits for a late reply")


def waiting_for_a_reader_without_spinning(server: ServerProcess) -> None:
    """A server that waits for a peer to read on uses no CPU time."""
    with Peer(server.address, PEER_BUFFER_BYTES) as peer:
        peer.push(text_of(MUCH_BYTES))
        expect_idle(psutil.Process(server.pid), "while it waits for a peer that does not read")


def reset_connections(server: ServerProcess) -> None:
    """Connections that are reset, in mid-message, while they are written to or waited for, harm nobody else."""
    with Peer(server.address) as other:
        other.ask()
        for _ in range(10):
            in_mid_message, flooded, waiting = (Peer(server.address) for _ in range(3))
            in_mid_message.send(b"half a li")
            flooded.command("flood 1000000")
            waiting.command("late 20 nobody hears this")
            for peer in (in_mid_message, flooded, waiting):
                peer.reset()
            other.ask()
        other.command("late 50 past the others' time")
        other.expect(b"past the others' time\n")
        expect_alive(server, "no new connection after resets")


def resets_with_bytes_in_flight(server: ServerProcess) -> None:
    """Connections that are reset at once, in mid-message or with unread replies harm nobody else."""
    with Peer(server.address) as other:
        other.ask()
        for _ in range(10):
            silent, in_mid_message, unread = (Peer(server.address) for _ in range(3))
            in_mid_message.send(b"half a li")
            unread.push(text_of(512 * 1024))
            for peer in (silent, in_mid_message, unread):
                peer.reset()
            other.ask()
        expect_alive(server, "no new connection after resets")


def many_connections(server: ServerProcess) -> None:
    """200 connections are served at the same time."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(server.address)) for _ in range(200)]
        for _ in range(3):
            for number, peer in enumerate(peers):
                peer.send(b"connection %d\n" % number)
            for number, peer in enumerate(peers):
                peer.expect(b"connection %d\n" % number)


def no_leaks(server: ServerProcess) -> None:
    """Descriptors and threads of closed connections are released."""
    expect_alive(server, "no connection")
    process = psutil.Process(server.pid)
    descriptors, threads = process.num_fds(), 0
    for end in (Peer.close, Peer.reset, Peer.close, Peer.reset):
        peers = [Peer(server.address) for _ in range(40)]
        for peer in peers:
            peer.ask()
        threads = threads or process.num_threads() + SPARE_THREADS
        for peer in peers:
            end(peer)
        deadline = time.monotonic() + PATIENCE_S
        while (left := process.num_fds() - descriptors) > 0 or process.num_threads() > threads:
            if time.monotonic() > deadline:
                raise CheckFailedError(
                    f"{left} descriptors more than before 40 connections were opened and closed"
                    if left > 0
                    else f"{process.num_threads()} threads, where 40 connections at once had {threads - SPARE_THREADS}"
                )
            time.sleep(0.01)


# Sessions that raise


def raising_session(server: ServerProcess) -> None:
    """A session that raises ends its own connection and no other."""
    with Peer(server.address) as other:
        other.ask()
        with Peer(server.address) as peer:
            peer.command("raise")
            peer.expect_break()
        other.ask()
        expect_alive(server, "no new connection after a session raised")


def session_that_raises_when_woken(server: ServerProcess) -> None:
    """A session that raises when it is woken ends its own connection and no other."""
    with Peer(server.address) as other:
        other.ask()
        with Peer(server.address) as peer:
            peer.command("raise-late 20")
            peer.expect_break()
        other.ask()
        other.command("late 20 still awake")
        other.expect(b"still awake\n")
        expect_alive(server, "no new connection after a session raised when woken")


def session_that_raises_at_the_end(server: ServerProcess) -> None:
    """A session that raises at the end of its peer's bytes ends its own connection and no other."""
    with Peer(server.address) as other:
        other.ask()
        with Peer(server.address) as peer:
            peer.command("raise-at-end")
            peer.finish()
            peer.expect_break()
        other.ask()
        expect_alive(server, "no new connection after a session raised at the end")


# Time


def late_reply(server: ServerProcess) -> None:
    """A late reply comes when it is due, not before."""
    with Peer(server.address) as peer:
        for delay_ms in (0, 1, 30, 150):
            start = time.monotonic()
            peer.command(f"late {delay_ms} now")
            peer.expect(b"now\n")
            waited_ms = (time.monotonic() - start) * 1000
            if waited_ms < delay_ms:
                raise CheckFailedError(f"a reply due after {delay_ms} ms came after {waited_ms:.1f} ms")


def overlapping_late_replies(server: ServerProcess) -> None:
    """Late replies of one connection overlap, and the one that is due first comes first."""
    with Peer(server.address) as peer:
        start = time.monotonic()
        for number in range(20):
            peer.command(f"late {600 - 20 * number} reply {number}")
        peer.ask()
        peer.expect(b"".join(b"reply %d\n" % number for number in reversed(range(20))))
        waited_s = time.monotonic() - start
        if waited_s > 4:  # One after the other they take 8 s.
            raise CheckFailedError(f"20 late replies that are due within 0.6 s took {waited_s:.1f} s")
        peer.command("late 400 last")
        peer.command("late 200 first")
        time.sleep(0.02)  # Now the server waits; what comes next must get through to it.
        peer.ask()
        peer.expect(b"first\nlast\n")


def late_replies_hold_up_nobody(server: ServerProcess) -> None:
    """While one connection waits for a late reply, others are served."""
    with Peer(server.address) as waiting, Peer(server.address) as other:
        other.ask()
        waiting.command("late 1000 at last")
        for _ in range(20):
            other.ask()
        if not waiting.silent():
            raise CheckFailedError("20 requests of another connection were served only after a reply that waits 1 s")
        waiting.expect(b"at last\n")


def late_reply_to_a_busy_peer(server: ServerProcess) -> None:
    """A late reply is not put off by a peer that goes on sending."""
    with Peer(server.address) as peer:
        peer.command("late 100 in between")
        deadline = time.monotonic() + PATIENCE_S
        seen = bytearray()
        while b"in between\n" not in seen:
            if time.monotonic() > deadline:
                raise CheckFailedError(f"a reply due after 0.1 s did not come in {PATIENCE_S:g} s of other requests")
            peer.send(b"busy\n" * 10)
            while not peer.silent():
                seen += peer.receive()


# Limits and the end


def descriptors_run_out(server: ServerProcess) -> None:
    """A server without free descriptors neither dies nor spins, serves on, and accepts again when it has some."""
    process = psutil.Process(server.pid)
    if not hasattr(process, "rlimit"):
        raise CheckSkippedError("needs Linux: the limit of descriptors of a running process is lowered")
    with Peer(server.address) as established, contextlib.ExitStack() as crowd:
        established.ask()
        _, hard = process.rlimit(psutil.RLIMIT_NOFILE)
        limit = 1 + 4 + max(int(file.name) for file in Path(f"/proc/{server.pid}/fd").iterdir())
        process.rlimit(psutil.RLIMIT_NOFILE, (limit, hard))
        for _ in range(limit + 10):
            peer = crowd.enter_context(Peer(server.address))
            with contextlib.suppress(CheckFailedError):  # It may be refused in whatever way.
                peer.send(b"let me in\n")
        established.ask()
        expect_idle(process, "while it is out of descriptors")
        established.ask()
        crowd.close()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                expect_alive(server, "no new connection when there are descriptors again")
            except CheckFailedError:
                if time.monotonic() > deadline:
                    raise
            else:
                break
        established.ask()


def expect_idle(process: psutil.Process, when: str) -> None:
    """Fail if the process keeps half of a CPU busy for half a second in which it need not wait for one."""

    def waited_s() -> float:
        return sum(waited_for_cpu_s(thread.id) for thread in process.threads())

    before, waited_before_s, start = process.cpu_times(), waited_s(), time.monotonic()
    took_s = 0.0
    while took_s < min(PATIENCE_S, 0.5 + waited_s() - waited_before_s):
        time.sleep(0.1)
        took_s = time.monotonic() - start
    after = process.cpu_times()
    used_s = after.user + after.system - before.user - before.system
    if used_s > 0.25:
        raise CheckFailedError(f"the server used {used_s:.2f} s of CPU in {took_s:.1f} s {when}")


def stop_with_open_connections(server: ServerProcess) -> None:
    """The server stops promptly whatever its connections do: wait, send half a message, expect a late reply."""
    with Peer(server.address) as idle, Peer(server.address) as in_mid_message, Peer(server.address) as waiting:
        for peer in (idle, in_mid_message, waiting):
            peer.ask()
        in_mid_message.send(b"half a li")
        waiting.command("late 60000 in a minute")
        idle.ask()
        stop(server)


def stop_with_a_peer_that_never_reads(server: ServerProcess) -> None:
    """The server stops promptly while bytes wait for a peer that does not read."""
    with Peer(server.address, PEER_BUFFER_BYTES) as peer:
        peer.push(text_of(MUCH_BYTES))
        stop(server)


def stop(server: ServerProcess) -> None:
    """Stop the server, or fail if it has to be killed or ends with a traceback."""
    start = time.monotonic()
    if not server.stop():
        raise CheckFailedError(f"told to stop, the server went on for {time.monotonic() - start:.1f} s until killed")
    if "Traceback" in server.log_tail():
        raise CheckFailedError(f"told to stop, the server failed: {server.log_tail().splitlines()[-1]}")


CHECKS = (
    Check(split_message, by_echo=True),
    Check(merged_messages, by_echo=True),
    Check(pieces_of_any_size),
    Check(large_reply, send_buffer_bytes=SMALL_BUFFER_BYTES),
    Check(slow_reader, send_buffer_bytes=SMALL_BUFFER_BYTES, by_echo=True),
    Check(peer_that_never_reads, connections=3, send_buffer_bytes=SMALL_BUFFER_BYTES, by_echo=True),
    Check(half_close, send_buffer_bytes=SMALL_BUFFER_BYTES, by_echo=True),
    Check(reply_at_the_end),
    Check(late_reply_after_the_end),
    Check(waiting_without_spinning),
    Check(waiting_for_a_reader_without_spinning, send_buffer_bytes=SMALL_BUFFER_BYTES, by_echo=True),
    Check(reset_connections, connections=4),
    Check(resets_with_bytes_in_flight, connections=4, by_echo=True),
    Check(many_connections, connections=200, by_echo=True),
    Check(no_leaks, connections=40, by_echo=True),
    Check(raising_session, connections=3),
    Check(session_that_raises_when_woken, connections=3),
    Check(session_that_raises_at_the_end, connections=3),
    Check(late_reply),
    Check(overlapping_late_replies),
    Check(late_replies_hold_up_nobody),
    Check(late_reply_to_a_busy_peer),
    Check(a_thousand_half_open_connections, connections=HALF_OPEN + 1, by_echo=True),
    Check(garbage, exchange="rpc"),
    Check(notified_while_silent, connections=4, exchange="broadcast", notify=True),
    Check(
        notified_by_all_at_once, connections=4, send_buffer_bytes=SMALL_BUFFER_BYTES, exchange="broadcast", notify=True
    ),
    Check(
        notified_peer_that_never_reads,
        connections=4,
        send_buffer_bytes=SMALL_BUFFER_BYTES,
        exchange="broadcast",
        notify=True,
    ),
    Check(notified_peers_that_break, connections=5, exchange="broadcast", notify=True),
    Check(sessions_know_that_they_are_closed, connections=11, notify=True),
    Check(reads_as_much_as_it_is_told, options={"read_size": READ_SIZE}),
    Check(as_many_peers_wait_as_it_is_told, connections=TOO_MANY, options={"backlog": BACKLOG}),
    Check(descriptors_run_out, connections=40, by_echo=True),
    Check(stop_with_open_connections, connections=3),
    Check(stop_with_a_peer_that_never_reads, send_buffer_bytes=SMALL_BUFFER_BYTES),
)

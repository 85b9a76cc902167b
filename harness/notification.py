"""Checks of the contract of backends that declare notify: sessions of one connection send what came on another."""

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor

from harness.peer import MEMORY_BYTES, PATIENCE_S, PEER_BUFFER_BYTES, CheckFailedError, Peer, memory_of
from harness.process import ServerProcess
from scenarios.exchanges.broadcast import LENGTH


def joined(server: ServerProcess, buffer_bytes: int | None = None) -> Peer:
    """Return a peer that has joined the exchange "broadcast"."""
    peer = Peer(server.address, buffer_bytes)
    peer.ask(message(b"joining"))
    return peer


def message(data: bytes) -> bytes:
    """Return a message of the exchange "broadcast"."""
    return LENGTH.pack(len(data)) + data


def notified_while_silent(server: ServerProcess) -> None:
    """What one connection publishes reaches all others, which have sent nothing meanwhile, and not itself."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(joined(server)) for _ in range(4)]
        for number in range(40):
            text = message(b"publication %d" % number)
            publisher = peers[number % 4]
            publisher.send(text)
            for peer in peers:
                if peer is not publisher:
                    peer.expect(text)  # and no copy of what it published itself before


def notified_by_all_at_once(server: ServerProcess) -> None:
    """When all connections publish at the same time, each receives what the others say whole and in order."""
    sizes = random.Random(3)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(4) as readers:
        peers = [stack.enter_context(joined(server, PEER_BUFFER_BYTES)) for _ in range(4)]
        for _ in range(3):
            said = [
                [bytes([name]) * min(200_000, int(400 * sizes.paretovariate(0.7))) for _ in range(40)]
                for name in range(4)
            ]
            with contextlib.ExitStack() as sending:
                for peer, texts in zip(peers, said, strict=True):
                    sending.enter_context(peer.sending(b"".join(map(message, texts))))
                others = [[texts for texts in said if texts is not own] for own in said]
                list(readers.map(expect_messages, peers, others))


def expect_messages(peer: Peer, said: list[list[bytes]]) -> None:
    """Receive the messages of several publishers, those of each in order; all bytes of a message name its publisher."""
    due = {texts[0][0]: list(texts) for texts in said}
    size = sum(len(message(text)) for texts in said for text in texts)
    received = bytearray()
    while len(received) < size:
        data = peer.receive()
        if not data:
            raise CheckFailedError(f"the connection ended after {len(received):,} of {size:,} bytes")
        received += data
    at = 0
    while at < size:
        (length,) = LENGTH.unpack_from(received, at)
        text = bytes(received[at + LENGTH.size : at + LENGTH.size + length])
        texts = due.get(text[0], []) if text else []
        if not texts or text != texts.pop(0):
            raise CheckFailedError(f"at byte {at:,} a message of {length:,} bytes came that nobody had sent then")
        at += LENGTH.size + length


def notified_peer_that_never_reads(server: ServerProcess) -> None:
    """A notified peer that never reads holds up nobody, memory stays bounded, and its connection ends in time."""
    text = message(bytes(64 * 1024))
    with (
        joined(server, PEER_BUFFER_BYTES) as stubborn,
        joined(server) as publisher,
        joined(server, PEER_BUFFER_BYTES) as other,  # With more it delays acknowledgements (RFC 1122, 4.2.3.2).
    ):
        grown = 0
        for number in range(256):
            if number == 16:  # What a runtime allocates once, and then keeps, is not what is looked for.
                grown = -memory_of(server)
            with publisher.sending(text):
                other.expect(text)
        grown += memory_of(server)
        if grown > MEMORY_BYTES:
            raise CheckFailedError(f"the server's memory grew by {grown:,} bytes for a peer that reads nothing")
        stubborn.expect_break()
        publisher.send(text)
        other.expect(text)
        with joined(server) as late:
            publisher.send(text)
            late.expect(text)


def notified_peers_that_break(server: ServerProcess) -> None:
    """Connections that are closed or reset while they are notified harm nobody."""
    with joined(server) as publisher, joined(server) as other:
        for number in range(20):
            peers = [joined(server) for _ in range(3)]
            text = message(b"publication %d" % number)
            publisher.send(text)
            for peer in peers:
                (peer.close if number % 2 else peer.reset)()
            publisher.send(text)
            other.expect(2 * text)


def sessions_know_that_they_are_closed(server: ServerProcess) -> None:
    """Every session is told that its connection is open, and that it is closed, however that came."""
    with Peer(server.address) as observer:
        for end in (Peer.close, Peer.reset, Peer.finish):
            peers = [Peer(server.address) for _ in range(10)]
            for peer in peers:
                peer.ask()
            expect_count(observer, 11)
            for peer in peers:
                end(peer)
            expect_count(observer, 1)
            for peer in peers:
                peer.close()
        with Peer(server.address) as failing:
            failing.command("raise")
            failing.expect_break()
        expect_count(observer, 1)


def expect_count(observer: Peer, due: int) -> None:
    """Wait until so many sessions believe that their connections are open."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        observer.command("count")
        count = observer.receive()
        if count == b"%d\n" % due:
            return
        if time.monotonic() > deadline:
            raise CheckFailedError(f"{count.decode().strip()} sessions believe their connections open, {due} are")
        time.sleep(0.01)

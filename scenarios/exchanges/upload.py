"""Bulk transfer to the server: a body behind its size and a sequence; a small reply says how much of it came right.

    request   size of the body (8 bytes, little-endian) | sequence (8) | body
    reply     sequence (8 bytes) | bytes of the body up to the first wrong one (8, little-endian)

The server keeps nothing of the body, and compares each piece with what is due as it comes, so that a backend that
loses, repeats or swaps pieces is caught by the generator's own check of the reply.
"""

import random
from struct import Struct

from scenarios.session import Conversation, Exchange, Message, Session

HEADER = Struct("<Q8s")
REPLY = Struct("<8sQ")
PATTERN = random.Random(1350).randbytes(65521)
"""Its length is prime, so that a lost or repeated block of the usual sizes shifts what follows."""

REPEATED = 3 * PATTERN
LONGEST_PART = 2 * len(PATTERN)
"""So long a part of the body is found whole in the repeated pattern, wherever in the pattern it begins."""


class UploadSession(Session):
    """Counts and compares what comes."""

    __slots__ = ("header", "right", "seen", "sequence", "size")

    def __init__(self) -> None:
        self.header = b""
        self.sequence = b""
        self.size = self.seen = self.right = 0

    def receive(self, data: bytes) -> bytes:
        """Return the replies to the bodies that are whole now."""
        replies = []
        at, end = 0, len(data)
        while at < end:
            if not self.sequence:
                piece = data[at : at + HEADER.size - len(self.header)]
                self.header += piece
                at += len(piece)
                if len(self.header) < HEADER.size:
                    break
                self.size, self.sequence = HEADER.unpack(self.header)
                self.header = b""
                self.seen = self.right = 0
            until = min(end, at + self.size - self.seen)
            if at < until:
                self.compare(data if at == 0 and until == end else data[at:until])
                at = until
            if self.seen == self.size:
                replies.append(REPLY.pack(self.sequence, self.right))
                self.sequence = b""
        return b"".join(replies)

    def compare(self, piece: bytes) -> None:
        """Take a piece of the body."""
        at = 0
        while at < len(piece) and self.right == self.seen + at:
            part = piece if len(piece) <= LONGEST_PART else piece[at : at + LONGEST_PART]
            if not REPEATED.startswith(part, self.right % len(PATTERN)):
                break
            self.right += len(part)
            at += len(part)
        self.seen += len(piece)


def conversation(message_size: int) -> Conversation:
    """Return bodies of `message_size` bytes behind a header of 16, each answered by 16 bytes."""
    body = (PATTERN * (message_size // len(PATTERN) + 1))[:message_size]
    return Conversation(
        request=Message(HEADER.pack(message_size, bytes(8)) + body, sequence_at=8),
        reply=Message(REPLY.pack(bytes(8), message_size)),
    )


EXCHANGE = Exchange(
    name="upload",
    summary="takes a large body and says how much of it came right",
    new_session=UploadSession,
    conversation=conversation,
)

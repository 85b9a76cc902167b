"""Remote procedure call: a small request of one size, a reply of another, each behind its length.

    request   length (4 bytes, big-endian) | sequence (8) | size of the result (4, big-endian) | arguments
    reply     length (4 bytes, big-endian) | result, which begins with the sequence

A length counts what follows it. The message size is that of the result; the request is always the same size.
"""

import random
from struct import Struct

from scenarios.session import Conversation, Exchange, Message, Session

LENGTH = Struct(">I")
REQUEST = Struct(">I8sI")
ARGUMENTS = random.Random(1057).randbytes(52)
LONGEST_REQUEST = 64 * 1024
LONGEST_RESULT = 64 * 1024 * 1024
PATTERN = random.Random(5531).randbytes(65521)


class RequestError(Exception):
    """A request that is none, in words."""


def result(size: int, sequence: bytes) -> bytes:
    """Return a result of this size in bytes: the sequence, cut to the size, and a pattern."""
    return sequence[:size] + (PATTERN * (size // len(PATTERN) + 1))[: max(0, size - len(sequence))]


class RpcSession(Session):
    """Answers each request once it is whole."""

    __slots__ = ("unfinished",)

    def __init__(self) -> None:
        self.unfinished = b""

    def receive(self, data: bytes) -> bytes:
        """Return the replies to the requests that are whole now.

        Raises:
            RequestError: A length is out of range.
        """
        return b"".join([LENGTH.pack(size) + result(size, sequence) for sequence, size in self.requests(data)])

    def requests(self, data: bytes) -> list[tuple[bytes, int]]:
        """Return sequence and size of the result, in bytes, of each request that is whole now.

        Raises:
            RequestError: A length is out of range.
        """
        if self.unfinished:
            data = self.unfinished + data
        whole: list[tuple[bytes, int]] = []
        at, end = 0, len(data)
        while end - at >= REQUEST.size:
            length, sequence, size = REQUEST.unpack_from(data, at)
            if not REQUEST.size - LENGTH.size <= length <= LONGEST_REQUEST or size > LONGEST_RESULT:
                raise RequestError(f"a request of {length} bytes for a result of {size}")
            if end - at < LENGTH.size + length:
                break
            at += LENGTH.size + length
            whole.append((sequence, size))
        self.unfinished = data[at:]
        return whole


def conversation(message_size: int) -> Conversation:
    """Return requests of 68 bytes, each answered by a result of `message_size` bytes behind its length."""
    request = REQUEST.pack(REQUEST.size - LENGTH.size + len(ARGUMENTS), bytes(8), message_size) + ARGUMENTS
    reply = LENGTH.pack(message_size) + result(message_size, bytes(8))
    return Conversation(
        request=Message(request, sequence_at=LENGTH.size),
        reply=Message(reply, sequence_at=LENGTH.size, sequence_width=min(8, message_size)),
    )


EXCHANGE = Exchange(
    name="rpc",
    summary="answers a small request with a result of another size, each behind its length",
    new_session=RpcSession,
    conversation=conversation,
)

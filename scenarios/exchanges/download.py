"""Bulk transfer to the client: a request of 16 bytes names a size and a sequence, and so many bytes come back.

request   sequence (8 bytes) | size (8, little-endian)
reply     `size` bytes that begin with the sequence
"""

import random
from functools import lru_cache
from struct import Struct

from scenarios.session import Conversation, Exchange, Message, Session

REQUEST = Struct("<8sQ")
LARGEST = 64 * 1024 * 1024
PATTERN = random.Random(959).randbytes(65521)
"""Its length is prime, so that a lost or repeated block of the usual sizes shifts what follows."""


class RequestError(Exception):
    """A request that is none, in words."""


@lru_cache(maxsize=4)
def rest(size: int) -> bytes:
    """Return what follows the sequence in a reply of this size in bytes."""
    return (PATTERN * (size // len(PATTERN) + 1))[: max(0, size - 8)]


class DownloadSession(Session):
    """Sends as many bytes as it is asked for."""

    __slots__ = ("unfinished",)

    def __init__(self) -> None:
        self.unfinished = b""

    def receive(self, data: bytes) -> bytes:
        """Return the replies to the requests that are whole now.

        Raises:
            RequestError: A size is out of range.
        """
        if self.unfinished:
            data = self.unfinished + data
        whole = len(data) - len(data) % REQUEST.size
        self.unfinished = data[whole:]
        replies: list[bytes] = []
        for sequence, size in REQUEST.iter_unpack(data[:whole]):
            if size > LARGEST:
                raise RequestError(f"a request for {size} bytes; the most is {LARGEST}")
            replies += sequence[:size], rest(size)
        return b"".join(replies)


def conversation(message_size: int) -> Conversation:
    """Return requests of 16 bytes, each answered by `message_size` bytes."""
    return Conversation(
        request=Message(REQUEST.pack(bytes(8), message_size)),
        reply=Message(bytes(min(8, message_size)) + rest(message_size), sequence_width=min(8, message_size)),
    )


EXCHANGE = Exchange(
    name="download",
    summary="sends as many bytes as a small request asks for",
    new_session=DownloadSession,
    conversation=conversation,
)

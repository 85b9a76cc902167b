"""HTTP/1.1 with connections kept open: GET of a small body (RFC 9110, RFC 9112).

    GET /64/0123456789abcdef HTTP/1.1        the size of the body in bytes, and the sequence in 16 hexadecimal digits

The body begins with the sequence (its last digits, where the body is shorter). Requests are parsed by httptools, the
parser of uvicorn (llhttp of Node.js in C): a parser in Python would cost more than all the rest of the server, and
then every backend would look alike. It is the one exchange that needs a package beyond the standard library. There is
no Date header: RFC 9110 asks it of servers with a clock, which this one does not have.
"""

import random
import re
import string
from functools import lru_cache

import httptools

from scenarios.session import Conversation, Exchange, Message, Session

DIGITS = 16
LARGEST = 64 * 1024 * 1024
TARGET = re.compile(rb"/(\d{1,8})/([0-9a-f]{16})")
PATTERN = "".join(random.Random(9112).choices(string.ascii_letters, k=65521)).encode()


class _Requests:
    """What the parser has found: the targets of the requests that are whole.

    Not the session itself, or session and parser would hold each other alive.
    """

    __slots__ = ("target", "targets")

    def __init__(self) -> None:
        self.target = b""
        self.targets: list[bytes] = []

    def on_message_begin(self) -> None:
        self.target = b""

    def on_url(self, piece: bytes) -> None:
        self.target += piece

    def on_message_complete(self) -> None:
        self.targets.append(self.target)


class HttpSession(Session):
    """Answers each request once its head is whole."""

    __slots__ = ("broken", "parser", "requests")

    def __init__(self) -> None:
        self.requests = _Requests()
        self.parser = httptools.HttpRequestParser(self.requests)
        self.broken = False

    def receive(self, data: bytes) -> bytes:
        """Return the replies to the requests that are whole now; after one that is malformed nothing is read."""
        if self.broken:
            return b""
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.broken = True
        targets = self.requests.targets
        replies = [respond(target) for target in targets]
        targets.clear()
        if self.broken:
            replies.append(without_body(b"400 Bad Request"))
        return replies[0] if len(replies) == 1 else b"".join(replies)


def respond(target: bytes) -> bytes:
    """Return the whole response to a request for this target."""
    match = TARGET.fullmatch(target)
    if match is None or not 0 < int(match[1]) <= LARGEST:
        return without_body(b"404 Not Found")
    size = int(match[1])
    return head(size) + match[2][-size:] + rest(size)


def without_body(status: bytes) -> bytes:
    """Return a response that says no more than its status."""
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"


@lru_cache(maxsize=16)
def head(size: int) -> bytes:
    """Return what comes before a body of this size in bytes."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size


@lru_cache(maxsize=16)
def rest(size: int) -> bytes:
    """Return what follows the sequence in a body of this size in bytes."""
    return (PATTERN * (size // len(PATTERN) + 1))[: max(0, size - DIGITS)]


def conversation(message_size: int) -> Conversation:
    """Return requests for a body of `message_size` bytes, and that body."""
    prefix = b"GET /%d/" % message_size
    request = prefix + b"0" * DIGITS + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    width = min(DIGITS, message_size)
    return Conversation(
        request=Message(request, sequence_at=len(prefix), sequence_width=DIGITS, sequence_encoding="hex"),
        reply=Message(b"0" * width + rest(message_size), sequence_width=width, sequence_encoding="hex", framing="http"),
    )


EXCHANGE = Exchange(
    name="http_plain",
    summary="HTTP/1.1 GET of a small body, connections kept open",
    new_session=HttpSession,
    conversation=conversation,
)

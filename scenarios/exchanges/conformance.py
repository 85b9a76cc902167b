"""Lines that come back as they are, and commands with which a check makes the server answer late, much, or not at all.

A line is echoed once its newline has come. A line that begins with `COMMAND` is obeyed instead:

    late MS TEXT        reply TEXT after so many milliseconds; several overlap, each keeps its own time
    flood BYTES         reply `flood(BYTES)` and a newline
    farewell TEXT       reply TEXT when the peer has finished sending
    raise               raise at once
    raise-late MS       raise when woken, after so many milliseconds
    raise-at-end        raise when the peer has finished sending
    largest             reply the size of the largest piece that the session was handed so far, in bytes
    count               reply how many sessions were told that their connection is open, and not yet that it is closed

An unfinished last line is echoed at the end as it is.
"""

import heapq
import time
from collections.abc import Callable
from typing import ClassVar

from scenarios.session import Conversation, Exchange, Message, Session

COMMAND = b"!command "
"""How a command begins: longer than a message's sequence number, so that no such number reads as a command."""

PATTERN = bytes(range(251))
"""Its length is prime, so that a lost or repeated block of the usual sizes shifts what follows."""


class CommandError(Exception):
    """A command asked the session to raise, or is none."""


def flood(size_bytes: int) -> bytes:
    """Return the bytes that the command flood sends."""
    return (PATTERN * (size_bytes // len(PATTERN) + 1))[:size_bytes]


class ConformanceSession(Session):
    """Echoes lines and obeys commands.

    Args:
        clock: Seconds that `wake_at` refers to.
    """

    told_open: ClassVar[set["ConformanceSession"]] = set()
    """Those of this process, for the command count."""

    __slots__ = ("clock", "due", "farewell", "largest", "number", "raises_at_end", "unfinished", "wake_at")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.wake_at: float | None = None
        self.unfinished = b""
        self.farewell = b""
        self.raises_at_end = False
        self.largest = 0
        self.due: list[tuple[float, int, bytes | None]] = []
        self.number = 0

    def opened(self, notify: Callable[[], object]) -> None:  # noqa: ARG002
        """Take note of it for the command count."""
        self.told_open.add(self)

    def closed(self) -> None:
        """Take note of it for the command count."""
        self.told_open.discard(self)

    def receive(self, data: bytes) -> bytes:
        """Return the replies that are due at once to the lines that are complete now.

        Raises:
            CommandError: A command asked for it.
        """
        self.largest = max(self.largest, len(data))
        head, newline, tail = data.rpartition(b"\n")
        if not newline:
            self.unfinished += data
            return b""
        lines = self.unfinished + head + newline
        self.unfinished = tail
        if COMMAND not in lines:
            return lines
        return b"".join([self.reply(line) for line in lines.split(b"\n")[:-1]])

    def reply(self, line: bytes) -> bytes:
        """Return what is due at once to a line (given without its newline).

        Raises:
            CommandError: The command asked for it, or is none.
        """
        if not line.startswith(COMMAND):
            return line + b"\n"
        verb, _, rest = line.removeprefix(COMMAND).decode().partition(" ")
        if verb == "late":
            delay_ms, _, text = rest.partition(" ")
            self.schedule(float(delay_ms), text.encode() + b"\n")
        elif verb == "raise-late":
            self.schedule(float(rest), None)
        elif verb == "flood":
            return flood(int(rest)) + b"\n"
        elif verb == "largest":
            return b"%d\n" % self.largest
        elif verb == "count":
            return b"%d\n" % len(self.told_open)
        elif verb == "farewell":
            self.farewell = rest.encode() + b"\n"
        elif verb == "raise-at-end":
            self.raises_at_end = True
        else:
            raise CommandError(f"told to {verb}")
        return b""

    def schedule(self, delay_ms: float, text: bytes | None) -> None:
        """Remember to reply the text, or to raise where it is None, after so many milliseconds."""
        self.number += 1
        heapq.heappush(self.due, (self.clock() + delay_ms / 1000, self.number, text))
        self.wake_at = self.due[0][0]

    def wake(self) -> bytes:
        """Return the late replies that are due, in the order of their times.

        Raises:
            CommandError: A command asked for it.
        """
        now = self.clock()
        replies = []
        while self.due and self.due[0][0] <= now:
            text = heapq.heappop(self.due)[2]
            if text is None:
                raise CommandError("told to raise late")
            replies.append(text)
        self.wake_at = self.due[0][0] if self.due else None
        return b"".join(replies)

    def eof(self) -> bytes:
        """Return the unfinished line and the farewell.

        Raises:
            CommandError: A command asked for it.
        """
        if self.raises_at_end:
            raise CommandError("told to raise at the end")
        return self.unfinished + self.farewell


def conversation(message_size: int) -> Conversation:
    """Return lines of `message_size` bytes, newline included, each answered by itself.

    A sequence number may itself contain a newline: then the message is two lines, and comes back all the same.
    """
    body = PATTERN.replace(b"\n", b"") * (message_size // 250 + 1)
    message = Message(body[: message_size - 1] + b"\n", sequence_width=min(8, message_size - 1))
    return Conversation(request=message, reply=message)


EXCHANGE = Exchange(
    name="conformance",
    summary="echoes lines and obeys commands, for the checks of backends",
    new_session=ConformanceSession,
    conversation=conversation,
)

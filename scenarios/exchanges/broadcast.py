"""Fan-out: what one connection sends, all others receive, as in publish and subscribe, chat or market data.

    message   size of what follows (4 bytes, big-endian) | sequence (8) | bytes

The first message of a connection joins it to the others, and is answered to it alone. Each further one goes to all
others that have joined, in the order of its arrival and whole. Whoever finishes sending, or breaks, leaves.

A subscriber that does not read is not waited for, and nothing is left out for it: as soon as more than `MOST_UNREAD`
bytes wait for it, it is dropped, and its connection ends. (Redis does the same: client-output-buffer-limit pubsub.)
"""

import random
import threading
from collections.abc import Callable
from struct import Struct

from scenarios.session import Conversation, Exchange, Message, Session

LENGTH = Struct(">I")
LONGEST_MESSAGE = 64 * 1024 * 1024
MOST_UNREAD = 2 * 1024 * 1024
"""Bytes that may wait for a subscriber before a further message; a single message may be longer."""


class MessageError(Exception):
    """A message that is none, in words."""


class TooSlowError(Exception):
    """A subscriber did not read."""


class Hub:
    """Those that have joined, and what passes between them. Several threads may use it at once."""

    __slots__ = ("_joined", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._joined: dict[BroadcastSession, None] = {}  # in the order of their joining

    def __len__(self) -> int:
        return len(self._joined)

    def join(self, session: "BroadcastSession") -> None:
        """Let a session receive what others publish."""
        with self.lock:
            self._joined[session] = None

    def leave(self, session: "BroadcastSession") -> None:
        """Let a session receive nothing more; it need not have joined."""
        with self.lock:
            self._joined.pop(session, None)

    def publish(self, messages: bytes, publisher: "BroadcastSession") -> None:
        """Hand messages to all but their publisher."""
        with self.lock:
            others = [session for session in self._joined if session is not publisher]
            to_notify = [session.notify for session in others if session.put(messages)]
            for session in others:
                if session.too_slow:
                    del self._joined[session]
        # Without the lock, because a backend may wake the session, or even send, at once.
        for notify in to_notify:
            notify()


class BroadcastSession(Session):
    """Publishes what comes, and returns what others have published when it is woken."""

    __slots__ = ("_hub", "_joined", "_unfinished", "_unread", "_unread_bytes", "notify", "too_slow")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._joined = False
        self._unfinished = b""
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self.too_slow = False
        self.notify: Callable[[], object] = lambda: None

    def opened(self, notify: Callable[[], object]) -> None:
        """Take what to call when there is something to send."""
        self.notify = notify

    def closed(self) -> None:
        """Leave."""
        self._hub.leave(self)

    def receive(self, data: bytes) -> bytes:
        """Publish the messages that are whole now; return the first of all, with which the connection joins.

        Raises:
            MessageError: A length is out of range.
        """
        if self._unfinished:
            data = self._unfinished + data
        first_end, end = whole_messages(data)
        self._unfinished = data[end:]
        if self._joined or not end:
            if end:
                self._hub.publish(data[:end], self)
            return b""
        self._joined = True
        self._hub.join(self)
        if first_end < end:
            self._hub.publish(data[first_end:end], self)
        return data[:first_end]

    def wake(self) -> bytes:
        """Return what others have published since the last time.

        Raises:
            TooSlowError: It was too much, so it is lost.
        """
        with self._hub.lock:
            unread, self._unread, self._unread_bytes = self._unread, [], 0
        if self.too_slow:
            raise TooSlowError(f"a subscriber left more than {MOST_UNREAD:,} bytes unread: it is dropped")
        return b"".join(unread)

    def eof(self) -> bytes:
        """Leave, and return what others have published until now."""
        self._hub.leave(self)
        return self.wake()

    def put(self, messages: bytes) -> bool:
        """Keep what was published until the session is woken, with the hub's lock held; return whether it must be."""
        if self._unread_bytes > MOST_UNREAD:
            self.too_slow = True
            self._unread = []
            return False
        self._unread.append(messages)
        self._unread_bytes += len(messages)
        return len(self._unread) == 1


def whole_messages(data: bytes) -> tuple[int, int]:
    """Return where the first whole message ends, and the last: 0 if there is none.

    Raises:
        MessageError: A length is out of range.
    """
    at = first_end = 0
    while len(data) - at >= LENGTH.size:
        (length,) = LENGTH.unpack_from(data, at)
        if not 0 < length <= LONGEST_MESSAGE:
            raise MessageError(f"a message of {length} bytes")
        if len(data) - at < LENGTH.size + length:
            break
        at += LENGTH.size + length
        first_end = first_end or at
    return first_end, at


def conversation(message_size: int) -> Conversation:
    """Return messages of `message_size` bytes behind their length, which all others receive as they are."""
    body = random.Random(1723).randbytes(message_size)
    message = Message(LENGTH.pack(message_size) + body, sequence_at=LENGTH.size, sequence_width=min(8, message_size))
    return Conversation(request=message, reply=message)


HUB = Hub()
"""That of this process."""

EXCHANGE = Exchange(
    name="broadcast",
    summary="passes what one connection sends on to all others",
    new_session=lambda: BroadcastSession(HUB),
    conversation=conversation,
    fan_out=True,
)

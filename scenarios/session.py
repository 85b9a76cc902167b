"""The contract between a conversation and everything that carries it.

A `Session` is the server's side of one connection as sans-I/O logic; an `Exchange` joins it with the generator's side:
what a request is, where its reply ends and how the reply is verified. Neither touches a socket: backends carry the one,
load generators the other. The generator's side is data, so that the native engine can run it without an interpreter.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class Session:
    """The server's side of one connection: bytes and time in, bytes out.

    Attributes:
        wake_at: When `wake` is due, in seconds of `time.monotonic`, or None. A backend reads it after every call of
            `receive`, `wake` and `eof`. A connection whose session still has a `wake_at` after `eof` stays open until
            the session no longer has one.
    """

    __slots__ = ()

    wake_at: float | None = None

    def opened(self, notify: Callable[[], object]) -> None:
        """Take note that the connection is open, and of what to call in order to be woken although nothing arrived.

        Args:
            notify: Has `wake` called soon, once all that was returned before is sent. The sessions of a process call
                each other's from within their own methods, so in whichever thread their backend drives them.
        """

    def closed(self) -> None:
        """Take note that the connection is no more, however it ended: nothing else is called from now on."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes that arrived (never empty, split anyhow) and return what to send now, possibly nothing."""
        raise NotImplementedError

    def eof(self) -> bytes:
        """Take note that the peer sends no more and return what to send before the connection is closed."""
        return b""

    def wake(self) -> bytes:
        """Return what is due by now, possibly nothing: waking too early is harmless."""
        return b""


class PeerError(Exception):
    """Raised by a session whose peer breaks the rules of their protocol, with the reason.

    It ends the connection like any exception of a session, but what there is to report is the peer's fault, not a bug.
    """


ENCODINGS = {"little": 8, "hex": 4}
"""How a sequence number can be written -> the bits of it that one byte carries."""

FRAMINGS = ("size", "http")
"""How the end of a message is found: by its size, or as HTTP/1.1 says."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message with a place for its sequence number, so that no two messages of a connection are alike.

    Attributes:
        data: The whole message, or its body where the framing is "http"; the bytes at the sequence's place are
            overwritten.
        sequence_at: Offset of the sequence number in bytes.
        sequence_width: Its width in bytes, up to 64 bits of it; the number is cut to this width.
        sequence_encoding: "little" (binary, little-endian) or "hex" (lower-case digits, the most significant first).
        framing: "size": it is as long as `data`. "http", for replies only: `data` is the body of a response with status
            200 and a Content-Length, whose other headers may be anything.
    """

    data: bytes
    sequence_at: int = 0
    sequence_width: int = 8
    sequence_encoding: str = "little"
    framing: str = "size"

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("a message needs at least one byte")
        if self.sequence_encoding not in ENCODINGS:
            raise ValueError(f"sequence_encoding is {self.sequence_encoding!r}, must be one of {', '.join(ENCODINGS)}")
        if self.framing not in FRAMINGS:
            raise ValueError(f"framing is {self.framing!r}, must be one of {', '.join(FRAMINGS)}")
        widest = 64 // ENCODINGS[self.sequence_encoding]
        if not 0 <= self.sequence_width <= widest:
            raise ValueError(f"sequence_width is {self.sequence_width}, must be 0 to {widest}")
        if not 0 <= self.sequence_at <= len(self.data) - self.sequence_width:
            raise ValueError("the sequence does not fit into the message")

    def stamp(self, sequence: int) -> bytes:
        """Return this sequence number as the message carries it."""
        width = self.sequence_width
        if self.sequence_encoding == "hex":
            return f"{sequence % (1 << 4 * width):0{width}x}".encode() if width else b""
        return (sequence % (1 << 8 * width)).to_bytes(width, "little")

    def stamped(self, sequence: int) -> bytes:
        """Return the message that carries this sequence number."""
        end = self.sequence_at + self.sequence_width
        return self.data[: self.sequence_at] + self.stamp(sequence) + self.data[end:]


@dataclass(frozen=True, slots=True)
class Conversation:
    """The generator's side of an exchange at one message size: the n-th request must be answered by the n-th reply."""

    request: Message
    reply: Message


@dataclass(frozen=True, slots=True)
class Exchange:
    """One conversation, both halves.

    Attributes:
        name: What scenario files call it; the name of its file.
        summary: One line for people.
        new_session: Makes the server's half of a new connection.
        conversation: Makes the generator's half for a message size in bytes.
        fan_out: Whether the server passes a request on to all its other connections, unasked, instead of answering it:
            the reply is what each of them must receive. The first message of a connection is answered to itself alone.
            Only a backend that declares `notify` carries such sessions, and only in one process.
    """

    name: str
    summary: str
    new_session: Callable[[], Session]
    conversation: Callable[[int], Conversation]
    fan_out: bool = False


def load_exchange(name: str) -> Exchange:
    """Return the exchange of this name, or the one that the Python file at this path defines as `EXCHANGE`.

    Raises:
        LookupError: There is no such exchange; the message names those there are. Or it needs a package that is
            missing.
    """
    if name.endswith(".py"):
        location = importlib.util.spec_from_file_location(f"exchange_{Path(name).stem}", name)
        if location is None or location.loader is None or not Path(name).is_file():
            raise LookupError(f"no exchange file at {name}")
        module = importlib.util.module_from_spec(location)
        sys.modules[location.name] = module
        location.loader.exec_module(module)
    elif name in exchange_names():
        try:
            module = importlib.import_module(f"scenarios.exchanges.{name}")
        except ModuleNotFoundError as fault:
            raise LookupError(f"the exchange {name} needs {fault.name}: pip install {fault.name}") from None
    else:
        raise LookupError(f"no exchange is called {name!r}; there are: {', '.join(exchange_names())}")
    exchange = module.EXCHANGE
    if not isinstance(exchange, Exchange):
        raise LookupError(f"EXCHANGE of {name} is not a scenarios.session.Exchange")
    return exchange


def exchange_names() -> list[str]:
    """Return the names of the built-in exchanges in alphabetical order."""
    folder = Path(__file__).parent / "exchanges"
    return sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))

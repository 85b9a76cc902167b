"""Where the head of an HTTP/1.1 response ends and which body must follow: incremental, for the portable engine.

`head.pxd` has the same states for the native one, and a test feeds both the same bytes. Understood is what a response
to a measured GET may be: status 200, any headers in any order and case, exactly one size of the body. (RFC 9112.)
"""

MAX_HEAD_BYTES = 16 * 1024

FAULTS = (
    "",
    "the status line is not that of HTTP/1.1 200",
    "a line of the head is malformed",
    "Transfer-Encoding is not understood here",
    "Content-Length is not a number",
    "there is no Content-Length",
    "Content-Length is not the size of the body that is due",
    f"the head is longer than {MAX_HEAD_BYTES} bytes",
)
"""What is wrong with a head, in the order of the faults of `head.pxd`."""

STATUS_LINE = b"HTTP/1.1 200"
CONTENT_LENGTH = b"content-length"
TRANSFER_ENCODING = b"transfer-encoding"
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
MOST_DIGITS = 18

STATUS, REASON_START, REASON, LINE_FEED, LINE_START, NAME, VALUE, LENGTH_START, LENGTH, LENGTH_END, LAST_FEED, BODY = (
    range(12)
)


class Head:
    """How far the head of one response has come.

    Attributes:
        state: One of the states above; `BODY` when the head is complete.
        fault: Index in `FAULTS`; not 0 once something is wrong.
    """

    __slots__ = ("digits", "fault", "length", "name", "seen", "size", "state")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Be ready for the next response."""
        self.state = STATUS
        self.fault = 0
        self.size = 0
        self.name = bytearray()
        self.length = -1
        self.seen = -1
        self.digits = 0

    def take(self, data: bytes | bytearray | memoryview, due: int) -> int:
        """Take bytes and return how many of them belong to the head, up to its end or its first fault.

        Args:
            data: What came.
            due: The size of the body that must follow.
        """
        for place, byte in enumerate(data):
            self.fault = self._step(byte, due)
            if self.fault:
                return place
            self.size += 1
            if self.state == BODY:
                return place + 1
            if self.size == MAX_HEAD_BYTES:
                self.fault = 7
                return place
        return len(data)

    def _step(self, byte: int, due: int) -> int:
        """Take one byte and return the fault that it shows."""
        state = self.state
        if state == STATUS:
            if byte != STATUS_LINE[self.size]:
                return 1
            if self.size + 1 == len(STATUS_LINE):
                self.state = REASON_START
        elif state == REASON_START:
            self.state = {32: REASON, 13: LINE_FEED}.get(byte, state)
            return int(self.state == state)
        elif state in (REASON, VALUE):
            if byte == 13:
                self.state = LINE_FEED
            elif byte == 10:
                return 2
        elif state == LINE_FEED:
            self.state = LINE_START
            return 0 if byte == 10 else 2
        elif state in (LINE_START, NAME):
            return self._name(byte)
        elif state == LAST_FEED:
            self.state = BODY
            return 2 if byte != 10 else 5 if self.seen < 0 else 6 if self.seen != due else 0
        else:
            return self._length(byte)
        return 0

    def _name(self, byte: int) -> int:
        """Take a byte of a header's name, or the one that ends it."""
        if self.state == LINE_START:
            if byte == 13:
                self.state = LAST_FEED
                return 0
            self.name.clear()
            self.state = NAME
        if byte != 58:
            self.name.append(byte)
            return 0 if byte in TOKEN else 2
        name = self.name.lower()
        if name == TRANSFER_ENCODING:
            return 3
        self.state = LENGTH_START if name == CONTENT_LENGTH else VALUE
        self.length = self.digits = 0
        return 0 if name else 2

    def _length(self, byte: int) -> int:
        """Take a byte of the value of Content-Length, which may stand between blanks."""
        if 48 <= byte <= 57 and self.state != LENGTH_END:
            self.state = LENGTH
            self.length = 10 * self.length + byte - 48
            self.digits += 1
            return 4 if self.digits > MOST_DIGITS else 0
        if byte in (32, 9):
            if self.state == LENGTH:
                self.state = LENGTH_END
            return 0
        if byte != 13 or self.state == LENGTH_START:
            return 4
        if self.seen >= 0 and self.seen != self.length:
            return 4
        self.seen = self.length
        self.state = LINE_FEED
        return 0

"""Remote procedure calls of which every fourth fails: its reply is what handles the failure makes.

The messages are those of the exchange "rpc". `answer` raises for a sequence number that is divisible by four, and
`failed` makes the reply from the error. A backend that knows steps, such as one with Deferreds, runs `requests`,
`answer` and `failed` itself, as callback and errback; for all others `receive` does. Either way a failure that is not
handled is a reply that never comes.
"""

from scenarios.exchanges.rpc import LENGTH, RpcSession, conversation, result
from scenarios.session import Exchange

FAILS_EVERY = 4


class CallFailedError(Exception):
    """A call that failed.

    Attributes:
        sequence: Of the request.
        size: Of the result that was asked for, in bytes.
    """

    def __init__(self, sequence: bytes, size: int) -> None:
        super().__init__(sequence, size)
        self.sequence = sequence
        self.size = size


class FailingSession(RpcSession):
    """Answers each request once it is whole, in steps."""

    __slots__ = ()

    def receive(self, data: bytes) -> bytes:
        """Return the replies to the requests that are whole now.

        Raises:
            RequestError: A length is out of range.
        """
        replies = []
        for request in self.requests(data):
            try:
                replies.append(self.answer(request))
            except CallFailedError as error:
                replies.append(self.failed(error))
        return b"".join(replies)

    def answer(self, request: tuple[bytes, int]) -> bytes:
        """Return the reply to one request.

        Raises:
            CallFailedError: It is one of those that fail.
        """
        sequence, size = request
        if int.from_bytes(sequence, "little") % FAILS_EVERY == 0:
            raise CallFailedError(sequence, size)
        return LENGTH.pack(size) + result(size, sequence)

    def failed(self, error: CallFailedError) -> bytes:
        """Return the reply to a request that failed."""
        return LENGTH.pack(error.size) + result(error.size, error.sequence)


EXCHANGE = Exchange(
    name="failing",
    summary="remote procedure calls of which every fourth raises and is answered by what handles the failure",
    new_session=FailingSession,
    conversation=conversation,
)

"""Echo (RFC 862): the server sends back what it receives. The smallest exchange, so the I/O model is what it costs."""

import random

from scenarios.session import Conversation, Exchange, Message, Session


class EchoSession(Session):
    """Returns every byte as it came."""

    __slots__ = ()

    def receive(self, data: bytes) -> bytes:
        """Return the same bytes."""
        return data


def conversation(message_size: int) -> Conversation:
    """Return requests of `message_size` bytes, each answered by itself.

    The body is pseudo-random, always the same, so a reply that is shifted by some bytes is caught too.
    """
    message = Message(random.Random(862).randbytes(message_size), sequence_width=min(8, message_size))
    return Conversation(request=message, reply=message)


EXCHANGE = Exchange(
    name="echo",
    summary="sends back what it receives",
    new_session=EchoSession,
    conversation=conversation,
)

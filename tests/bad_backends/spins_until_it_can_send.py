"""While a peer does not read, it tries to send again and again."""

import contextlib

from tests.bad_backends.base import Threads


class Bad(Threads):
    def send(self, connection, reply):
        connection.setblocking(False)
        while reply:
            with contextlib.suppress(BlockingIOError):
                reply = reply[connection.send(reply) :]
        connection.setblocking(True)


TRAITS = {"name": "spins-until-it-can-send", "family": "blocking", "summary": "sends by spinning"}


def serve(server):
    Bad(server).serve()

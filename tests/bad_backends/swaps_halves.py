"""The second half of a long reply overtakes the first."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def send(self, connection, reply):
        half = len(reply) // 2 if len(reply) > 4096 else 0
        connection.sendall(reply[half:] + reply[:half])


TRAITS = {"name": "swaps-halves", "family": "blocking", "summary": "sends long replies out of order"}


def serve(server):
    Bad(server).serve()

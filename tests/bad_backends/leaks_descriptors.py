"""Connections are shut down, but never closed."""

import socket

from tests.bad_backends.base import Threads


class Bad(Threads):
    leaked = []

    def close(self, connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.leaked.append(connection)


TRAITS = {"name": "leaks-descriptors", "family": "blocking", "summary": "leaks descriptors"}


def serve(server):
    Bad(server).serve()

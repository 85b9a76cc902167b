"""Connections are shut down, but never closed."""

import contextlib
import socket

from tests.bad_backends.base import Threads


class Bad(Threads):
    def __init__(self, server):
        super().__init__(server)
        self.leaked = []

    def close(self, connection):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        self.leaked.append(connection)


TRAITS = {"name": "leaks-descriptors", "family": "blocking", "summary": "leaks descriptors"}


def serve(server):
    Bad(server).serve()

"""The thread of a connection outlives it."""

import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    def close(self, connection):
        super().close(connection)
        threading.Event().wait()


TRAITS = {"name": "leaks-threads", "family": "blocking", "summary": "leaks threads"}


def serve(server):
    Bad(server).serve()

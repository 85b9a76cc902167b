"""Told to stop, it waits until every peer has gone."""

import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    def __init__(self, server):
        super().__init__(server)
        self.threads = []

    def serve(self):
        super().serve()
        for thread in self.threads:
            thread.join()

    def run(self, connection):
        self.threads.append(threading.current_thread())
        super().run(connection)


TRAITS = {"name": "waits-for-its-peers", "family": "blocking", "summary": "stops only when all connections are closed"}


def serve(server):
    Bad(server).serve()

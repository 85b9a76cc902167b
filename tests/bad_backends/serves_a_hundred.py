"""The hundred and first connection is closed without a word."""

import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    def run(self, connection):
        if threading.active_count() > 100:
            connection.close()
        else:
            super().run(connection)


TRAITS = {"name": "serves-a-hundred", "family": "blocking", "summary": "serves at most 100 connections, undeclared"}


def serve(server):
    Bad(server).serve()

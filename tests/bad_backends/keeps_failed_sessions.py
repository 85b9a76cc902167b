"""A session that raises leaves its connection open, and nobody answers there any more."""

import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    def session_failed(self):
        threading.Event().wait()


TRAITS = {
    "name": "keeps-failed-sessions",
    "family": "blocking",
    "summary": "keeps the connection of a session that raised",
}


def serve(server):
    Bad(server).serve()

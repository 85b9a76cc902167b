"""A session that raises ends the whole server."""

from tests.bad_backends.base import Threads, die


class Bad(Threads):
    def session_failed(self):
        die()


TRAITS = {"name": "dies-of-session", "family": "blocking", "summary": "dies when a session raises"}


def serve(server):
    Bad(server).serve()

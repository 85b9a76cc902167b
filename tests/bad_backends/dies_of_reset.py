"""A connection that breaks ends the whole server."""

from tests.bad_backends.base import Threads, die


class Bad(Threads):
    def lost(self):
        die()


TRAITS = {
    "name": "dies-of-reset",
    "family": "blocking",
    "summary": "dies when a connection is reset",
    "notify": True,
}


def serve(server):
    Bad(server).serve()

"""A peer that has finished is taken for one that wants nothing more."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def more_to_come(self, session):
        return False


TRAITS = {
    "name": "closes-before-late-replies",
    "family": "blocking",
    "summary": "closes at the end of the peer's bytes",
}


def serve(server):
    Bad(server).serve()

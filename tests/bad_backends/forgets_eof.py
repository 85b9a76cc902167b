"""The session is never told that its peer has finished."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def end(self, session):
        return b""


TRAITS = {"name": "forgets-eof", "family": "blocking", "summary": "does not call eof"}


def serve(server):
    Bad(server).serve()

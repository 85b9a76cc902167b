"""Sessions never hear that their connections are closed."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def closed(self, session):
        pass


TRAITS = {
    "name": "forgets-to-say-closed",
    "family": "blocking",
    "summary": "does not tell sessions that they are closed",
    "notify": True,
}


def serve(server):
    Bad(server).serve()

"""Every read is handed to a new session, so nothing is remembered between two."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def receive(self, session, data):
        return self.server.new_session().receive(data)


TRAITS = {"name": "forgets-the-session", "family": "blocking", "summary": "has no memory between reads"}


def serve(server):
    Bad(server).serve()

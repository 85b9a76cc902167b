"""Who is silent hears nothing: a session is woken only when its peer sends."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def notified(self, connection, session, turn):
        pass


TRAITS = {"name": "ignores-notify", "family": "blocking", "summary": "does not wake notified sessions", "notify": True}


def serve(server):
    Bad(server).serve()

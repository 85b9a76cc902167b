"""Late replies wait for the next bytes of the peer."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def time_to_wake(self, connection, session):
        return False

    def receive(self, session, data):
        return session.wake() + session.receive(data)


TRAITS = {"name": "ignores-wake-at", "family": "blocking", "summary": "reads wake_at only when bytes come"}


def serve(server):
    Bad(server).serve()

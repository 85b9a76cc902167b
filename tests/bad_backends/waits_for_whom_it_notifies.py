"""Who publishes sends to all others itself, and waits for those that do not read."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def notified(self, connection, session, turn):
        self.wake_notified(connection, session, turn)


TRAITS = {
    "name": "waits-for-whom-it-notifies",
    "family": "blocking",
    "summary": "sends where it is notified",
    "notify": True,
}


def serve(server):
    Bad(server).serve()

"""While one connection waits for its late reply, every other waits too."""

import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    lock = threading.Lock()

    def time_to_wake(self, connection, session):
        if session.wake_at is None:
            return False
        with self.lock:
            return super().time_to_wake(connection, session)

    def receive(self, session, data):
        with self.lock:
            return super().receive(session, data)


TRAITS = {"name": "sleeps-for-all", "family": "blocking", "summary": "sleeps with a lock held"}


def serve(server):
    Bad(server).serve()

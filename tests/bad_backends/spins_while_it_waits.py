"""Instead of waiting until a late reply is due, it asks for the time again and again."""

import time

from tests.bad_backends.base import Threads


class Bad(Threads):
    def more_to_come(self, session):
        return session.wake_at is not None and self.spin(session)

    def spin(self, session):
        while session.wake_at > time.monotonic():
            pass
        return True


TRAITS = {"name": "spins-while-it-waits", "family": "blocking", "summary": "waits by spinning"}


def serve(server):
    Bad(server).serve()

"""A late reply is waited for before anything else is read from its connection."""

import time

from tests.bad_backends.base import Threads


class Bad(Threads):
    def time_to_wake(self, connection, session):
        if session.wake_at is None:
            return False
        time.sleep(max(0, session.wake_at - time.monotonic()))
        return True


TRAITS = {"name": "sleeps-until-late-replies", "family": "blocking", "summary": "sleeps until wake_at"}


def serve(server):
    Bad(server).serve()

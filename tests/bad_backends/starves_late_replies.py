"""Bytes that have come always go before time that has passed."""

import select
import time

from tests.bad_backends.base import Threads


class Bad(Threads):
    def time_to_wake(self, connection, session):
        if session.wake_at is None:
            return False
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        # A peer that is busy is never silent for so long.
        return not poller.poll(max(50, (session.wake_at - time.monotonic()) * 1000))


TRAITS = {"name": "starves-late-replies", "family": "blocking", "summary": "wakes only while its peer is silent"}


def serve(server):
    Bad(server).serve()

"""The stop descriptor is never looked at."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def must_stop(self, poller):
        poller.poll(100)
        return False


TRAITS = {"name": "ignores-stop", "family": "blocking", "summary": "does not stop"}


def serve(server):
    Bad(server).serve()

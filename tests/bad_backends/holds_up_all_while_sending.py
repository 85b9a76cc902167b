"""One lock for all sends: a peer that does not read stops everybody."""

import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    lock = threading.Lock()

    def send(self, connection, reply):
        with self.lock:
            super().send(connection, reply)


TRAITS = {"name": "holds-up-all-while-sending", "family": "blocking", "summary": "sends with a lock held"}


def serve(server):
    Bad(server).serve()

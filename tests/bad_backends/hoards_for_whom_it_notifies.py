"""Notified sessions are woken at once, and what they return waits in a queue without end."""

import contextlib
import queue
import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    def __init__(self, server):
        super().__init__(server)
        self.queues = {}

    def notified(self, connection, session, turn):
        if session not in self.queues:
            self.queues[session] = queue.SimpleQueue()
            threading.Thread(target=self.send_all, args=(connection, self.queues[session]), daemon=True).start()
        self.queues[session].put(session.wake())

    def send_all(self, connection, unsent):
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(unsent.get())


TRAITS = {
    "name": "hoards-for-whom-it-notifies",
    "family": "blocking",
    "summary": "wakes whoever does not read",
    "notify": True,
}


def serve(server):
    Bad(server).serve()

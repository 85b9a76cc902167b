"""Replies go to a queue that another thread sends, so nothing ever stops the reading."""

import contextlib
import queue
import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    def run(self, connection):
        replies = queue.SimpleQueue()
        threading.Thread(target=self.send_all, args=(connection, replies), daemon=True).start()
        self.replies[connection] = replies
        super().run(connection)

    def __init__(self, server):
        super().__init__(server)
        self.replies = {}

    def send(self, connection, reply):
        self.replies[connection].put(reply)

    def close(self, connection):
        self.replies.pop(connection).put(None)

    def send_all(self, connection, replies):
        with contextlib.suppress(OSError):
            while (reply := replies.get()) is not None:
                connection.sendall(reply)
        connection.close()


TRAITS = {"name": "buffers-without-bound", "family": "blocking", "summary": "reads on whatever waits to be sent"}


def serve(server):
    Bad(server).serve()

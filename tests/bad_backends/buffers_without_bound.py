"""Replies go to a queue that another thread sends, so nothing ever stops the reading."""

import queue
import threading

from tests.bad_backends.base import Threads


class Bad(Threads):
    def run(self, connection):
        replies = queue.SimpleQueue()
        sender = threading.Thread(target=self.send_all, args=(connection, replies), daemon=True)
        sender.start()
        self.replies = getattr(self, "replies", {})
        self.replies[connection] = replies
        self.sender = sender
        super().run(connection)

    def send(self, connection, reply):
        self.replies[connection].put(reply)

    def close(self, connection):
        replies = self.replies.pop(connection)
        replies.put(None)

    def send_all(self, connection, replies):
        try:
            while (reply := replies.get()) is not None:
                connection.sendall(reply)
        except OSError:
            pass
        connection.close()


TRAITS = {"name": "buffers-without-bound", "family": "blocking", "summary": "reads on whatever waits to be sent"}


def serve(server):
    Bad(server).serve()

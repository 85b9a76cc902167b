"""What is sent unasked is sent as far as it goes at once; the rest is lost."""

import socket

from tests.bad_backends.base import Threads


class Bad(Threads):
    def send_unasked(self, connection, data):
        connection.send(data, socket.MSG_DONTWAIT)


TRAITS = {
    "name": "cuts-what-it-sends-unasked",
    "family": "blocking",
    "summary": "loses the rest of short writes of notified sessions",
    "notify": True,
}


def serve(server):
    Bad(server).serve()

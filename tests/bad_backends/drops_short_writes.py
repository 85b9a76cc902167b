"""What one write leaves over is lost: loopback hides it until buffers are small."""

import contextlib
import socket

from tests.bad_backends.base import Threads


class Bad(Threads):
    def send(self, connection, reply):
        with contextlib.suppress(BlockingIOError):
            connection.send(reply, socket.MSG_DONTWAIT)


TRAITS = {"name": "drops-short-writes", "family": "blocking", "summary": "drops what a short write left"}


def serve(server):
    Bad(server).serve()

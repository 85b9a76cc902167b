"""The end of the peer's bytes is answered by a reset, which destroys what is still under way."""

import socket
import struct

from tests.bad_backends.base import Threads


class Bad(Threads):
    def close(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


TRAITS = {"name": "breaks-at-eof", "family": "blocking", "summary": "resets a connection that has finished"}


def serve(server):
    Bad(server).serve()

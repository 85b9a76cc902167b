"""Reads ask for a fixed size, whatever option `read_size` says."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def read(self, connection):
        return connection.recv(65536)


TRAITS = {
    "name": "reads-as-much-as-it-likes",
    "family": "blocking",
    "summary": "declares read_size and takes no notice of it",
    "options": {"read_size": 65536},
}


def serve(server):
    Bad(server).serve()

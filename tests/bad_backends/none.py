"""Nothing is spoiled here: the checks fail a backend for its fault, not for its form."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    pass


TRAITS = {
    "name": "none",
    "family": "blocking",
    "summary": "is a proper backend",
    "notify": True,
    "options": {"read_size": 65536},
}


def serve(server):
    Bad(server).serve()

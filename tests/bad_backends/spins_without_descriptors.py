"""The listener stays readable while accept fails with EMFILE."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def out_of_descriptors(self):
        pass


TRAITS = {"name": "spins-without-descriptors", "family": "blocking", "summary": "spins when it runs out of descriptors"}


def serve(server):
    Bad(server).serve()

"""EMFILE from accept is not expected."""

from tests.bad_backends.base import Threads, die


class Bad(Threads):
    def out_of_descriptors(self):
        die()


TRAITS = {"name": "dies-without-descriptors", "family": "blocking", "summary": "dies when it runs out of descriptors"}


def serve(server):
    Bad(server).serve()
